//! A notice: what is told of one change of a branch, as JSON and as text. Pure.

use crate::decide::coordinator::record::Transition;
use schema::values::{ShortCommit, Time};
use serde::{Serialize, Serializer};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Lanes that a subject names; more make it too long for a list of mails.
const NAMED_MAX: usize = 3;
/// How the address of a program that commits for people begins, as that of a forge which merges.
const NO_REPLY: &str = "noreply@";

/// What is told. Serialized, it is what a command gets; fields are only added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// The same whenever this is told again.
    pub id: String,
    pub kind: Transition,
    pub project: String,
    /// Its short name.
    pub branch: String,
    /// The first of `jobs`.
    pub job: String,
    /// The number of the build that showed it.
    pub build: u32,
    pub selector: String,
    /// The job's page; none where the master has no address.
    pub url: Option<String>,
    pub commit: String,
    /// Of a new failure: the newest result of the first lane that was good; none: nothing good is known of it.
    pub last_good: Option<CommitResult>,
    /// Of a fix: the newest result before it that was bad.
    pub last_bad: Option<CommitResult>,
    /// Of a fix: the id of the notice that told the failure.
    pub fixes: Option<String>,
    /// The newest first: what `commit` has and the last good of one of the lanes, or the last bad, has not.
    pub commits: Vec<NoticeCommit>,
    /// How many more there are.
    pub commits_left_out: u32,
    /// Who made the commits, and who put them there; each once.
    pub authors: Vec<Author>,
    /// Of the first lane: the step that failed.
    pub step: Option<NoticeStep>,
    /// The end of its log.
    pub log: String,
    /// The first line of the message of `commit`.
    pub commit_subject: String,
    /// Every lane that failed, in the order of the plan.
    pub jobs: Vec<NoticeJob>,
    /// Commands for a shell.
    pub reproduce: Vec<String>,
}

/// A lane that a notice names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoticeJob {
    pub job: String,
    pub selector: String,
    /// Its page; none where the master has no address.
    pub url: Option<String>,
    /// Where it began to fail.
    pub since: CommitResult,
    /// Of a new failure: the newest good result before; none: nothing good is known of it.
    pub last_good: Option<CommitResult>,
    /// The step that failed.
    pub step: Option<NoticeStep>,
    /// The end of its log.
    pub log: String,
}

