//! A notice: the news of one change of a branch, as JSON and as text. Pure.

use super::failed_tests::NoticeTests;
use super::lines::{line, on_one_line};
use crate::decide::coordinator::record::Transition;
use schema::values::{ShortCommit, Time};
use serde::{Serialize, Serializer};
use std::collections::BTreeSet;

/// Lanes that a subject names; more make it too long for a list of mails.
const NAMED_MAX: usize = 3;
/// How the address of a program that commits for people begins, as a forge does that merges.
const NO_REPLY: &str = "noreply@";

/// The content of a notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// The name of the notice. It stays the same when the notice is sent again.
    pub id: String,
    pub kind: Transition,
    pub project: String,
    /// The short name of the branch.
    pub branch: String,
    /// The first one of `jobs`.
    pub job: String,
    /// The number of the build that showed the change.
    pub build: u32,
    pub selector: String,
    /// The job's page; none where the master has no address.
    pub url: Option<String>,
    pub commit: String,
    /// Where the failure is new: the newest result of the first lane that was good; `None` means that nothing good is known of it.
    pub last_good: Option<CommitResult>,
    /// Where it is a fix: the newest result before it that was bad.
    pub last_bad: Option<CommitResult>,
    /// Where it is a fix: the id of the notice that told the failure.
    pub fixes: Option<String>,
    /// The newest first: what `commit` has and the last good of one of the lanes, or the last bad, has not.
    pub commits: Vec<NoticeCommit>,
    /// How many more there are.
    pub commits_left_out: u32,
    /// Who made the commits, and who put them there; each once.
    pub authors: Vec<Author>,
    /// The step that failed in the first lane.
    pub step: Option<NoticeStep>,
    /// The end of the log of that step.
    pub log: String,
    /// The first line of the message of `commit`.
    pub commit_subject: String,
    /// Every lane that failed, in the order of the plan.
    pub jobs: Vec<NoticeJob>,
    /// Commands for a shell that repeat the failure.
    pub reproduce: Vec<String>,
}

/// A lane that a notice names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoticeJob {
    pub job: String,
    pub selector: String,
    /// The address of the job's page; none where the master has no address.
    pub url: Option<String>,
    /// The result with which the job began to fail.
    pub since: CommitResult,
    /// Where the failure is new: the newest good result before; `None` means that nothing good is known of it.
    pub last_good: Option<CommitResult>,
    /// The step that failed, if one is known.
    pub step: Option<NoticeStep>,
    /// The end of the log of that step.
    pub log: String,
    /// The tests that failed, sorted by the history of the job. None: there is no history of them.
    pub tests: Option<NoticeTests>,
}

/// A commit, and the build that said what it came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CommitResult {
    pub commit: String,
    /// The number of the build that showed the result.
    pub build: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoticeCommit {
    pub commit: String,
    pub author: Author,
    pub subject: String,
    #[serde(serialize_with = "as_rfc_3339")]
    pub time: Time,
    /// Who put the commit there.
    pub committer: Author,
    /// Whom its message names as co-authors.
    pub co_authors: Vec<Author>,
    /// The commit with which it makes up nothing: its revert, or what it reverts. Null means that its changes are in effect.
    pub undone_with: Option<String>,
    /// Whether it reverts others of these commits, and perhaps more, because not all that it reverts could be read.
    pub may_undo_more: bool,
}

impl NoticeCommit {
    /// Who made it: its author and its co-authors, by name.
    fn makers(&self) -> String {
        let all = std::iter::once(&self.author).chain(&self.co_authors);
        all.map(|author| author.name.as_str()).collect::<Vec<_>>().join(" and ")
    }

