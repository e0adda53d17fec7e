//! A notice: the news of one change of a branch, as JSON and as text. Pure.

use super::failed_tests::NoticeTests;
use super::lines::{line, on_one_line, quoted};
use crate::decide::coordinator::record::Transition;
use schema::values::{ShortCommit, Time};
use serde::{Serialize, Serializer};
use std::collections::BTreeSet;

/// The most lanes that a subject names. More would make it too long for a list of mails.
const NAMED_MAX: usize = 3;
/// The beginning of the address of a program that commits for people, such as a forge that merges.
const NO_REPLY: &str = "noreply@";

/// The name of the lane that stands for a pipeline which cannot be read.
pub const PIPELINE: &str = "guild.toml";

/// The content of a notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// The name of the notice. It stays the same when the notice is sent again.
    pub id: String,
    pub kind: Transition,
    pub project: String,
    /// The short name of the branch.
    pub branch: String,
    /// The name of the first job in `jobs`.
    pub job: String,
    /// The number of the build that showed the change.
    pub build: u32,
    pub selector: String,
    /// The address of the job's page; `None` if the master has no address.
    pub url: Option<String>,
    pub commit: String,
    /// For a failure: the newest good result of the first lane. `None` means that no good result is known.
    pub last_good: Option<CommitResult>,
    /// For a fix: the newest bad result before the fix.
    pub last_bad: Option<CommitResult>,
    /// For a fix: the id of the notice that reported the failure.
    pub fixes: Option<String>,
    /// The id of the notice that reported the failure, if this is a reminder of it.
    pub reminds: Option<String>,
    /// The people who look after other jobs of the branch. Only a reminder has them.
    pub claims: Vec<NoticeClaim>,
    /// The commits that the change brought, newest first: since the last good result of a lane or, for a fix, since the last bad one.
    pub commits: Vec<NoticeCommit>,
    /// The number of further commits that are left out.
    pub commits_left_out: u32,
    /// The authors, co-authors and committers of the commits, each address once.
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
    /// The address of the job's page; `None` if the master has no address.
    pub url: Option<String>,
    /// The result with which the job began to fail.
    pub since: CommitResult,
    /// For a failure: the newest good result before the failure. `None` means that no good result is known.
    pub last_good: Option<CommitResult>,
    /// The step that failed, if one is known.
    pub step: Option<NoticeStep>,
    /// The end of the log of that step.
    pub log: String,
    /// The failed tests, sorted by the history of the job. `None` means that there is no history of them.
    pub tests: Option<NoticeTests>,
}

/// A `NoticeClaim` says who looks after a red job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoticeClaim {
    pub job: String,
    /// The name of the person.
    pub name: String,
    #[serde(serialize_with = "as_rfc_3339")]
    pub since: Time,
    /// The time at which the claim ends, if the job is still red.
    #[serde(serialize_with = "as_rfc_3339")]
    pub until: Time,
    /// What the person says about it.
    pub reason: String,
}

/// A `CommitResult` is a commit, and the build that showed its result.
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
    /// The committer of the commit, who may be another person than its author.
    pub committer: Author,
    /// The people whom the message of the commit names as co-authors.
    pub co_authors: Vec<Author>,
    /// The commit that cancels this commit out: its revert, or the commit that it reverts. Null means that the changes are in effect.
    pub undone_with: Option<String>,
    /// Whether the commit may revert more of these commits than it names, because not all that it reverts could be read.
    pub may_undo_more: bool,
}

impl NoticeCommit {
    /// Returns the names of the commit's author and co-authors.
    fn makers(&self) -> String {
        let all = std::iter::once(&self.author).chain(&self.co_authors);
        all.map(|author| author.name.as_str()).collect::<Vec<_>>().join(" and ")
    }

