//! What reporters ask of history: who made what lies between two commits.

use schema::values::Time;
use std::ffi::OsString;

use super::Mirror;
use super::change::{is_id, short, time_of};
use super::git::GitError;

/// Of a range; more are not counted.
const COUNTED_MAX: u32 = 100_000;

/// A commit with its author and its committer, as the `.mailmap` of the range's tip has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authored {
    pub revision: String,
    pub author: Person,
    pub committer: Person,
    pub time: Time,
    /// The first line of its message.
    pub subject: String,
}

/// A name and an address, apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    pub name: String,
    /// Anything that somebody's git was told.
    pub email: String,
}

/// What lies between commits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitRange {
    /// The newest first.
    pub commits: Vec<Authored>,
    /// How many more there are.
    pub left_out: u32,
}

impl Mirror {
    /// What `tip` has and none of `without` has, at most `limit`; without any, only the tip. What is not here is left out.
    pub async fn range(&self, tip: &str, without: &[String], limit: u32) -> Result<CommitRange, GitError> {
        without.iter().map(String::as_str).chain([tip]).try_for_each(is_id)?;
        if self.commit(tip).await?.is_none() {
            return Ok(CommitRange::default());
        }
        let count = if without.is_empty() { 1 } else { limit };
        let revisions: Vec<String> =
            [tip.to_owned()].into_iter().chain(without.iter().map(|it| format!("^{it}"))).collect();
        let options = ["-z", "--no-color", "--no-decorate", "--ignore-missing"];
        // git cuts what may have megabytes, and fills up with blanks
        let people = ["aN", "aE", "cN", "cE"].map(|field| format!("%x00%<(700,trunc)%{field}")).concat();
        let format = format!("--format=%H{people}%x00%ct%x00%<(700,trunc)%s");
        let run = self
            .git
            .run("log")
            .env(mailmap_of(tip), Vec::new())
            .args(options)
            .args([format, format!("--max-count={count}")]);
        let listed = run.args(["--end-of-options"]).args(&revisions).args(["--"]).bytes().await?;
        let fields: Vec<_> = listed.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        let commits: Vec<Authored> = fields.chunks_exact(7).map(authored).collect();
        if without.is_empty() || commits.len() < limit as usize {
            return Ok(CommitRange { commits, left_out: 0 });
        }
        let run = self.git.run("rev-list").args(["--count", "--ignore-missing", &format!("--max-count={COUNTED_MAX}")]);
        let counted = run.args(["--end-of-options"]).args(&revisions).args(["--"]).bytes().await?;
        let counted: u32 = String::from_utf8_lossy(&counted).trim().parse().unwrap_or(limit);
        Ok(CommitRange { commits, left_out: counted.saturating_sub(limit) })
    }
}

/// A mirror has no working tree to read a `.mailmap` from; a tip without one has nobody moved.
fn mailmap_of(tip: &str) -> Vec<(String, OsString)> {
    let set = [
        ("GIT_CONFIG_COUNT", "1".to_owned()),
        ("GIT_CONFIG_KEY_0", "mailmap.blob".to_owned()),
        ("GIT_CONFIG_VALUE_0", format!("{tip}:.mailmap")),
    ];
    set.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}

fn authored(fields: &[std::borrow::Cow<'_, str>]) -> Authored {
    let person = |at: usize| Person { name: short(fields[at].trim_end()), email: short(fields[at + 1].trim_end()) };
    Authored {
        revision: fields[0].trim().to_owned(),
        author: person(1),
        committer: person(3),
        time: time_of(&fields[5]),
        subject: short(fields[6].trim_end()),
    }
}
