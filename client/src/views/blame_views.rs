//! The suspects of a red branch, as a client sees them.

use super::rfc3339;
use crate::words::author_name;
use schema::values::{ShortCommit, Time};
use serde::Serialize;

/// Jobs of one branch that fail since the same build, and the commits that may have broken them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RedRange {
    /// The full ref of the branch or the tag.
    #[serde(rename = "ref")]
    pub ref_name: String,
    /// The names of the jobs with their cells; `guild.toml` stands for a pipeline that cannot be read.
    pub jobs: Vec<String>,
    /// The number of the build in which they began to fail.
    pub first_bad: u32,
    /// The full commit id of the build `first_bad`.
    pub first_bad_revision: String,
    /// The number of the newest build before it in which they were good, or 0 if none is known.
    pub last_good: u32,
    /// The full commit id of the build `last_good`.
    pub last_good_revision: String,
    /// How well the suspects are known, in a word; `perspective.capnp` lists the words.
    pub kind: String,
    /// The same in a sentence.
    pub text: String,
    /// The commits that may be the cause, the newest first.
    pub suspects: Vec<SuspectView>,
    /// The number of further commits that are not listed.
    pub left_out: u32,
    /// The number of the build of the main branch in which the jobs were red where this branch began; 0 if they were not.
    pub red_before: u32,
}

/// A commit that may have broken a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SuspectView {
    /// The full id of the commit.
    pub revision: String,
    /// The author of the commit, as `Name <mail>`.
    pub author: String,
    /// The committer, as `Name <mail>`; "" if that is the author.
    pub committer: String,
    /// The people that its message names as co-authors.
    pub co_authors: Vec<String>,
    /// The time of the commit.
    #[serde(serialize_with = "rfc3339")]
    pub time: Option<Time>,
    /// The first line of its message.
    pub subject: String,
    /// Why the commit is a suspect, in a word; `perspective.capnp` lists the words.
    pub kind: String,
    /// The same in a sentence.
    pub text: String,
    /// The full id of the commit with which it was undone; "" if it is in effect.
    pub undone_with: String,
}

impl SuspectView {
    /// Whether the changes of the commit are in effect.
    pub fn is_in_effect(&self) -> bool {
        self.undone_with.is_empty()
    }

    /// Returns the short id of the commit, its subject and the names of its authors, in one line.
    pub fn line(&self) -> String {
        let authors = std::iter::once(&self.author).chain(&self.co_authors);
        let authors: Vec<&str> = authors.map(|author| author_name(author)).collect();
        format!("{} {} ({})", ShortCommit::of(&self.revision), self.subject, authors.join(", "))
    }
}

impl RedRange {
    /// Returns the commits that are in effect, the newest first.
    pub fn in_effect(&self) -> impl Iterator<Item = &SuspectView> {
        self.suspects.iter().filter(|suspect| suspect.is_in_effect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspect_is_a_line_with_all_its_authors() {
        let suspect = SuspectView {
            revision: "0123456789abcdef0123456789abcdef01234567".to_owned(),
            author: "Ann <ann@example.org>".to_owned(),
            co_authors: vec!["Bob <bob@example.org>".to_owned()],
            subject: "break it".to_owned(),
            ..SuspectView::default()
        };
        assert_eq!(suspect.line(), format!("{} break it (Ann, Bob)", ShortCommit::of(&suspect.revision)));
    }
}
