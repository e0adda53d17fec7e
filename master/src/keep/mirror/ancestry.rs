//! Answers the questions of reporters about history: who made the commits between two others, and which of them were reverted.

use schema::values::Time;
use std::collections::BTreeMap;
use std::ffi::OsString;

use super::Mirror;
use super::change::{COMMIT_BYTES_MAX, is_id, short, time_of};
use super::git::GitError;
use super::reversal::{Reversal, named_by};

/// The number of commits of a range that are counted, at most.
const COUNTED_MAX: u32 = 100_000;

/// The number of co-authors of a commit that are kept. Mail to more of them helps nobody.
const CO_AUTHORS_MAX: usize = 10;
/// The number of reverted merges of a range for which git is asked what they brought. Each question is a run of git.
const MERGES_MAX: usize = 16;
/// The number of commits that a merge may have brought, at most. A range has fewer, so a longer list would not help.
const MERGED_MAX: usize = 1_000;

/// A commit with its author and its committer, as the `.mailmap` of the range's tip has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authored {
    pub revision: String,
    pub author: Person,
    pub committer: Person,
    pub time: Time,
    /// The first line of the commit's message.
    pub subject: String,
    /// The co-authors that its message names, at most 10.
    pub co_authors: Vec<Person>,
    /// The commits that it reverts, as the message of `git revert` names them.
    pub reverts: Vec<Reversal>,
    /// Whether it may revert more than `reverts` has, because its message is too long, or too many merges were reverted.
    pub may_revert_more: bool,
    /// The whole ids of its parents; a merge has several.
    pub parents: Vec<String>,
}

/// A person's name and mail address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    pub name: String,
    /// The address, which may be any text that the person's git was configured with.
    pub email: String,
}

/// The commits that lie between two others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitRange {
    /// The commits, the newest first.
    pub commits: Vec<Authored>,
    /// The number of further commits that are not listed.
    pub left_out: u32,
}

impl Mirror {
    /// Returns the commits of `tip` that none of `without` has, at most `limit`. If `without` is empty, it returns only the
    /// tip. Commits that the mirror does not have are left out.
    pub async fn range(&self, tip: &str, without: &[String], limit: u32) -> Result<CommitRange, GitError> {
        without.iter().map(String::as_str).chain([tip]).try_for_each(is_id)?;
        if self.commit(tip).await?.is_none() {
            return Ok(CommitRange::default());
        }
        let count = if without.is_empty() { 1 } else { limit };
        let revisions: Vec<String> =
            [tip.to_owned()].into_iter().chain(without.iter().map(|it| format!("^{it}"))).collect();
        let options = ["-z", "--no-color", "--no-decorate", "--ignore-missing"];
        // git itself cuts texts that may have megabytes, and pads shorter ones with blanks
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
        let mut commits = read_people(&listed);
        self.read_cut_messages(&mut commits).await;
        self.add_what_merges_brought(&mut commits).await;
        if without.is_empty() || commits.len() < limit as usize {
            return Ok(CommitRange { commits, left_out: 0 });
        }
        let run = self.git.run("rev-list").args(["--count", "--ignore-missing", &format!("--max-count={COUNTED_MAX}")]);
        let counted = run.args(["--end-of-options"]).args(&revisions).args(["--"]).bytes().await?;
        let counted: u32 = String::from_utf8_lossy(&counted).trim().parse().unwrap_or(limit);
        Ok(CommitRange { commits, left_out: counted.saturating_sub(limit) })
    }

    /// Reads the whole messages of commits whose messages git cut, to find all that they revert. A commit that is too large, or
    /// cannot be read now, stays cut.
    async fn read_cut_messages(&self, commits: &mut [Authored]) {
        for commit in commits.iter_mut().filter(|commit| commit.may_revert_more) {
            if let Ok(Some(raw)) = self.objects.contents(&commit.revision, "commit", COMMIT_BYTES_MAX).await {
                let text = String::from_utf8_lossy(&raw);
                commit.reverts = named_by(text.split_once("\n\n").map_or("", |(_, message)| message));
                commit.may_revert_more = false;
            }
        }
    }

    /// Adds to each revert of a merge the commits that the merge brought: all its commits that the parent which stays does not
    /// have. If git is not asked or fails, the commit may revert more than is known.
    async fn add_what_merges_brought(&self, commits: &mut [Authored]) {
        let merges = commits.iter().filter(|commit| commit.parents.len() > 1);
        let merges: BTreeMap<String, Vec<String>> =
            merges.map(|merge| (merge.revision.clone(), merge.parents.clone())).collect();
        let mut asked = 0;
        for commit in commits {
            for reversal in &mut commit.reverts {
                let Some((merge, kept)) = reversal.merge_among(&merges) else { continue };
                asked += 1;
                let brought = if asked > MERGES_MAX { None } else { self.merged(merge, kept).await.ok() };
                commit.may_revert_more |= brought.is_none();
                reversal.brought = brought.unwrap_or_default();
            }
        }
    }

    /// Returns the commits that a merge has and its parent `kept` does not have, without the merge itself.
    async fn merged(&self, merge: &str, kept: &str) -> Result<Vec<String>, GitError> {
        let most = format!("--max-count={}", MERGED_MAX + 1);
        let run = self.git.run("rev-list").args([most.as_str(), "--end-of-options", merge, &format!("^{kept}"), "--"]);
        let listed = run.bytes().await?;
        let ids = String::from_utf8_lossy(&listed);
        Ok(ids.lines().filter(|id| *id != merge).map(str::to_owned).collect())
    }
}

/// Makes git read the `.mailmap` of `tip`, because a mirror has no working tree to read it from. A tip without one changes no
/// address.
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
/// The character with which git pads a text that it did not cut.
const FILLING: char = ' ';

/// Reads commits with their people, each of [`FIELDS`] fields, in the order that [`Mirror::range`] asks for.
pub(super) fn read_people(listed: &[u8]) -> Vec<Authored> {
    let fields: Vec<_> = listed.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    fields.chunks_exact(FIELDS).map(authored).collect()
}

fn authored(fields: &[std::borrow::Cow<'_, str>]) -> Authored {
    let person = |at: usize| Person { name: short(fields[at].trim_end()), email: short(fields[at + 1].trim_end()) };
    Authored {
        revision: fields[0].trim().to_owned(),
        parents: fields[1].split_whitespace().map(str::to_owned).collect(),
        author: person(2),
        committer: person(4),
        time: time_of(&fields[6]),
        subject: short(fields[7].trim_end()),
        co_authors: fields[8].lines().filter_map(contact).take(CO_AUTHORS_MAX).collect(),
        reverts: named_by(&fields[9]),
        may_revert_more: !fields[9].ends_with(FILLING),
    }
}

/// Reads a contact such as `Ada <ada@example.org>`; `None` means that the text is not one.
fn contact(text: &str) -> Option<Person> {
    let (name, address) = text.trim().strip_suffix('>')?.split_once('<')?;
    let person = Person { name: short(name.trim()), email: short(address.trim()) };
    (!person.name.is_empty() && person.email.contains('@')).then_some(person)
}
