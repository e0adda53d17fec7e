//! The questions and answers of the named reads.

use crate::decide::coordinator::lane::{Lane, LaneResult, RefState};
use crate::decide::coordinator::record::{AttemptRow, BuildId, BuildRow, JobRow, StepRow, StoredPlan, ToldRow};
use schema::values::{JobPlan, Plan, Time};
use std::collections::{BTreeMap, BTreeSet};

/// The text for a build that was removed.
pub const NOT_KEPT: &str = "the build is no longer kept";

/// The builds that a list holds. A build must match all fields that are set.
#[derive(Clone, Debug, Default)]
pub struct BuildFilter {
    pub project: Option<String>,
    /// The projects that the caller may see; `None` means all.
    pub allowed: Option<Vec<String>>,
    /// The full name of a ref, or the short name of a branch or tag. A branch goes before a tag of the same name.
    pub ref_name: Option<String>,
    /// The revision, or its beginning of at least 4 hex digits.
    pub revision: Option<String>,
    /// An upper bound: the list has only builds with smaller numbers.
    pub before: Option<u32>,
}

/// A build with its plan, its jobs, and the steps of each job's latest attempt.
pub type Detail = (BuildRow, Option<Plan>, Vec<(JobRow, Vec<StepRow>)>);

/// A build with its plan and its jobs, but without the steps.
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

/// The job whose attempts have the logs, and whether these logs can be read.
#[derive(Debug)]
pub struct LoggedJob {
    /// The job that ran, which for a carried job is in an earlier build; `None` means that there is no such job.
    pub job: Option<JobRow>,
    /// Why the logs can no longer be read; `None` means that they can.
    pub removed: Option<String>,
}

/// The state of some builds at one event.
#[derive(Debug)]
pub struct Snapshot {
    pub builds: Vec<Detail>,
    pub last_event: u64,
}

/// The earlier results of a ref, with which a later build is compared.
#[derive(Debug, Default)]
pub struct RefHistory {
    pub lanes: BTreeMap<String, Lane>,
    /// The newest finished builds that have jobs or a broken pipeline, the newest first. Each build stands as one result.
    pub builds: Vec<LaneResult>,
}

/// The state of a branch, and the notices that a reporter has sent about it.
#[derive(Clone, Debug, Default)]
pub struct WatchedBranch {
    pub state: RefState,
    /// The results of reading the pipeline, by update: `succeeded` if there is a plan.
    pub pipeline: Lane,
    /// The updates that have an unfinished build, each with its unfinished jobs; `None` means that the jobs are not known yet.
    pub open: BTreeMap<u32, Option<BTreeSet<String>>>,
    /// The newest build that has a plan, and its creation time.
    pub planned: Option<(LaneResult, Time)>,
    /// The notices in the order of time, each with the update of its build.
    pub told: Vec<(ToldRow, u32)>,
}

/// The position in a walk through all builds. The next page has builds of this project with numbers below `before`, the newest
/// first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgeingCursor {
    pub project: String,
    pub before: u32,
}

/// The facts that decide whether a build may be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovalCandidate {
    pub id: BuildId,
    pub number: u32,
    /// When the build finished; `None` means that it is not finished.
    pub finished: Option<Time>,
    /// Whether its ref exists and this is its newest build, or its last finished build with jobs.
    pub is_tip: bool,
    /// The builds whose carried jobs ran in this build.
    pub carriers: Vec<BuildId>,
}

/// One page of the builds of a project, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgeingPage {
    /// The number from which on builds are kept because they are among the newest.
    pub kept_from: u32,
    pub candidates: Vec<RemovalCandidate>,
    /// The position of the next page; `None` means that this was the last one.
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

/// One page of the builds whose logs are kept, the oldest first, and the bytes of all logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedPage {
    pub builds: Vec<Logged>,
    /// The bytes of the logs of all builds, including builds on other pages.
    pub total: u64,
}
