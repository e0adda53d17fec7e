//! The values that a master shows to the holder of a credential. Times are moments of the master's clock, to the millisecond. A time
//! that is absent has not come yet. Numbers of builds, attempts and steps begin at 1.
//!
//! The JSON of these values is part of the command's interface, so fields are only added. It has times in the form of RFC 3339.

mod blame_views;
mod test_views;

pub use blame_views::{RedRange, SuspectView};
pub use test_views::{FailedTest, PointOutcome, StepTests, TestLane, TestPoint, TestView};

use schema::values::{Description, Exit, GrantKind, Outcome, Selector, ShortRef, State, TierName, Time, What};
use serde::{Serialize, Serializer};

/// A project that the credential may see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProjectView {
    /// The name of the project, with which selectors begin. It is unique at its master.
    pub name: String,
    /// The address from which the master fetches, without a secret.
    pub repository: String,
    /// Other addresses of the same repository, by which a checkout of it is recognised.
    pub aliases: Vec<String>,
    /// The number of the newest build, or 0 if there is none yet.
    pub latest: u32,
    /// The full ref of the branch that the repository's HEAD names, or "" if the master has not read it yet.
    pub main_branch: String,
    /// The time at which the master next looks for changes. `None` means that it does not follow the repository or does not say.
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
    /// The expression, such as `0 3 * * *`.
    pub at: String,
    /// The time zone of the expression, such as `Europe/Berlin`.
    pub tz: String,
    /// Whether the entry builds only if the branch moved since its last build.
    pub if_changed: bool,
    /// The time at which the entry fires next. `None` means that it never does.
    #[serde(serialize_with = "rfc3339")]
    pub next: Option<Time>,
    /// The next firing as the clock in the entry's zone shows it; "" if it does not fire again.
    pub shown: String,
    /// The time for which the newest firing was due.
    #[serde(serialize_with = "rfc3339")]
    pub fired: Option<Time>,
    /// The number of the last build that the entry made, or 0 if it made none.
    pub build: u32,
    /// Why the newest firing made no build; "" if it made one, or if there was no firing.
    pub skipped: String,
}

impl CronView {
    /// Returns a line with the next firing and the result of the newest one.
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
    /// The name of the project of the change.
    pub project: String,
    /// The full ref, such as `refs/heads/main`.
    #[serde(rename = "ref")]
    pub ref_name: String,
    /// The commit that the ref has named since this change.
    pub revision: String,
    /// The commit that the ref named before; "" if the master saw the ref for the first time.
    pub before: String,
    /// Whether the ref was forced, because `before` is not an ancestor of its new tip.
    pub forced: bool,
    /// The commits that the change brought, the newest first; at most 100, and only the tip if `before` is "".
    pub commits: Vec<CommitView>,
    /// The paths that differ from `before`, at most 1,000, each cut after 512 bytes. There are none if `before` is "".
    pub paths: Vec<String>,
}

/// A commit, as it describes itself. No decision trusts its author.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CommitView {
    /// The full id of the commit.
    pub revision: String,
    /// The author of the commit, as `Name <mail>`.
    pub author: String,
    /// The time of the commit.
    #[serde(serialize_with = "rfc3339")]
    pub time: Option<Time>,
    /// The first line of the commit's message.
    pub subject: String,
}

/// The state of a branch or of a tag. A branch is as good as its worst lane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BranchView {
    /// The full ref, such as `refs/heads/main`.
    #[serde(rename = "ref")]
    pub ref_name: String,
    /// The worst outcome of the lanes, or `None` if no run counts yet.
    pub outcome: Option<Outcome>,
    /// Whether the newest run of a lane, or the reading of the pipeline, errored. This is shown beside the outcome.
    pub errored: bool,
    /// The number of the newest build of the branch's newest update, or 0 if there is none.
    pub tip: u32,
    /// The full commit id of the branch's newest update.
    pub tip_revision: String,
    /// Whether the build `tip` is not finished.
    pub is_open: bool,
    /// The lanes of the jobs of the newest plan, in the plan's order.
    pub lanes: Vec<LaneView>,
    /// The number of the build whose pipeline cannot be read, if no newer build has a plan; else 0.
    pub broken: u32,
}