    /// Returns words that follow the subject of the commit, and say whether its changes are in effect.
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
    /// The mail address in the commit or in `.mailmap`. It may be any text.
    pub email: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoticeStep {
    /// The number of the step, counted from 1 as in selectors.
    pub number: u32,
    pub name: String,
    /// How the step ended, in words.
    pub exit: String,
    /// The command of the step for a shell; empty if the plan is gone.
    pub command: String,
    /// The names of the first failed tests, at most 20. It is empty if the reports name none.
    pub failing_tests: Vec<String>,
    /// The number of failed tests.
    pub failing_test_count: u32,
}

/// Returns the id of a notice, which is the same for each reporter and each try. An empty `job` means a whole branch.
pub fn id(project: &str, ref_name: &str, job: &str, turn: Transition, commit: &str) -> String {
    let mut hash = blake3::Hasher::new();
    for part in [project, ref_name, job, turn.word(), commit] {
        hash.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hash.finalize().to_hex()[..32].to_owned()
}

/// Returns the people to blame, each address once, in the order of the commits: the makers of a commit, and then its committer. A commit
/// whose changes were reverted blames nobody, unless all were.
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
    /// Returns the notice on one line, for the subject of a mail.
    pub fn subject(&self) -> String {
        let (jobs, at) = (self.named(), ShortCommit::of(&self.commit));
        let what = match self.kind {
            Transition::NewlyFailing if self.reminds.is_some() => format!("{jobs} still failing since {at}"),
            Transition::NewlyFailing => format!("{jobs} failing since {at}"),
            Transition::Fixed => format!("{jobs} fixed by {at}"),
        };
        format!("[{}] {what} on {}", self.project, self.branch)
    }

    /// Returns the notice for people, in plain text.
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

    /// Returns the names of the first few lanes.
    fn named(&self) -> String {
        let names: Vec<&str> = self.jobs.iter().take(NAMED_MAX).map(|job| job.job.as_str()).collect();
        match self.jobs.len().saturating_sub(NAMED_MAX) {
            0 => names.join(", "),
            more => format!("{} and {more} more", names.join(", ")),
        }
    }

    /// Returns the words that say which of several jobs this is.
    fn of(&self, job: &NoticeJob) -> String {
        if self.jobs.len() > 1 { format!(" of {}", job.job) } else { String::new() }
    }

    /// Returns the words that say how to stop reminders. A claim of the branch takes all of its red jobs. There is no claim for a
    /// pipeline that cannot be read, so the words are empty then.
    fn way_to_stop(&self) -> String {
        if self.jobs.iter().any(|job| job.job == PIPELINE) {
            return String::new();
        }
        let branch = quoted(&format!("{}/{}", self.project, self.branch));
        format!("To stop these reminders, say that you do: guild claim {branch} -m WHY\n\n")
    }

    fn head(&self) -> String {
        let (project, branch, at) = (&self.project, &self.branch, ShortCommit::of(&self.commit));
        let names: Vec<&str> = self.jobs.iter().map(|job| job.job.as_str()).collect();
        let (names, is_one) = (names.join(", "), self.jobs.len() == 1);
        let mut text = match (self.kind, is_one) {
            (Transition::NewlyFailing, _) if self.reminds.is_some() => format!(
                "A reminder: {branch} of {project} is still red since {at}, in {names}, and nobody looks after it.\n\n{}",
                self.way_to_stop()
            ),
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
        for claim in &self.claims {
            let since = rfc_3339(claim.since);
            line(
                &mut text,
                "claimed",
                &format!(
                    "{}: {} looks after it since {since}: {}",
                    claim.job,
                    on_one_line(&claim.name),
                    on_one_line(&claim.reason)
                ),
            );
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
    /// Writes the failed tests, one below the other.
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
    to.serialize_str(&rfc_3339(*time))
}

fn rfc_3339(time: Time) -> String {
    let milliseconds = i64::try_from(time.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(milliseconds).unwrap_or(jiff::Timestamp::MAX).to_string()
}
