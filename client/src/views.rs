//! What a master shows to the holder of a credential, as plain values. Times are moments of the master's clock, to the
//! millisecond; an absent one has not come yet. Numbers of builds, attempts and steps begin at 1.
//!
//! The JSON of these values is part of the command's interface: fields are only added. Times are RFC 3339 in it.

mod test_views;

pub use test_views::{FailedTest, PointOutcome, StepTests, TestLane, TestPoint, TestView};

use schema::values::{Description, Exit, GrantKind, Outcome, Selector, ShortRef, State, TierName, Time, What};
use serde::{Serialize, Serializer};

/// A project that the credential may see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProjectView {
    /// The name that selectors begin with; it is unique at its master.
    pub name: String,
    /// The address that the master fetches from, without a secret.
    pub repository: String,
    /// Other addresses of the same repository, by which a checkout of it is recognised.
    pub aliases: Vec<String>,
    /// The number of the newest build, or 0 if there is none yet.
    pub latest: u32,
    /// The full ref of the branch that the repository's HEAD names, or "" if the master has not read it yet.
    pub main_branch: String,
    /// When the master looks at the repository for changes next, or `None` if it does not follow it or does not say.
    #[serde(serialize_with = "rfc3339")]
    pub next_look: Option<Time>,
}

/// A build that the clock asks for: an entry of `[trigger.cron]` in the pipeline at the tip of a branch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CronView {
    /// The name of the entry.
    pub name: String,
    /// The full ref of the branch that it builds.
    #[serde(rename = "ref")]
    pub ref_name: String,
    /// The expression, as `0 3 * * *`.
    pub at: String,
    /// The time zone of the expression, as `Europe/Berlin`.
    pub tz: String,
    /// Whether the entry builds only if the branch moved since its last build.
    pub if_changed: bool,
    /// When the entry fires next. `None` means that it never does.
    #[serde(serialize_with = "rfc3339")]
    pub next: Option<Time>,
    /// When it fires next, as the clock in its zone shows it; "" if it does not fire again.
    pub shown: String,
    /// The time that the newest firing was for.
    #[serde(serialize_with = "rfc3339")]
    pub fired: Option<Time>,
    /// The number of the last build that the entry made, or 0 if it made none.
    pub build: u32,
    /// Why the newest firing made no build; "" if it made one, or if there was no firing.
    pub skipped: String,
}

impl CronView {
    /// When it fires next and what became of its newest firing, in a line.
    pub fn line(&self) -> String {
        let next = if self.shown.is_empty() { "never again" } else { &self.shown };
        let last = match (self.skipped.as_str(), self.build) {
            ("", 0) => String::new(),
            ("", build) => format!("; last: build {build}"),
            (skipped, _) => format!("; last: no build, because {skipped}"),
        };
        format!("of {}, next: {next}{last}", ShortRef::of(&self.ref_name))
    }
}

/// The update of a ref that made a build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ChangeView {
    /// The name of its project.
    pub project: String,
    /// The full ref, as `refs/heads/main`.
    #[serde(rename = "ref")]
    pub ref_name: String,
    /// The commit that the ref names now.
    pub revision: String,
    /// The commit that the ref named before; "" if the master saw the ref for the first time.
    pub before: String,
    /// Whether the ref was forced, because `before` is not an ancestor of its new tip.
    pub forced: bool,
    /// The commits that it brought, the newest first; at most 100, and only the tip where `before` is "".
    pub commits: Vec<CommitView>,
    /// The paths that differ from `before`, at most 1,000, each cut after 512 bytes; none where `before` is "".
    pub paths: Vec<String>,
}

/// A commit, as it describes itself. Its author is never trusted for a decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CommitView {
    /// The full id of the commit.
    pub revision: String,
    /// Its author, as `Name <mail>`.
    pub author: String,
    /// The time when it was committed.
    #[serde(serialize_with = "rfc3339")]
    pub time: Option<Time>,
    /// The first line of its message.
    pub subject: String,
}