/// A lane: one job of one branch, build after build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LaneView {
    /// The name of the job with its cell, such as `test@linux,3.14`.
    pub job: String,
    /// The newest outcome of the lane that counts.
    pub outcome: Option<Outcome>,
    /// The number of the build with the outcome `outcome`; 0 if there is none, or if it is no longer kept.
    pub build: u32,
    /// The full commit id of the build `build`.
    pub revision: String,
    /// The number of the build in which the lane began to fail, or 0 if it does not fail.
    pub since: u32,
    /// The full commit id of the build `since`.
    pub since_revision: String,
    /// The number of the newest build in which the lane was good, or 0 if there is none.
    pub last_good: u32,
    /// The full commit id of the build `last_good`.
    pub last_good_revision: String,
    /// The number of the build in which the lane's newest run errored, or 0 if that run did not error.
    pub errored: u32,
    /// The claim of the lane. `None` means that nobody looks after it.
    pub claim: Option<ClaimView>,
}

/// A claim: a person looks after a red lane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClaimView {
    /// The name of the person.
    pub name: String,
    /// The time of the claim.
    #[serde(serialize_with = "rfc3339")]
    pub since: Option<Time>,
    /// The time at which the claim ends, if the lane is still red.
    #[serde(serialize_with = "rfc3339")]
    pub until: Option<Time>,
    /// What the person says about it.
    pub reason: String,
}

impl ClaimView {
    /// Returns who looks after the lane, and what that person says.
    pub fn line(&self) -> String {
        let reason = if self.reason.is_empty() { String::new() } else { format!(": {}", self.reason) };
        format!("{} looks after it{reason}", self.name)
    }
}

/// A build: one run of a pipeline, for one commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BuildView {
    /// The name of the build's project.
    pub project: String,
    /// The number of the build within the project, from 1.
    pub number: u32,
    /// The state of the build.
    pub state: State,
    /// The outcome of the build, or `None` while it is not finished.
    pub outcome: Option<Outcome>,
    /// The full ref for which it was built, or "" if somebody asked for the commit without a ref.
    #[serde(rename = "ref")]
    pub ref_name: String,
    /// The id of the commit in full.
    pub revision: String,
    /// The first line of the commit's message.
    pub subject: String,
    /// The name of the commit's author.
    pub author: String,
    /// The cause of the build, such as `change`, `run by ada` or `retry of 411 by ada`.
    pub cause: String,
    /// The time at which the master recorded the build.
    #[serde(serialize_with = "rfc3339")]
    pub created: Option<Time>,
    /// The time at which the build's first job started.
    #[serde(serialize_with = "rfc3339")]
    pub started: Option<Time>,
    /// The time at which the build finished. `None` means that it has not.
    #[serde(serialize_with = "rfc3339")]
    pub finished: Option<Time>,
    /// Why the build has no plan, in lines for a person; "" if it has one.
    pub diagnosis: String,
    /// The jobs of the build, in the order of the plan. A list of builds leaves them out.
    pub jobs: Vec<JobView>,
    /// The number of the build that this build repeats, or 0 if it is not a retry.
    pub retry_of: u32,
    /// The number of the build's jobs. A list of builds has it too.
    pub job_count: u32,
    /// The address of the commit's page at the forge. It is "" in a list of builds, or if no page is known.
    pub commit_url: String,
}

