//! Plain structs that two or more crates share. Many are stored as JSON, and read by older and by newer versions. Fields are only
//! added, each with a default, and a version ignores fields that it does not know. `docs/architecture.md` lists the structs.

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
    /// Returns the time that is `duration` later.
    pub fn after(self, duration: std::time::Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Returns the duration from `earlier` to this time. It is zero if `earlier` is not before this time.
    pub fn since(self, earlier: Time) -> std::time::Duration {
        std::time::Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// One repository at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SourceRevision {
    /// The name under which the master mirrors the repository.
    pub repository: String,
    /// The full name of the ref. It is empty if the revision was named directly.
    #[serde(rename = "ref")]
    pub ref_name: String,
    /// The commit to build, as 40 or 64 hex digits.
    pub revision: String,
    /// The commit with which the revision is compared; empty means none.
    #[serde(default)]
    pub base: String,
}

/// A source stamp, which says exactly what to build. The first source holds the pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SourceStamp {
    /// The repositories with their revisions. This version has one.
    pub sources: Vec<SourceRevision>,
}

/// The description of a commit by its author. Nothing is decided by it, because anybody can write anything there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The id of the commit, as 40 or 64 hex digits.
    pub revision: String,
    /// The author that the commit names, as `Name <mail>`.
    pub author: String,
    /// The time at which the committer made the commit.
    pub time: Time,
    /// The first line of the commit's message.
    pub subject: String,
}

/// One update of one ref.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The project whose repository has the ref.
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
    /// The commits that the ref gained, the newest first, at most 100. If the master sees the ref for the first time, this is its tip.
    pub commits: Vec<Commit>,
    /// The paths that differ from `before`, at most 1,000. Empty if the master sees the ref for the first time.
    pub paths: Vec<String>,
}

/// The room for jobs on a worker, or the part of it that a job takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Resources {
    /// The number of jobs that may run at once.
    pub slots: u16,
    /// The processors, in thousandths of a core.
    pub cpus_milli: u32,
    /// The size of the memory, in bytes.
    pub memory: u64,
}

impl Resources {
    /// Whether there is room for all of `need`.
    pub fn holds(&self, need: &Resources) -> bool {
        self.slots >= need.slots && self.cpus_milli >= need.cpus_milli && self.memory >= need.memory
    }

    /// Returns the sum of both. Each number stops at its largest value.
    pub fn plus(&self, more: &Resources) -> Resources {
        Resources {
            slots: self.slots.saturating_add(more.slots),
            cpus_milli: self.cpus_milli.saturating_add(more.cpus_milli),
            memory: self.memory.saturating_add(more.memory),
        }
    }

    /// Returns the room that is left once `used` is taken. Each number stops at 0.
    pub fn minus(&self, used: &Resources) -> Resources {
        Resources {
            slots: self.slots.saturating_sub(used.slots),
            cpus_milli: self.cpus_milli.saturating_sub(used.cpus_milli),
            memory: self.memory.saturating_sub(used.memory),
        }
    }
}

/// The description that a worker gives of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The platform of the worker, such as "linux-x86_64".
    pub platform: String,
    /// The labels that the worker claims, each with its value.
    pub labels: Vec<(String, String)>,
    /// The whole room of the worker, whether it is in use or not.
    pub total: Resources,
    /// The name of the machine. It is only shown, and nothing is decided by it.
    pub host: String,
    /// The version of the worker's program.
    pub version: String,
    /// The tiers of isolation that the worker offers.
    pub isolation: Vec<TierName>,
    /// The result of the worker's probe of each tier. It is empty for a worker of an earlier version, which offers the tiers in its
    /// file and tries none.
    #[serde(default)]
    pub probes: Vec<TierProbe>,
    /// The limits for one step on this machine. `None` means a worker of an earlier version, which limits no step.
    #[serde(default)]
    pub bounds: Option<StepBounds>,
}

/// An assignment: everything about one attempt that the master sends with its offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The token of the lease, which nobody can guess.
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
    /// The name of the workspace to reuse. It is the same for the same job of the same branch.
    pub lane: String,
    /// The trust of the build, as the master decides it.
    pub trust: Trust,
    /// The length of the lease in milliseconds. A master of version 0.1 sends 0, because it states the length in its answer to
    /// `attach`.
    #[serde(default)]
    pub term_ms: u64,
    /// The version of the plan to which the job belongs, as in [`Plan`]. A master up to version 0.2 sends 0, and its plans have
    /// version 1.
    #[serde(default)]
    pub plan_version: u16,
    /// The tier of isolation in which the steps run. `None` means that an older master offered the job. The worker then uses its
    /// strongest tier.
    #[serde(default)]
    pub isolation: Option<TierName>,
}

/// The home of a worker: the place of its state directory and of its processes. A copy of the directory has another home.
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
