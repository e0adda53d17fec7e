//! Plain structs that two or more crates share. Many are stored as JSON, and read by older and by newer versions: fields are only
//! added, each with a default, and a field that a version does not know is passed over. `docs/architecture.md` lists them.

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
pub use tier::{Tier, TierName, TierProbe};
pub use time_span::TimeSpan;
pub use want::{Asks, Want};

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(pub u64);

impl Time {
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
    pub sources: Vec<SourceRevision>,
}

/// What a commit says of itself; never trusted for a decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    pub revision: String,
    /// `Name <mail>`
    pub author: String,
    pub time: Time,
    /// The first line of its message.
    pub subject: String,
}

/// One update of one ref.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub project: String,
    #[serde(rename = "ref")]
    pub ref_name: String,
    /// The ref's new tip; empty when the ref was deleted.
    pub revision: String,
    /// Its tip before; empty at first sight.
    pub before: String,
    /// `before` is no ancestor of `revision`.
    pub forced: bool,
    /// Newest first, at most 100; at first sight only the tip.
    pub commits: Vec<Commit>,
    /// Paths that differ from `before`, at most 1,000; none at first sight.
    pub paths: Vec<String>,
}

/// Room for jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Resources {
    pub slots: u16,
    /// In thousandths of a core.
    pub cpus_milli: u32,
    /// In bytes.
    pub memory: u64,
}

impl Resources {
    pub fn holds(&self, need: &Resources) -> bool {
        self.slots >= need.slots && self.cpus_milli >= need.cpus_milli && self.memory >= need.memory
    }

    pub fn plus(&self, more: &Resources) -> Resources {
        Resources {
            slots: self.slots.saturating_add(more.slots),
            cpus_milli: self.cpus_milli.saturating_add(more.cpus_milli),
            memory: self.memory.saturating_add(more.memory),
        }
    }

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
    /// "linux-x86_64"
    pub platform: String,
    pub labels: Vec<(String, String)>,
    pub total: Resources,
    /// The machine's name; shown, never trusted.
    pub host: String,
    pub version: String,
    /// The tiers of isolation that the worker offers.
    pub isolation: Vec<TierName>,
    /// The result of the worker's probe of each tier. Empty: a worker of an earlier version, which offers what its file says
    /// and has tried nothing.
    #[serde(default)]
    pub probes: Vec<TierProbe>,
    /// What one step may take of the machine. None: a worker of an earlier version, which holds a step to nothing.
    #[serde(default)]
    pub bounds: Option<StepBounds>,
}

/// Everything about one attempt that is known when it is offered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Names the lease: unguessable.
    pub token: [u8; 16],
    pub project: String,
    /// The project's number of the build.
    pub build: u32,
    /// From 1.
    pub attempt: u16,
    pub job: JobPlan,
    pub stamp: SourceStamp,
    /// Names the workspace to use again: the same job of the same branch.
    pub lane: String,
    pub trust: Trust,
    /// The lease's length in milliseconds. 0: a master of version 0.1 offered it, and said the length at `attach`.
    #[serde(default)]
    pub term_ms: u64,
    /// The version of the plan that the job is of, as in [`Plan`]. 0: a master up to version 0.2 offered it, whose plans are of
    /// version 1.
    #[serde(default)]
    pub plan_version: u16,
    /// The tier of isolation in which the steps run. None: an older master offered the job, and the worker takes the strongest
    /// that it has.
    #[serde(default)]
    pub isolation: Option<TierName>,
}

/// Where a worker's state lies and its processes run. A copy of a worker's directory has another home.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    /// The kernel's boot id.
    pub boot: String,
    /// The inode of the process namespace.
    pub pid_namespace: u64,
    /// Of the state directory.
    pub device: u64,
    pub inode: u64,
}