/// A commit, and the build that said what it came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CommitResult {
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
    /// Who put it there.
    pub committer: Author,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Author {
    pub name: String,
    /// As the commit has it, or its `.mailmap`: it may be anything.
    pub email: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoticeStep {
    /// From 1, as selectors have it.
    pub number: u32,
    pub name: String,
    /// How it ended, in words.
    pub exit: String,
    /// What it runs, as a shell takes it; empty where the plan is gone.
    pub command: String,
}

/// Names a notice, whoever tells it and however often. An empty job: of a whole branch.
pub fn id(project: &str, ref_name: &str, job: &str, turn: Transition, commit: &str) -> String {
    let mut hash = blake3::Hasher::new();
    for part in [project, ref_name, job, turn.word(), commit] {
        hash.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hash.finalize().to_hex()[..32].to_owned()
}

/// Each address once, in the order of the commits: who made a commit, and then who put it there.
pub fn authors(commits: &[NoticeCommit]) -> Vec<Author> {
    let mut seen = BTreeSet::new();
    let is_person = |author: &&Author| !author.email.to_lowercase().starts_with(NO_REPLY);
    let all = commits
        .iter()
        .flat_map(|commit| [Some(&commit.author), Some(&commit.committer).filter(is_person)].into_iter().flatten());
    all.filter(|author| seen.insert(author.email.to_lowercase())).cloned().collect()
}

impl Notice {
    /// One line.
    pub fn subject(&self) -> String {
        let (jobs, at) = (self.named(), ShortCommit::of(&self.commit));
        let what = match self.kind {
            Transition::NewlyFailing => format!("{jobs} failing since {at}"),
            Transition::Fixed => format!("{jobs} fixed by {at}"),
        };
        format!("[{}] {what} on {}", self.project, self.branch)
    }

    /// For people, in plain text.
    pub fn text(&self) -> String {
        let mut text = self.head();
        for job in &self.jobs {
            self.write_job(&mut text, job);
        }
        self.write_commits(&mut text);
        for job in self.jobs.iter().filter(|job| !job.log.is_empty()) {
            let lines: String = job.log.lines().map(|line| format!("    {line}\n")).collect();
            text += &format!("\nThe end of the log{}:\n\n{lines}", self.of(job));
        }
        text += "\nTo see more, or to see it again:\n\n";
        for command in &self.reproduce {
            text += &format!("  {}\n", command.trim_end().replace('\n', "\n  "));
        }
        text
    }

    /// The first few lanes.
    fn named(&self) -> String {
        let names: Vec<&str> = self.jobs.iter().take(NAMED_MAX).map(|job| job.job.as_str()).collect();
        match self.jobs.len().saturating_sub(NAMED_MAX) {
            0 => names.join(", "),
            more => format!("{} and {more} more", names.join(", ")),
        }
    }

    /// Where there are several, which of them.
    fn of(&self, job: &NoticeJob) -> String {
        if self.jobs.len() > 1 { format!(" of {}", job.job) } else { String::new() }
    }

    fn head(&self) -> String {
        let (project, branch, at) = (&self.project, &self.branch, ShortCommit::of(&self.commit));
        let names: Vec<&str> = self.jobs.iter().map(|job| job.job.as_str()).collect();
        let (names, is_one) = (names.join(", "), self.jobs.len() == 1);
        let mut text = match (self.kind, is_one) {
            (Transition::NewlyFailing, true) => format!("{names} of {project} fails on {branch} since {at}.\n\n"),
            (Transition::NewlyFailing, false) => format!("{names} of {project} fail on {branch} since {at}.\n\n"),
            (Transition::Fixed, _) => format!("{branch} of {project} is good again by {at}. It failed in {names}.\n\n"),
        };
        line(&mut text, "commit", &format!("{at}  {}", self.commit_subject));
        if let Some(bad) = &self.last_bad {
            line(&mut text, "last bad", &format!("{} ({}/{})", ShortCommit::of(&bad.commit), self.project, bad.build));
        }
        text
    }

    fn write_job(&self, text: &mut String, job: &NoticeJob) {
        if self.jobs.len() > 1 {
            *text += &format!("\n{}:\n\n", job.job);
        }
        line(text, "build", &job.selector);
        if let Some(url) = &job.url {
            line(text, "page", url);
        }
        if let Some(step) = &job.step {
            line(text, "step", &format!("{} \"{}\", {}", step.number, step.name, step.exit));
        }
        if self.kind == Transition::Fixed {
            line(
                text,
                "failed in",
                &format!("{} ({}/{})", ShortCommit::of(&job.since.commit), self.project, job.since.build),
            );
        }
        if let Some(good) = &job.last_good {
            line(text, "last good", &format!("{} ({}/{})", ShortCommit::of(&good.commit), self.project, good.build));
        }
    }

    fn write_commits(&self, text: &mut String) {
        let since = match (self.kind, &self.last_good) {
            (Transition::NewlyFailing, Some(_)) => "Commits since it was good",
            (Transition::NewlyFailing, None) => "Commits of its first result",
            (Transition::Fixed, _) => "Commits since it was bad",
        };
        if self.commits.is_empty() {
            *text += "\nNothing was changed in between: the same commit was built again.\n";
            return;
        }
        *text += &format!("\n{since}:\n\n");
        for commit in &self.commits {
            let by = match commit.committer.name == commit.author.name {
                true => commit.author.name.clone(),
                false => format!("{} (put there by {})", commit.author.name, commit.committer.name),
            };
            *text += &format!("  {}  {by}  {}\n", ShortCommit::of(&commit.commit), commit.subject);
        }
        if self.commits_left_out > 0 {
            *text += &format!("  and {} more\n", self.commits_left_out);
        }
    }
}

fn line(text: &mut String, name: &str, value: &str) {
    // a String takes everything
    let _ = writeln!(text, "  {name:<10}{value}");
}

fn as_rfc_3339<S: Serializer>(time: &Time, to: S) -> Result<S::Ok, S::Error> {
    let milliseconds = i64::try_from(time.0).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_millisecond(milliseconds).unwrap_or(jiff::Timestamp::MAX);
    to.serialize_str(&time.to_string())
}
