//! What reporters ask of history: the parents of commits, and who made what lies between two of them.

use schema::values::Time;

use super::Mirror;
use super::change::{is_id, short, time_of};
use super::git::GitError;

/// Commits whose parents are told at once; the newest, where there are more.
const PARENTS_MAX: usize = 10_000;
/// Of a range; more are not counted.
const COUNTED_MAX: u32 = 100_000;

/// A commit, as git spells its ids, and its parents.
pub type Parents = (String, Vec<String>);

/// A commit with its author's name and address apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authored {
    pub revision: String,
    pub name: String,
    /// Anything that the author's git was told.
    pub email: String,
    pub time: Time,
    /// The first line of its message.
    pub subject: String,
}

/// What lies between commits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// The newest first.
    pub commits: Vec<Authored>,
    /// How many more there are.
    pub left_out: u32,
}

impl Mirror {
    /// The parents of these commits and of what they descend from, but not of what `known` descend from; the newest 10,000.
    /// What is not here is left out.
    pub async fn parents(&self, of: &[String], known: &[String]) -> Result<Vec<Parents>, GitError> {
        if of.is_empty() {
            return Ok(Vec::new());
        }
        of.iter().chain(known).try_for_each(|revision| is_id(revision))?;
        let mut asked: String = of.iter().map(|revision| format!("{revision}\n")).collect();
        known.iter().for_each(|revision| asked += &format!("^{revision}\n"));
        let options = ["--parents", "--ignore-missing", "--stdin"];
        let run = self.git.run("rev-list").args([format!("--max-count={PARENTS_MAX}")]).args(options);
        let listed = run.stdin(asked.into_bytes()).bytes().await?;
        let listed = String::from_utf8_lossy(&listed);
        let lines = listed.lines().map(|line| {
            let mut ids = line.split(' ').map(str::to_owned);
            (ids.next().unwrap_or_default(), ids.collect())
        });
        Ok(lines.collect())
    }

    /// What `tip` has and none of `without` has, at most `limit`; without any, only the tip. What is not here is left out.
    pub async fn range(&self, tip: &str, without: &[String], limit: u32) -> Result<Range, GitError> {
        without.iter().map(String::as_str).chain([tip]).try_for_each(is_id)?;
        if self.commit(tip).await?.is_none() {
            return Ok(Range::default());
        }
        let count = if without.is_empty() { 1 } else { limit };
        let revisions: Vec<String> =
            [tip.to_owned()].into_iter().chain(without.iter().map(|it| format!("^{it}"))).collect();
        let options = ["-z", "--no-color", "--no-decorate", "--ignore-missing"];
        // git cuts what may have megabytes, and fills up with blanks
        let format = "--format=%H%x00%<(700,trunc)%an%x00%<(700,trunc)%ae%x00%ct%x00%<(700,trunc)%s";
        let run = self.git.run("log").args(options).args([format, &format!("--max-count={count}")]);
        let listed = run.args(["--end-of-options"]).args(&revisions).args(["--"]).bytes().await?;
        let fields: Vec<_> = listed.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        let commits: Vec<Authored> = fields.chunks_exact(5).map(authored).collect();
        if without.is_empty() || commits.len() < limit as usize {
            return Ok(Range { commits, left_out: 0 });
        }
        let run = self.git.run("rev-list").args(["--count", "--ignore-missing", &format!("--max-count={COUNTED_MAX}")]);
        let counted = run.args(["--end-of-options"]).args(&revisions).args(["--"]).bytes().await?;
        let counted: u32 = String::from_utf8_lossy(&counted).trim().parse().unwrap_or(limit);
        Ok(Range { commits, left_out: counted.saturating_sub(limit) })
    }
}

fn authored(fields: &[std::borrow::Cow<'_, str>]) -> Authored {
    Authored {
        revision: fields[0].trim().to_owned(),
        name: short(fields[1].trim_end()),
        email: short(fields[2].trim_end()),
        time: time_of(&fields[3]),
        subject: short(fields[4].trim_end()),
    }
}
