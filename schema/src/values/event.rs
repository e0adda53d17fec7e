//! Events: numbered committed facts.
//!
//! A kind of event is a variant of [`Fact`] with what it has, its name and its texts, all three here; its fields on the wire are in
//! `event.capnp` and [`crate::wire`]. Nothing else has to know each kind.

use super::{Outcome, Time};
use serde::{Deserialize, Serialize};

/// A position in the events of one incarnation of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    pub incarnation: u64,
    /// The last event seen; 0: before the first.
    pub after: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// From 1, without gaps.
    pub sequence: u64,
    pub time: Time,
    /// Empty where none is concerned.
    pub project: String,
    /// The project's number of the build; 0 where none is concerned.
    pub build: u32,
    pub fact: Fact,
}

/// What happened. The serialized tag is the name in the schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Fact {
    ChangeSubmitted {
        #[serde(rename = "ref")]
        ref_name: String,
        revision: String,
        forced: bool,
    },
    RefDeleted {
        #[serde(rename = "ref")]
        ref_name: String,
    },
    BuildCreated {
        cause: String,
        #[serde(rename = "ref")]
        ref_name: String,
        revision: String,
    },
    BuildPlanned {
        jobs: Vec<String>,
    },
    JobQueued {
        job: String,
    },
    JobStarted {
        job: String,
        attempt: u16,
        worker: String,
    },
    AttemptLost {
        job: String,
        attempt: u16,
        worker: String,
        reason: String,
    },
    StepStarted {
        job: String,
        attempt: u16,
        step: u16,
        name: String,
    },
    StepFinished {
        job: String,
        attempt: u16,
        step: u16,
        outcome: Outcome,
    },
    JobFinished {
        job: String,
        outcome: Outcome,
        reason: String,
    },
    BuildFinished {
        outcome: Outcome,
    },
    WorkerAttached {
        worker: String,
    },
    WorkerLost {
        worker: String,
        reason: String,
    },
    GrantIssued {
        grant: u64,
        name: String,
        grant_kind: String,
    },
    GrantRedeemed {
        grant: u64,
        name: String,
    },
    GrantRevoked {
        grant: u64,
        name: String,
        reason: String,
    },
    Alarm {
        text: String,
    },
}

impl Fact {
    /// The name of the union's member in `event.capnp`, as filters spell it.
    pub fn kind(&self) -> &'static str {
        match self {
            Fact::ChangeSubmitted { .. } => "changeSubmitted",
            Fact::RefDeleted { .. } => "refDeleted",
            Fact::BuildCreated { .. } => "buildCreated",
            Fact::BuildPlanned { .. } => "buildPlanned",
            Fact::JobQueued { .. } => "jobQueued",
            Fact::JobStarted { .. } => "jobStarted",
            Fact::AttemptLost { .. } => "attemptLost",
            Fact::StepStarted { .. } => "stepStarted",
            Fact::StepFinished { .. } => "stepFinished",
            Fact::JobFinished { .. } => "jobFinished",
            Fact::BuildFinished { .. } => "buildFinished",
            Fact::WorkerAttached { .. } => "workerAttached",
            Fact::WorkerLost { .. } => "workerLost",
            Fact::GrantIssued { .. } => "grantIssued",
            Fact::GrantRedeemed { .. } => "grantRedeemed",
            Fact::GrantRevoked { .. } => "grantRevoked",
            Fact::Alarm { .. } => "alarm",
        }
    }

    /// All texts that it carries, by which its size is known.
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Fact::BuildPlanned { jobs } => jobs.iter().map(String::as_str).collect(),
            Fact::StepFinished { job, .. } | Fact::JobQueued { job } => vec![job],
            Fact::ChangeSubmitted { ref_name, revision, .. } => vec![ref_name, revision],
            Fact::RefDeleted { ref_name } => vec![ref_name],
            Fact::BuildCreated { cause, ref_name, revision } => vec![cause, ref_name, revision],
            Fact::JobStarted { job, worker, .. } => vec![job, worker],
            Fact::AttemptLost { job, worker, reason, .. } => vec![job, worker, reason],
            Fact::StepStarted { job, name, .. } => vec![job, name],
            Fact::JobFinished { job, reason, .. } => vec![job, reason],
            Fact::BuildFinished { .. } => Vec::new(),
            Fact::WorkerAttached { worker } => vec![worker],
            Fact::WorkerLost { worker, reason } => vec![worker, reason],
            Fact::GrantIssued { name, grant_kind, .. } => vec![name, grant_kind],
            Fact::GrantRedeemed { name, .. } => vec![name],
            Fact::GrantRevoked { name, reason, .. } => vec![name, reason],
            Fact::Alarm { text } => vec![text],
        }
    }
}

/// Which events a subscriber wants: all that is set must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub projects: Vec<String>,
    /// 0: any.
    pub build: u32,
    /// Names as [`Fact::kind`] gives them.
    pub kinds: Vec<String>,
}

impl Filter {
    pub fn matches(&self, event: &Event) -> bool {
        (self.projects.is_empty() || self.projects.contains(&event.project))
            && (self.build == 0 || self.build == event.build)
            && (self.kinds.is_empty() || self.kinds.iter().any(|kind| kind == event.fact.kind()))
    }
}