/// A job of a build, with its latest attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct JobView {
    /// The name of the job with its cell, such as `test@linux,3.14`.
    pub name: String,
    /// The state of the job.
    pub state: State,
    /// The outcome of the job, or `None` while it is not finished.
    pub outcome: Option<Outcome>,
    /// Why the job has this outcome, or why it waits, in a sentence; "" if there is nothing to say.
    pub reason: String,
    /// The name of the worker of the latest attempt, or "" if there was none.
    pub worker: String,
    /// The number of the latest attempt, or 0 if there was none.
    pub attempt: u16,
    /// The time at which the job could first be placed.
    #[serde(serialize_with = "rfc3339")]
    pub queued: Option<Time>,
    /// The time at which the latest attempt started.
    #[serde(serialize_with = "rfc3339")]
    pub started: Option<Time>,
    /// The time at which the job finished. `None` means that it has not.
    #[serde(serialize_with = "rfc3339")]
    pub finished: Option<Time>,
    /// The steps of the latest attempt, in their order.
    pub steps: Vec<StepView>,
    /// The platform of the job's worker, or the one that the job asks for, such as `linux-x86_64`; "" if any platform will do.
    pub platform: String,
    /// The indexes in [`BuildView::jobs`], from 0, of the jobs that this job needs.
    pub needs: Vec<u32>,
    /// The number of the build in which the job ran, if this retry did not repeat it; else 0.
    pub carried_from: u32,
    /// The tier of isolation of the latest attempt; "" if none is known, or if the master is older.
    pub isolation: String,
}

/// A step of a job's attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StepView {
    /// The name that the pipeline gives the step.
    pub name: String,
    /// The state of the step.
    pub state: State,
    /// The outcome of the step, or `None` while it is not finished.
    pub outcome: Option<Outcome>,
    /// How the step's process ended.
    pub exit: Exit,
    /// The time at which the step started. `None` means that it has not.
    #[serde(serialize_with = "rfc3339")]
    pub started: Option<Time>,
    /// The time at which the step finished. `None` means that it has not.
    #[serde(serialize_with = "rfc3339")]
    pub finished: Option<Time>,
    /// The number of bytes of the step's log that the master has so far.
    pub log_size: u64,
    /// The tests in the step's reports. `None` means that it has no reports, is not finished, or that the master is older.
    pub tests: Option<StepTests>,
}

impl StepView {
    /// Returns why the step ended as it did: how its process ended, or which report of its tests was not written.
    pub fn reason(&self) -> String {
        self.exit.reason(self.outcome, self.tests.as_ref().map_or("", |tests| &tests.trouble))
    }
}

/// A job that waits for a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueItem {
    /// The name of the job's project.
    pub project: String,
    /// The number of the job's build.
    pub build: u32,
    /// The name of the job with its cell.
    pub job: String,
    /// The time since which the job can be placed.
    #[serde(serialize_with = "rfc3339")]
    pub since: Option<Time>,
    /// Why the job waits, in a sentence.
    pub reason: String,
    /// Why the job waits, in a word for programs; `perspective.capnp` lists the words.
    pub kind: String,
    /// The change that would help, in short; "" if there is nothing to do.
    pub remedy: String,
}

/// A grant: what the holder of one credential may do, within the grant from which it was issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GrantView {
    /// The number of the grant, which is unique at its master.
    pub id: u64,
    /// The number of the grant from which this one was issued, or 0 if this is the root grant.
    pub parent: u64,
    /// The kind of the grant's holder: a person, a worker or a program.
    pub kind: GrantKind,
    /// The name of the grant's holder.
    pub name: String,
    /// The rights of the grant, and the places where they hold.
    pub what: What,
    /// The time at which the grant was issued.
    #[serde(serialize_with = "rfc3339")]
    pub created: Option<Time>,
    /// The time at which the grant ends by itself, or `None` if it does not.
    #[serde(serialize_with = "rfc3339")]
    pub expires: Option<Time>,
    /// The time at which the grant was revoked, or `None` if it was not.
    #[serde(serialize_with = "rfc3339")]
    pub revoked: Option<Time>,
    /// The fingerprint of the holder's key, such as `sha-256:...`; "" until the grant is redeemed.
    pub holder: String,
    /// Why the grant was revoked; "" if it was not.
    pub reason: String,
}