/// The state of a branch, or of a tag. A branch is as good as its worst lane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BranchView {
    /// The full ref, as `refs/heads/main`.
    #[serde(rename = "ref")]
    pub ref_name: String,
    /// The worst outcome of the lanes, or `None` as long as no run counts.
    pub outcome: Option<Outcome>,
    /// Whether the newest run of a lane, or the reading of the pipeline, errored. This is shown beside the outcome.
    pub errored: bool,
    /// The number of the newest build of the branch's newest update, or 0 if there is none.
    pub tip: u32,
    /// The full commit id of that update.
    pub tip_revision: String,
    /// Whether the build `tip` is not finished.
    pub is_open: bool,
    /// The lanes of the jobs of the newest plan, in the plan's order.
    pub lanes: Vec<LaneView>,
    /// The number of the build that says that the pipeline cannot be read, if no plan is newer; else 0.
    pub broken: u32,
}

/// A lane: one job of one branch, build after build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LaneView {
    /// The name of the job with its cell, as `test@linux,3.14`.
    pub job: String,
    /// The newest outcome that counts.
    pub outcome: Option<Outcome>,
    /// The number of the build with that outcome; 0 if there is none, or if it is no longer kept.
    pub build: u32,
    /// The full commit id of that build.
    pub revision: String,
    /// The number of the build in which the lane began to fail, or 0 if it does not fail.
    pub since: u32,
    /// The full commit id of the build `since`.
    pub since_revision: String,
    /// The number of the newest build in which the lane was good, or 0 if there is none.
    pub last_good: u32,
    /// The full commit id of the build `last_good`.
    pub last_good_revision: String,
    /// The number of the build in which the newest run errored, or 0 if that run did not error.
    pub errored: u32,
}

/// A build: one run of a pipeline, for one commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BuildView {
    /// The name of its project.
    pub project: String,
    /// Its number within the project, from 1.
    pub number: u32,
    /// How far it has come.
    pub state: State,
    /// How it ended, or `None` while it is not finished.
    pub outcome: Option<Outcome>,
    /// The full ref that it was built for, or "" if the commit was asked for without one.
    #[serde(rename = "ref")]
    pub ref_name: String,
    /// The id of the commit in full.
    pub revision: String,
    /// The first line of the commit's message.
    pub subject: String,
    /// The name of the commit's author.
    pub author: String,
    /// Why it was made: `change`, `run by ada` or `retry of 411 by ada`, for example.
    pub cause: String,
    /// When the master recorded it.
    #[serde(serialize_with = "rfc3339")]
    pub created: Option<Time>,
    /// When its first job started.
    #[serde(serialize_with = "rfc3339")]
    pub started: Option<Time>,
    /// When the build finished. `None` means that it has not.
    #[serde(serialize_with = "rfc3339")]
    pub finished: Option<Time>,
    /// Why it has no plan, in lines for a person; "" if it has one.
    pub diagnosis: String,
    /// Its jobs, in the order of the plan. A list of builds leaves them out.
    pub jobs: Vec<JobView>,
    /// The number of the build that it repeats, or 0 if it is not a retry.
    pub retry_of: u32,
    /// The number of its jobs, which a list tells as well.
    pub job_count: u32,
    /// The address of the commit's page at the forge; "" if none is known, and in a list of builds.
    pub commit_url: String,
}

