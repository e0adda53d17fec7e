//! Plain structs that two or more crates share. Many are stored as JSON, and read by older and by newer versions. Fields are only
//! added, each with a default, and a version passes over a field that it does not know. `docs/architecture.md` lists them.

mod cause;
mod commit_id;
mod event;
mod finding;
mod grant;
mod master_file;
mod plan;
mod progress;
mod ref_name;
mod scope;
mod selector;
mod size;
mod state;
mod step_bounds;
mod tests_reported;
mod tier;
mod time_span;
mod want;

pub use cause::BuildCause;
pub use commit_id::ShortCommit;
pub use event::{Cursor, Event, Fact, FactField, Filter};
pub use finding::{Finding, Health};
pub use grant::{GrantKind, Right, What, ends_soon};
pub use master_file::{Difference, NewProject};
pub use plan::{
    ALWAYS_TIMEOUT_MS, Command, JobPlan, PLAN_VERSION, Plan, StepPlan, Trust, UnreadablePlan, Workspace,
    known_plan_version,
};
pub use progress::{Progress, StepEnd};
pub use ref_name::{ShortRef, branch_or_tag, branch_ref, full_refs};
pub use scope::Scope;
pub use selector::Selector;
pub use size::Bytes;
pub use state::{Exit, Outcome, Refusal, RefusalCode, State};
pub use step_bounds::StepBounds;
pub use tests_reported::{ReportFormat, ReportPlan, TestCounts, TestsReported, originals_name};
pub use tier::{Tier, TierName, TierProbe};
pub use time_span::TimeSpan;
pub use want::{Asks, Want};

use serde::{Deserialize, Serialize};

/// A moment, in milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(pub u64);

impl Time {
    /// The time that is `duration` later.
    pub fn after(self, duration: std::time::Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The time from `earlier` to `self`; zero if it is not earlier.
    pub fn since(self, earlier: Time) -> std::time::Duration {
        std::time::Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// One repository at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SourceRevision {
    /// The name under which the master mirrors it.
    pub repository: String,
    /// The full ref, or empty where the revision was named directly.
    #[serde(rename = "ref")]
    pub ref_name: String,
    /// A commit, 40 or 64 hex digits.
    pub revision: String,
    /// The commit that this is compared with, or empty.
    #[serde(default)]
    pub base: String,
}

/// Exactly what to build. The first source holds the pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SourceStamp {
    /// The repositories with their revisions. This version has one.
    pub sources: Vec<SourceRevision>,
}

/// What a commit says of itself; never trusted for a decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The commit, 40 or 64 hex digits.
    pub revision: String,
    /// The author as the commit says, `Name <mail>`.
    pub author: String,
    /// When the committer made it.
    pub time: Time,
    /// The first line of its message.
    pub subject: String,
}

/// One update of one ref.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The project whose repository it is.
    pub project: String,
    /// The name of the ref in full.
    #[serde(rename = "ref")]
    pub ref_name: String,
    /// The new tip of the ref; empty when the ref was deleted.
    pub revision: String,
    /// The tip before; empty when the master sees the ref for the first time.
    pub before: String,
    /// Whether `before` is not an ancestor of `revision`.
    pub forced: bool,
    /// The commits that the ref gained, the newest first, at most 100. If the master sees the ref for the first time, only its tip.
    pub commits: Vec<Commit>,
    /// The paths that differ from `before`, at most 1,000. Empty if the master sees the ref for the first time.
    pub paths: Vec<String>,
}

/// Room for jobs on a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Resources {
    /// How many jobs at once.
    pub slots: u16,
    /// Processor time, in thousandths of a core.
    pub cpus_milli: u32,
    /// The size of the memory, in bytes.
    pub memory: u64,
}

impl Resources {
    /// Whether there is room for all of `need`.
    pub fn holds(&self, need: &Resources) -> bool {
        self.slots >= need.slots && self.cpus_milli >= need.cpus_milli && self.memory >= need.memory
    }

    /// Both together, up to the largest numbers.
    pub fn plus(&self, more: &Resources) -> Resources {
        Resources {
            slots: self.slots.saturating_add(more.slots),
            cpus_milli: self.cpus_milli.saturating_add(more.cpus_milli),
            memory: self.memory.saturating_add(more.memory),
        }
    }

    /// What is left of it, and nothing where more is used than there is.
    pub fn minus(&self, used: &Resources) -> Resources {
        Resources {
            slots: self.slots.saturating_sub(used.slots),
            cpus_milli: self.cpus_milli.saturating_sub(used.cpus_milli),
            memory: self.memory.saturating_sub(used.memory),
        }
    }
}

/// What a worker says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The platform of the worker, as "linux-x86_64".
    pub platform: String,
    /// The labels that the worker claims, each with its value.
    pub labels: Vec<(String, String)>,
    /// All its room, whether it is in use or not.
    pub total: Resources,
    /// The machine's name. It is shown, and no decision trusts it.
    pub host: String,
    /// The version of the worker's program.
    pub version: String,
    /// The tiers of isolation that the worker offers.
    pub isolation: Vec<TierName>,
    /// The result of the worker's probe of each tier. Empty means a worker of an earlier version, which offers what its file says
    /// and has tried nothing.
    #[serde(default)]
    pub probes: Vec<TierProbe>,
    /// What one step may take of the machine. `None` means a worker of an earlier version, which holds a step to nothing.
    #[serde(default)]
    pub bounds: Option<StepBounds>,
}

/// Everything about one attempt that is known when it is offered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The name of the lease, which nobody can guess.
    pub token: [u8; 16],
    /// The name of the project.
    pub project: String,
    /// The number of the build in its project.
    pub build: u32,
    /// The number of the attempt, from 1.
    pub attempt: u16,
    /// The job to run, with its steps.
    pub job: JobPlan,
    /// The revisions to check out.
    pub stamp: SourceStamp,
    /// The name of the workspace to use again: it is the same for the same job of the same branch.
    pub lane: String,
    /// How far the master trusts what it builds.
    pub trust: Trust,
    /// The lease's length in milliseconds. 0 means that a master of version 0.1 offered it, and said the length at `attach`.
    #[serde(default)]
    pub term_ms: u64,
    /// The version of the plan that the job is of, as in [`Plan`]. A master up to version 0.2 sends 0, whose plans are
    /// of version 1.
    #[serde(default)]
    pub plan_version: u16,
    /// The tier of isolation in which the steps run. `None` means that an older master offered the job, and the worker takes the
    /// strongest that it has.
    #[serde(default)]
    pub isolation: Option<TierName>,
}

/// Where a worker's state lies and its processes run. A copy of a worker's directory has another home.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    /// The boot id that the kernel gives.
    pub boot: String,
    /// The inode of the process namespace.
    pub pid_namespace: u64,
    /// The device of the state directory.
    pub device: u64,
    /// The inode of the state directory.
    pub inode: u64,
}
