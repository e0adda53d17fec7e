//! Shows where jobs broke, and the commits that may have broken them.

use super::{When, name_of, tidy};
use client::views::{BuildView, RedRange, SuspectView};
use schema::values::ShortCommit;

/// A `RangeBlock` is one red range on the page of a build.
pub(super) struct RangeBlock {
    pub(super) jobs: String,
    pub(super) text: String,
    /// The build in which the jobs were good; 0 means that none is known.
    pub(super) last_good: u32,
    /// The build in which they began to fail; 0 means that this page shows it.
    pub(super) first_bad: u32,
    /// The build of the main branch in which they were red before; 0 means that they were not.
    pub(super) red_before: u32,
    pub(super) suspects: Vec<SuspectLine>,
    pub(super) left_out: u32,
}

/// A `SuspectLine` is one commit of a red range.
pub(super) struct SuspectLine {
    pub(super) revision: String,
    /// The page of the commit at the forge. Empty means that it is not known.
    pub(super) href: String,
    pub(super) subject: String,
    /// The names of the author and the co-authors.
    pub(super) authors: String,
    pub(super) time: Option<When>,
    /// Why the commit is a suspect, or why it is none.
    pub(super) text: String,
    pub(super) is_in_effect: bool,
}

impl RangeBlock {
    pub(super) fn new(build: &BuildView, range: &RedRange) -> RangeBlock {
        RangeBlock {
            jobs: tidy(&range.jobs.join(", ")),
            text: tidy(&range.text),
            last_good: range.last_good,
            first_bad: if range.first_bad == build.number { 0 } else { range.first_bad },
            red_before: range.red_before,
            suspects: range.suspects.iter().map(|suspect| SuspectLine::new(build, suspect)).collect(),
            left_out: range.left_out,
        }
    }
}

impl SuspectLine {
    /// Makes the line of a commit. The commit's page follows from the page of `build`, by replacing the id.
    fn new(build: &BuildView, suspect: &SuspectView) -> SuspectLine {
        let authors = std::iter::once(&suspect.author).chain(&suspect.co_authors);
        SuspectLine {
            revision: ShortCommit::of(&suspect.revision).to_string(),
            href: build.commit_url.replace(&build.revision, &suspect.revision),
            subject: tidy(&suspect.subject),
            authors: authors.map(|author| name_of(author)).collect::<Vec<_>>().join(", "),
            time: When::new(suspect.time),
            text: tidy(&suspect.text),
            is_in_effect: suspect.is_in_effect(),
        }
    }
}