/// A job of a build, with its latest attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct JobView {
    /// The name with its cell, as `test@linux,3.14`.
    pub name: String,
    /// How far it has come.
    pub state: State,
    /// How it ended, or `None` while it is not finished.
    pub outcome: Option<Outcome>,
    /// Why it has this outcome, or why it waits, in a sentence; "" if there is nothing to say.
    pub reason: String,
    /// The name of the worker of the latest attempt, or "" if there was none.
    pub worker: String,
    /// The number of the latest attempt, or 0 if there was none.
    pub attempt: u16,
    /// When it first could be placed.
    #[serde(serialize_with = "rfc3339")]
    pub queued: Option<Time>,
    /// When the latest attempt started.
    #[serde(serialize_with = "rfc3339")]
    pub started: Option<Time>,
    /// When the job finished. `None` means that it has not.
    #[serde(serialize_with = "rfc3339")]
    pub finished: Option<Time>,
    /// The steps of the latest attempt, in their order.
    pub steps: Vec<StepView>,
    /// The platform of its worker, or the one that it asks for, as `linux-x86_64`; "" if any will do.
    pub platform: String,
    /// The places in [`BuildView::jobs`], from 0, of the jobs that it needs.
    pub needs: Vec<u32>,
    /// The number of the build that it ran in, if this retry did not repeat it; else 0.
    pub carried_from: u32,
    /// The tier of isolation of the latest attempt; "" if none is known, or if the master is older.
    pub isolation: String,
}

/// A step of a job's attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StepView {
    /// The name that the pipeline gives it.
    pub name: String,
    /// How far it has come.
    pub state: State,
    /// How it ended, or `None` while it is not finished.
    pub outcome: Option<Outcome>,
    /// How the step's process ended.
    pub exit: Exit,
    /// When the step started. `None` means that it has not.
    #[serde(serialize_with = "rfc3339")]
    pub started: Option<Time>,
    /// When the step finished. `None` means that it has not.
    #[serde(serialize_with = "rfc3339")]
    pub finished: Option<Time>,
    /// The bytes of its log that the master holds so far.
    pub log_size: u64,
    /// What its reports say of its tests. `None` means that it has none, it is not finished, or the master is older.
    pub tests: Option<StepTests>,
}

impl StepView {
    /// Why the step ended as it did, in words: how its process ended, or which report of its tests was not written.
    pub fn reason(&self) -> String {
        self.exit.reason(self.outcome, self.tests.as_ref().map_or("", |tests| &tests.trouble))
    }
}

/// A job that waits for a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueItem {
    /// The name of its project.
    pub project: String,
    /// The number of its build.
    pub build: u32,
    /// The name of the job with its cell.
    pub job: String,
    /// Since when it could be placed.
    #[serde(serialize_with = "rfc3339")]
    pub since: Option<Time>,
    /// Why it waits, in a sentence.
    pub reason: String,
    /// The same reason in a word for programs; `perspective.capnp` lists the words.
    pub kind: String,
    /// The change that would help, in short; "" if nothing needs to be done.
    pub remedy: String,
}

/// A grant: what the holder of one credential may do, below the grant that it was issued from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GrantView {
    /// Its number, which is unique at its master.
    pub id: u64,
    /// The number of the grant that issued it, or 0 for the root.
    pub parent: u64,
    /// The kind of its holder: a person, a worker or a program.
    pub kind: GrantKind,
    /// The name of its holder.
    pub name: String,
    /// The rights that the grant holds, and the places where they hold.
    pub what: What,
    /// When the grant was issued.
    #[serde(serialize_with = "rfc3339")]
    pub created: Option<Time>,
    /// When it ends by itself, or `None` if it does not.
    #[serde(serialize_with = "rfc3339")]
    pub expires: Option<Time>,
    /// When it was revoked, or `None` if it was not.
    #[serde(serialize_with = "rfc3339")]
    pub revoked: Option<Time>,
    /// The fingerprint of its holder's key, as `sha-256:...`; "" until it is redeemed.
    pub holder: String,
    /// Why it was revoked; "" if it was not.
    pub reason: String,
}

