//! What reporters ask of history: who made what lies between two commits.

use schema::values::Time;
use std::ffi::OsString;

use super::Mirror;
use super::change::{is_id, short, time_of};
use super::git::GitError;

/// The most commits of a range that are counted.
const COUNTED_MAX: u32 = 100_000;

/// A mail to more of a commit's authors helps nobody.
const CO_AUTHORS_MAX: usize = 10;
/// How `git revert` says what it takes back, with the id behind it.
const REVERTS: &str = "This reverts commit ";

/// A commit with its author and its committer, as the `.mailmap` of the range's tip has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authored {
    pub revision: String,
    pub author: Person,
    pub committer: Person,
    pub time: Time,
    /// The first line of the commit's message.
    pub subject: String,
    /// Whom its message names as co-authors, at most 10.
    pub co_authors: Vec<Person>,
    /// The commits whose changes it takes back, as the message of `git revert` says it: whole ids, or their beginnings.
    pub reverts: Vec<String>,
    /// Whether it has several parents.
    pub is_merge: bool,
}

/// A name and an address, apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    pub name: String,
    /// Anything that somebody's git was told.
    pub email: String,
}

/// The commits that lie between two others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitRange {
    /// The commits, the newest first.
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
        let trailers = "%<(1500,trunc)%(trailers:key=Co-authored-by,valueonly,separator=%x0A)";
        let format = format!("--format=%H%x00%P{people}%x00%ct%x00%<(700,trunc)%s%x00{trailers}%x00%<(1500,trunc)%b");
        let run = self
            .git
            .run("log")
            .env(mailmap_of(tip), Vec::new())
            .args(options)
            .args([format, format!("--max-count={count}")]);
        let listed = run.args(["--end-of-options"]).args(&revisions).args(["--"]).bytes().await?;
        let commits = read_people(&listed);
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

/// The number of fields of one commit in the output of `git log`.
const FIELDS: usize = 10;

/// So many fields for each commit, as [`Mirror::range`] asks for them.
pub(super) fn read_people(listed: &[u8]) -> Vec<Authored> {
    let fields: Vec<_> = listed.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    fields.chunks_exact(FIELDS).map(authored).collect()
}

fn authored(fields: &[std::borrow::Cow<'_, str>]) -> Authored {
    let person = |at: usize| Person { name: short(fields[at].trim_end()), email: short(fields[at + 1].trim_end()) };
    Authored {
        revision: fields[0].trim().to_owned(),
        is_merge: fields[1].trim().contains(' '),
        author: person(2),
        committer: person(4),
        time: time_of(&fields[6]),
        subject: short(fields[7].trim_end()),
        co_authors: fields[8].lines().filter_map(contact).take(CO_AUTHORS_MAX).collect(),
        reverts: reverts(&fields[9]),
    }
}

/// `Ada <ada@example.org>`; `None` means that it is nothing of the kind.
fn contact(text: &str) -> Option<Person> {
    let (name, address) = text.trim().strip_suffix('>')?.split_once('<')?;
    let person = Person { name: short(name.trim()), email: short(address.trim()) };
    (!person.name.is_empty() && person.email.contains('@')).then_some(person)
}

/// A revert of several commits has a line for each.
fn reverts(message: &str) -> Vec<String> {
    let lines = message.lines().filter_map(|line| line.trim().strip_prefix(REVERTS));
    let ids = lines.map(|rest| rest.chars().take_while(char::is_ascii_hexdigit).collect::<String>());
    ids.filter(|id| id.len() >= REVERTED_MIN).collect()
}

/// Digits of an id that git takes for enough by itself.
const REVERTED_MIN: usize = 7;