/// A worker, as the master knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WorkerView {
    /// The name of the worker, which is unique at its master.
    pub name: String,
    /// Whether the worker has a connection to the master now.
    pub connected: bool,
    /// The worker's description of itself: platform, resources, version, and labels that it claims.
    pub description: Description,
    /// The pools that its grant lets it serve.
    pub pools: Vec<String>,
    /// The selectors of the jobs that the worker runs.
    pub running: Vec<String>,
    /// The time at which the master last heard from the worker.
    #[serde(serialize_with = "rfc3339")]
    pub last_heard: Option<Time>,
    /// Whether the worker finishes its present jobs and gets no new offers.
    pub draining: bool,
    /// Why an operator holds the worker, or "" if nobody does.
    pub held: String,
    /// The number of the worker's grant.
    pub grant: u64,
    /// Why the worker's jobs are placed again only when their leases end; "" while the worker is connected.
    pub waits: String,
    /// Why the worker's grant was revoked, or "" if the grant is in force.
    pub revoked: String,
    /// The labels in force. The labels that the worker only claims are in its description.
    pub labels: Vec<(String, String)>,
}

/// The identity that the master sees in the holder of this credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Whoami {
    /// The grant behind the credential.
    pub grant: GrantView,
    /// The addresses that the master advertises, such as `ci.example.org:7711`, with commas between them.
    pub master: String,
    /// A number that changes when the master is restored from a backup. Cursors of another incarnation are not valid.
    pub incarnation: u64,
    /// The address of the master's web pages, or "" if it serves none.
    pub pages: String,
}

impl WorkerView {
    /// Returns the tiers of isolation that the worker offers, and why it lacks others, for example "plain; no guard: …".
    pub fn tiers(&self) -> String {
        let about = &self.description;
        let offered = about.isolation.iter().map(TierName::word).collect::<Vec<_>>().join(", ");
        let lacks =
            about.probes.iter().filter_map(|probe| Some(format!("no {}: {}", probe.tier, probe.lack.as_ref()?)));
        [offered].into_iter().filter(|text| !text.is_empty()).chain(lacks).collect::<Vec<_>>().join("; ")
    }
}

impl BuildView {
    /// Returns the text that names this build exactly, such as `pyfoo/412`.
    pub fn selector(&self) -> String {
        Selector::build(&self.project, self.number).to_string()
    }

    /// Returns the selector of a job of the build, as people write it.
    pub fn selector_of(&self, job: &JobView) -> String {
        Selector::build(&self.project, self.number).job(&job.name).to_string()
    }

    /// Returns the job of this name, which includes its cell.
    pub fn job(&self, name: &str) -> Option<&JobView> {
        self.jobs.iter().find(|job| job.name == name)
    }

    /// Whether the build has ended, whatever its outcome.
    pub fn is_finished(&self) -> bool {
        self.state == State::Finished
    }

    /// Returns the short name of the branch or tag, or the full ref if it is neither.
    pub fn short_ref(&self) -> &str {
        ShortRef::of(&self.ref_name).name()
    }
}

impl JobView {
    /// Returns the name of the job without its cell.
    pub fn base(&self) -> &str {
        self.name.split('@').next().unwrap_or(&self.name)
    }

    /// Returns the values of the job's matrix cell, in the order of its axes.
    pub fn cell(&self) -> Vec<&str> {
        self.name.split_once('@').map_or(Vec::new(), |(_, cell)| cell.split(',').collect())
    }

    /// Whether the job has ended, whatever its outcome.
    pub fn is_finished(&self) -> bool {
        self.state == State::Finished
    }

    /// Whether the job's code or its infrastructure failed.
    pub fn is_bad(&self) -> bool {
        matches!(self.outcome, Some(Outcome::Failed | Outcome::Errored))
    }
}

/// Returns a time as RFC 3339 in UTC, to the millisecond.
pub fn timestamp(time: Time) -> String {
    i64::try_from(time.0)
        .ok()
        .and_then(|milliseconds| jiff::Timestamp::from_millisecond(milliseconds).ok())
        .map_or_else(|| time.0.to_string(), |stamp| format!("{stamp:.3}"))
}

pub(crate) fn rfc3339<S: Serializer>(time: &Option<Time>, to: S) -> Result<S::Ok, S::Error> {
    time.map(timestamp).serialize(to)
}
