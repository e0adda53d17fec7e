//! A notice: what is told of one change of a lane, as JSON and as text. Pure.

use crate::coordinator::record::Turn;
use schema::values::Time;
use serde::{Serialize, Serializer};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Digits of a commit's id for people.
const SHORT: usize = 7;

/// What is told. Serialized, it is what a command gets; fields are only added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// The same whenever this is told again.
    pub id: String,
    pub kind: Turn,
    pub project: String,
    /// Its short name.
    pub branch: String,
    pub job: String,
    /// The number of the build that showed it.
    pub build: u32,
    pub selector: String,
    /// The job's page; none where the master has no address.
    pub url: Option<String>,
    pub commit: String,
    /// Of a new failure: the nearest commit before it that was good; none: this is the lane's first result.
    pub last_good: Option<Place>,
    /// Of a fix: the nearest commit before it that was bad.
    pub last_bad: Option<Place>,
    /// Of a fix: the id of the notice that told the failure.
    pub fixes: Option<String>,
    /// The newest first: what `commit` has and the last good, or bad, has not.
    pub commits: Vec<NoticeCommit>,
    /// How many more there are.
    pub commits_left_out: u32,
    /// Of the commits, each once.
    pub authors: Vec<Author>,
    /// That failed.
    pub step: Option<NoticeStep>,
    /// The end of its log.
    pub log: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    pub commit: String,
    /// The number of the build that showed it.
    pub build: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoticeCommit {
    pub commit: String,
    pub author: Author,
    pub subject: String,
    #[serde(serialize_with = "as_rfc_3339")]
    pub time: Time,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Author {
    pub name: String,
    /// As the commit has it: it may be anything.
    pub email: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoticeStep {
    /// From 1, as selectors have it.
    pub number: u32,
    pub name: String,
    /// How it ended, in words.
    pub exit: String,
}

/// Which notice this is, whoever tells it and however often.
pub fn id(project: &str, ref_name: &str, job: &str, turn: Turn, commit: &str) -> String {
    let mut hash = blake3::Hasher::new();
    for part in [project, ref_name, job, turn.word(), commit] {
        hash.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hash.finalize().to_hex()[..32].to_owned()
}

/// Each address once, in the order of the commits.
pub fn authors(commits: &[NoticeCommit]) -> Vec<Author> {
    let mut seen = BTreeSet::new();
    let all = commits.iter().map(|commit| &commit.author);
    all.filter(|author| seen.insert(author.email.to_lowercase())).cloned().collect()
}

impl Notice {
    /// One line.
    pub fn subject(&self) -> String {
        let (job, at) = (&self.job, short(&self.commit));
        let what = match self.kind {
            Turn::NewlyFailing => format!("{job} failing since {at}"),
            Turn::Fixed => format!("{job} fixed by {at}"),
        };
        format!("[{}] {what} on {}", self.project, self.branch)
    }

    /// For people, in plain text.
    pub fn text(&self) -> String {
        let mut text = self.head();
        self.write_commits(&mut text);
        if !self.log.is_empty() {
            let lines: String = self.log.lines().map(|line| format!("    {line}\n")).collect();
            text += &format!("\nThe end of the log:\n\n{lines}");
        }
        text += &format!("\nAll of it: guild logs {}\n", self.selector);
        text
    }

    fn head(&self) -> String {
        let (job, project, branch, at) = (&self.job, &self.project, &self.branch, short(&self.commit));
        let mut text = match self.kind {
            Turn::NewlyFailing => format!("{job} of {project} fails on {branch} since {at}.\n\n"),
            Turn::Fixed => format!("{job} of {project} is good again on {branch}, by {at}.\n\n"),
        };
        let mut line = |name: &str, value: &str| {
            // a String takes everything
            let _ = writeln!(text, "  {name:<10}{value}");
        };
        line("build", &self.selector);
        if let Some(url) = &self.url {
            line("page", url);
        }
        if let Some(step) = &self.step {
            line("step", &format!("{} \"{}\", {}", step.number, step.name, step.exit));
        }
        for (name, place) in [("last good", &self.last_good), ("last bad", &self.last_bad)] {
            if let Some(place) = place {
                line(name, &format!("{} ({}/{})", short(&place.commit), self.project, place.build));
            }
        }
        text
    }

    fn write_commits(&self, text: &mut String) {
        let since = match (self.kind, &self.last_good) {
            (Turn::NewlyFailing, Some(_)) => "Commits since it was good",
            (Turn::NewlyFailing, None) => "Commits of its first result",
            (Turn::Fixed, _) => "Commits since it was bad",
        };
        if self.commits.is_empty() {
            *text += "\nNothing was changed in between: the same commit was built again.\n";
            return;
        }
        *text += &format!("\n{since}:\n\n");
        for commit in &self.commits {
            *text += &format!("  {}  {}  {}\n", short(&commit.commit), commit.author.name, commit.subject);
        }
        if self.commits_left_out > 0 {
            *text += &format!("  and {} more\n", self.commits_left_out);
        }
    }
}

fn short(commit: &str) -> &str {
    commit.get(..SHORT).unwrap_or(commit)
}

fn as_rfc_3339<S: Serializer>(time: &Time, to: S) -> Result<S::Ok, S::Error> {
    let milliseconds = i64::try_from(time.0).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_millisecond(milliseconds).unwrap_or(jiff::Timestamp::MAX);
    to.serialize_str(&time.to_string())
}
