//! What a perspective shows, as plain values. Their JSON is part of the command's interface: fields are only added.
//! Reading them from the wire is in `wire`.

use schema::values::{Description, Exit, GrantKind, Outcome, Selector, ShortRef, State, Time, What};
use serde::{Serialize, Serializer};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProjectView {
    pub name: String,
    pub repository: String,
    pub aliases: Vec<String>,
    /// Number of the newest build; 0: none.
    pub latest: u32,
    /// The branch that the repository's HEAD names, in full; empty: not known yet.
    pub main_branch: String,
}

/// What a branch, or a tag, is: as its worst lane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BranchView {
    /// In full.
    #[serde(rename = "ref")]
    pub ref_name: String,
    /// None: nothing counts yet.
    pub outcome: Option<Outcome>,
    /// The newest run of a lane, or the reading of the pipeline, errored: shown beside the outcome.
    pub errored: bool,
    /// The newest build of its newest update; 0: none.
    pub tip: u32,
    pub tip_revision: String,
    /// That build is not finished.
    pub is_open: bool,
    /// Of the jobs of the newest plan, in its order.
    pub lanes: Vec<LaneView>,
    /// The build that says that the pipeline cannot be read, where no plan is newer; 0: none.
    pub broken: u32,
}

/// One job of one branch, build after build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LaneView {
    /// With its cell.
    pub job: String,
    /// The newest outcome that counts.
    pub outcome: Option<Outcome>,
    /// The build whose outcome that is; 0: none, or it is too long ago.
    pub build: u32,
    pub revision: String,
    /// The build in which it began to fail; 0: it does not fail.
    pub since: u32,
    pub since_revision: String,
    /// The newest build in which it was good; 0: none.
    pub last_good: u32,
    pub last_good_revision: String,
    /// The build in which its newest run errored; 0: that did not error.
    pub errored: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BuildView {
    pub project: String,
    pub number: u32,
    pub state: State,
    pub outcome: Option<Outcome>,
    #[serde(rename = "ref")]
    pub ref_name: String,
    pub revision: String,
    pub subject: String,
    pub author: String,
    pub cause: String,
    #[serde(serialize_with = "rfc3339")]
    pub created: Option<Time>,
    #[serde(serialize_with = "rfc3339")]
    pub started: Option<Time>,
    #[serde(serialize_with = "rfc3339")]
    pub finished: Option<Time>,
    /// Why there is no plan; empty otherwise.
    pub diagnosis: String,
    /// Empty in lists.
    pub jobs: Vec<JobView>,
    /// 0: none.
    pub retry_of: u32,
    pub job_count: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct JobView {
    pub name: String,
    pub state: State,
    pub outcome: Option<Outcome>,
    /// Of the outcome, or why it waits.
    pub reason: String,
    pub worker: String,
    /// Number of the latest; 0: none.
    pub attempt: u16,
    #[serde(serialize_with = "rfc3339")]
    pub queued: Option<Time>,
    #[serde(serialize_with = "rfc3339")]
    pub started: Option<Time>,
    #[serde(serialize_with = "rfc3339")]
    pub finished: Option<Time>,
    /// Of the latest attempt.
    pub steps: Vec<StepView>,
    pub platform: String,
    pub needs: Vec<u32>,
    /// The build that it ran in, where this retry did not repeat it; 0: it is this build's own.
    pub carried_from: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StepView {
    pub name: String,
    pub state: State,
    pub outcome: Option<Outcome>,
    pub exit: Exit,
    #[serde(serialize_with = "rfc3339")]
    pub started: Option<Time>,
    #[serde(serialize_with = "rfc3339")]
    pub finished: Option<Time>,
    pub log_size: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueItem {
    pub project: String,
    pub build: u32,
    pub job: String,
    #[serde(serialize_with = "rfc3339")]
    pub since: Option<Time>,
    pub reason: String,
    /// Of the reason, for programs: as `perspective.capnp` lists them.
    pub kind: String,
    /// What would change that, in short.
    pub remedy: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GrantView {
    pub id: u64,
    /// 0: the root.
    pub parent: u64,
    pub kind: GrantKind,
    pub name: String,
    pub what: What,
    #[serde(serialize_with = "rfc3339")]
    pub created: Option<Time>,
    #[serde(serialize_with = "rfc3339")]
    pub expires: Option<Time>,
    #[serde(serialize_with = "rfc3339")]
    pub revoked: Option<Time>,
    /// `sha-256:...` of the holder's key; empty: not redeemed yet.
    pub holder: String,
    pub reason: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WorkerView {
    pub name: String,
    pub connected: bool,
    pub description: Description,
    pub pools: Vec<String>,
    /// Selectors of its jobs.
    pub running: Vec<String>,
    #[serde(serialize_with = "rfc3339")]
    pub last_heard: Option<Time>,
    pub draining: bool,
    /// Not empty: the reason why an operator holds it.
    pub held: String,
    pub grant: u64,
    /// Why the ends of its leases decide when its jobs are placed again; empty: it holds them.
    pub waits: String,
    /// Labels that count. What it claims besides is in its description.
    pub labels: Vec<(String, String)>,
}

/// Who one is to the master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Whoami {
    pub grant: GrantView,
    pub master: String,
    pub incarnation: u64,
    /// The address of the master's pages; empty: it serves none.
    pub pages: String,
}

impl BuildView {
    pub fn selector(&self) -> String {
        Selector::build(&self.project, self.number).to_string()
    }

    /// As people name a job of it.
    pub fn selector_of(&self, job: &JobView) -> String {
        Selector::build(&self.project, self.number).job(&job.name).to_string()
    }

    pub fn job(&self, name: &str) -> Option<&JobView> {
        self.jobs.iter().find(|job| job.name == name)
    }

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
