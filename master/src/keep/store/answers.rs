//! What the named reads are asked, and what they answer.

use crate::decide::coordinator::lane::{Lane, LaneResult, RefState};
use crate::decide::coordinator::record::{AttemptRow, BuildId, BuildRow, JobRow, StepRow, StoredPlan, ToldRow};
use schema::values::{JobPlan, Plan, Time};
use std::collections::{BTreeMap, BTreeSet};

/// What is said of a build that was removed.
pub const NOT_KEPT: &str = "the build is no longer kept";

/// Which builds a list holds: all that is set must match.
#[derive(Clone, Debug, Default)]
pub struct BuildFilter {
    pub project: Option<String>,
    /// The projects that may be seen; `None` means all.
    pub allowed: Option<Vec<String>>,
    /// Full, or the short name of a branch, else of a tag.
    pub ref_name: Option<String>,
    /// At least 4 hex digits of the revision.
    pub revision: Option<String>,
    /// Only builds with a smaller number.
    pub before: Option<u32>,
}

/// A build with its plan, its jobs, and the steps of each job's latest attempt.
pub type Detail = (BuildRow, Option<Plan>, Vec<(JobRow, Vec<StepRow>)>);

/// A build with its plan and its jobs, without steps.
#[derive(Debug)]
pub struct PlannedBuild {
    pub build: BuildRow,
    pub plan: StoredPlan,
    /// The jobs in the order of the plan.
    pub jobs: Vec<JobRow>,
}

/// A job with all its attempts. The attempts of a carried job are in the build where it ran.
#[derive(Debug)]
pub struct JobHistory {
    pub build: BuildRow,
    pub row: JobRow,
    pub plan: Option<JobPlan>,
    pub attempts: Vec<AttemptRow>,
}

/// The job whose attempts hold the logs of a job, and whether these can be read.
#[derive(Debug)]
pub struct LoggedJob {
    /// The job where it ran, which for a carried job is in an earlier build; `None` means that there is no such job.
    pub job: Option<JobRow>,
    /// Why its logs cannot be read any more; `None` means that they can.
    pub removed: Option<String>,
}

/// Builds as they were at one event.
#[derive(Debug)]
pub struct Snapshot {
    pub builds: Vec<Detail>,
    pub last_event: u64,
}

/// The runs of a ref, with which a later build is compared.
#[derive(Debug, Default)]
pub struct RefHistory {
    pub lanes: BTreeMap<String, Lane>,
    /// The newest finished builds with jobs, each as if it were one job, the newest first.
    pub builds: Vec<LaneResult>,
}

/// A branch as a reporter looks at it, and the notices of it that the reporter sent.
#[derive(Clone, Debug, Default)]
pub struct WatchedBranch {
    pub state: RefState,
    /// What became of reading the pipeline, update by update: `succeeded` where there is a plan.
    pub pipeline: Lane,
    /// Updates that have an unfinished build, each with its unfinished jobs; `None` means that they are not known yet.
    pub open: BTreeMap<u32, Option<BTreeSet<String>>>,
    /// The newest build that has a plan, and when it was made.
    pub planned: Option<(LaneResult, Time)>,
    /// The rows in the order of time, each with the update of its build.
    pub told: Vec<(ToldRow, u32)>,
}

/// Where a look through all builds stands: at the builds of a project with smaller numbers, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgeingCursor {
    pub project: String,
    pub before: u32,
}

/// What decides whether a build may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovalCandidate {
    pub id: BuildId,
    pub number: u32,
    /// When the build finished; `None` means that it is not finished.
    pub finished: Option<Time>,
    /// Its ref exists, and it is the ref's newest build, or the last that is finished and had jobs.
    pub is_tip: bool,
    /// The builds that refer to jobs of this build.
    pub carriers: Vec<BuildId>,
}

/// Builds of one project, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgeingPage {
    /// The number from which on builds are kept for being new.
    pub kept_from: u32,
    pub candidates: Vec<RemovalCandidate>,
    /// Where the next page begins; `None` means that this was all.
    pub next: Option<AgeingCursor>,
}

/// A build whose logs are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    pub build: BuildId,
    /// The bytes of all logs of the build.
    pub bytes: u64,
    pub created: Time,
    /// When the build finished; `None` means that it is not finished.
    pub finished: Option<Time>,
}

/// Builds whose logs are kept, the oldest first, and what all logs take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedPage {
    pub builds: Vec<Logged>,
    /// The bytes of the logs of all builds, also of those on other pages.
    pub total: u64,
}