    /// What is known of whether its changes are in effect, in words behind its subject.
    fn standing(&self) -> String {
        match &self.undone_with {
            Some(other) => format!("  (undone: see {})", ShortCommit::of(other)),
            None if self.may_undo_more => "  (may revert more than could be read)".to_owned(),
            None => String::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Author {
    pub name: String,
    /// The address of the mail as the commit has it, or its `.mailmap`: it may be anything.
    pub email: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoticeStep {
    /// The number of the step, from 1, as selectors have it.
    pub number: u32,
    pub name: String,
    /// How the step ended, in words.
    pub exit: String,
    /// What it runs, as a shell takes it; empty where the plan is gone.
    pub command: String,
    /// The names of the first tests that failed, at most 20; empty means that its reports name none.
    pub failing_tests: Vec<String>,
    /// How many of the tests failed.
    pub failing_test_count: u32,
}

/// Names a notice, whoever tells it and however often. An empty job: of a whole branch.
pub fn id(project: &str, ref_name: &str, job: &str, turn: Transition, commit: &str) -> String {
    let mut hash = blake3::Hasher::new();
    for part in [project, ref_name, job, turn.word(), commit] {
        hash.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hash.finalize().to_hex()[..32].to_owned()
}

/// Each address once, in the order of the commits: who made a commit, and then who put it there. A commit whose changes were
/// taken back is nobody's fault, unless all were.
pub fn authors(commits: &[NoticeCommit]) -> Vec<Author> {
    let mut seen = BTreeSet::new();
    let is_person = |author: &&Author| !author.email.to_lowercase().starts_with(NO_REPLY);
    let is_effective = |commit: &&NoticeCommit| commit.undone_with.is_none();
    let nothing_is = !commits.iter().any(|commit| is_effective(&commit));
    let blamed = commits.iter().filter(|commit| nothing_is || is_effective(commit));
    let all = blamed.flat_map(|commit| {
        let committer = Some(&commit.committer).filter(is_person);
        std::iter::once(&commit.author).chain(commit.co_authors.iter().filter(is_person)).chain(committer)
    });
    all.filter(|author| seen.insert(author.email.to_lowercase())).cloned().collect()
}

impl Notice {
    /// The notice in one line, as a mail's subject.
    pub fn subject(&self) -> String {
        let (jobs, at) = (self.named(), ShortCommit::of(&self.commit));
        let what = match self.kind {
            Transition::NewlyFailing => format!("{jobs} failing since {at}"),
            Transition::Fixed => format!("{jobs} fixed by {at}"),
        };
        format!("[{}] {what} on {}", self.project, self.branch)
    }

    /// The notice for people, in plain text.
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
        text += "\nThese commands show more, or repeat the failure:\n\n";
        for command in &self.reproduce {
            text += &format!("  {}\n", command.trim_end().replace('\n', "\n  "));
        }
        text
    }

    /// The first few lanes by name.
    fn named(&self) -> String {
        let names: Vec<&str> = self.jobs.iter().take(NAMED_MAX).map(|job| job.job.as_str()).collect();
        match self.jobs.len().saturating_sub(NAMED_MAX) {
            0 => names.join(", "),
            more => format!("{} and {more} more", names.join(", ")),
        }
    }

    /// Which of several jobs this is.
    fn of(&self, job: &NoticeJob) -> String {
        if self.jobs.len() > 1 { format!(" of {}", job.job) } else { String::new() }
    }

    fn head(&self) -> String {
        let (project, branch, at) = (&self.project, &self.branch, ShortCommit::of(&self.commit));
        let names: Vec<&str> = self.jobs.iter().map(|job| job.job.as_str()).collect();
        let (names, is_one) = (names.join(", "), self.jobs.len() == 1);
        let mut text = match (self.kind, is_one) {
            (Transition::NewlyFailing, true) => format!("{names} of {project} has failed on {branch} since {at}.\n\n"),
            (Transition::NewlyFailing, false) => {
                format!("{names} of {project} have failed on {branch} since {at}.\n\n")
            }
            (Transition::Fixed, _) => {
                format!("{branch} of {project} is good again since {at}. It failed in {names}.\n\n")
            }
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
            match &job.tests {
                Some(tests) => tests.write(text),
                None => step.write_tests(text),
            }
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
            *text += "\nThere are no new commits: the same commit was built again.\n";
            return;
        }
        *text += &format!("\n{since}:\n\n");
        for commit in &self.commits {
            let by = match commit.committer.name == commit.author.name {
                true => commit.makers(),
                false => format!("{} (committed by {})", commit.makers(), commit.committer.name),
            };
            let (subject, standing) = (&commit.subject, commit.standing());
            *text += &format!("  {}  {by}  {subject}{standing}\n", ShortCommit::of(&commit.commit));
        }
        if self.commits_left_out > 0 {
            *text += &format!("  and {} more\n", self.commits_left_out);
        }
    }
}

impl NoticeStep {
    /// The tests that failed, one below the other.
    fn write_tests(&self, text: &mut String) {
        let heads = std::iter::once("failed").chain(std::iter::repeat(""));
        for (head, name) in heads.zip(&self.failing_tests) {
            line(text, head, &on_one_line(name));
        }
        let named = u32::try_from(self.failing_tests.len()).unwrap_or(u32::MAX);
        match (self.failing_test_count.saturating_sub(named), named) {
            (0, _) => {}
            (more, 0) => line(text, "failed", &format!("{more} tests")),
            (more, _) => line(text, "", &format!("and {more} more")),
        }
    }
}

fn as_rfc_3339<S: Serializer>(time: &Time, to: S) -> Result<S::Ok, S::Error> {
    let milliseconds = i64::try_from(time.0).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_millisecond(milliseconds).unwrap_or(jiff::Timestamp::MAX);
    to.serialize_str(&time.to_string())
}