/// A worker, as the master knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WorkerView {
    /// Its name, which is unique at its master.
    pub name: String,
    /// Whether the worker has a connection to the master now.
    pub connected: bool,
    /// The worker's description of itself: platform, resources, version, and labels that it claims.
    pub description: Description,
    /// The pools that its grant lets it serve.
    pub pools: Vec<String>,
    /// The selectors of the jobs that it runs.
    pub running: Vec<String>,
    /// When the master last heard of it.
    #[serde(serialize_with = "rfc3339")]
    pub last_heard: Option<Time>,
    /// Whether the worker finishes its present jobs and is offered nothing new.
    pub draining: bool,
    /// Why an operator holds it, or "" if nobody does.
    pub held: String,
    /// The number of its grant.
    pub grant: u64,
    /// Why its jobs are placed again only when their leases end; "" while it holds them.
    pub waits: String,
    /// Why its grant was revoked, or "" if the grant is in force.
    pub revoked: String,
    /// The labels in force. Those that it only claims are in its description.
    pub labels: Vec<(String, String)>,
}

/// The identity that the master sees in the holder of this credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Whoami {
    /// The grant behind the credential.
    pub grant: GrantView,
    /// The addresses that the master advertises, as `ci.example.org:7711`, with commas between them.
    pub master: String,
    /// A number that changes when the master is restored from a backup. Cursors of another incarnation are of no use.
    pub incarnation: u64,
    /// The address of the master's web pages, or "" if it serves none.
    pub pages: String,
}

impl WorkerView {
    /// The tiers of isolation that it offers and why it lacks others, as "plain; no guard: …".
    pub fn tiers(&self) -> String {
        let about = &self.description;
        let offered = about.isolation.iter().map(TierName::word).collect::<Vec<_>>().join(", ");
        let lacks =
            about.probes.iter().filter_map(|probe| Some(format!("no {}: {}", probe.tier, probe.lack.as_ref()?)));
        [offered].into_iter().filter(|text| !text.is_empty()).chain(lacks).collect::<Vec<_>>().join("; ")
    }
}

impl BuildView {
    /// The text that names this build exactly, as `pyfoo/412`.
    pub fn selector(&self) -> String {
        Selector::build(&self.project, self.number).to_string()
    }

    /// The selector of a job of the build, as people name it.
    pub fn selector_of(&self, job: &JobView) -> String {
        Selector::build(&self.project, self.number).job(&job.name).to_string()
    }

    /// The job of this name, which includes its cell.
    pub fn job(&self, name: &str) -> Option<&JobView> {
        self.jobs.iter().find(|job| job.name == name)
    }

    /// Whether the build has ended, whatever its outcome.
    pub fn is_finished(&self) -> bool {
        self.state == State::Finished
    }

    /// The branch or tag by its short name; the full ref where it is neither.
    pub fn short_ref(&self) -> &str {
        ShortRef::of(&self.ref_name).name()
    }
}

impl JobView {
    /// The name without its cell.
    pub fn base(&self) -> &str {
        self.name.split('@').next().unwrap_or(&self.name)
    }

    /// The values of the matrix, in the order of its axes.
    pub fn cell(&self) -> Vec<&str> {
        self.name.split_once('@').map_or(Vec::new(), |(_, cell)| cell.split(',').collect())
    }

    /// Whether the job has ended, whatever its outcome.
    pub fn is_finished(&self) -> bool {
        self.state == State::Finished
    }

    /// Whether its code or its infrastructure failed.
    pub fn is_bad(&self) -> bool {
        matches!(self.outcome, Some(Outcome::Failed | Outcome::Errored))
    }
}

/// A time as RFC 3339 in UTC, to the millisecond.
pub fn timestamp(time: Time) -> String {
    i64::try_from(time.0)
        .ok()
        .and_then(|milliseconds| jiff::Timestamp::from_millisecond(milliseconds).ok())
        .map_or_else(|| time.0.to_string(), |stamp| format!("{stamp:.3}"))
}

pub(crate) fn rfc3339<S: Serializer>(time: &Option<Time>, to: S) -> Result<S::Ok, S::Error> {
    time.map(timestamp).serialize(to)
}
