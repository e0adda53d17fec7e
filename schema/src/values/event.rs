//! Events: numbered committed facts.
//!
//! A kind of event is one entry of `facts!` below: its name, its variant and its fields. What its fields are called on the wire
//! stands in `event.capnp` and [`crate::wire`]. Nothing else has to know each kind.

use super::{Commit, Outcome, Time};
use crate::sturdy_ref::Fingerprint;
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
    /// The key of the master where it happened. None: it happened at the master that stores it, or that tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Fingerprint>,
    /// Empty where none is concerned.
    pub project: String,
    /// The project's number of the build; 0 where none is concerned.
    pub build: u32,
    pub fact: Fact,
}

/// Declares the kinds of events. An entry `"alarm" => Alarm { text: String }` becomes
///
/// ```text
/// enum Fact { #[serde(rename = "alarm")] Alarm { text: String }, … }
/// fn kind(&self)   { match self { Fact::Alarm { .. } => "alarm", … } }
/// fn fields(&self) { match self { Fact::Alarm { text } => vec![text.into()], … } }
/// ```
macro_rules! facts {
    ($($(#[$about:meta])* $kind:literal => $name:ident { $($(#[$of:meta])* $field:ident: $type:ty),* $(,)? },)+) => {
        /// What happened. The name of its kind is the name of the union's member in `event.capnp`.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        pub enum Fact {
            $($(#[$about])* #[serde(rename = $kind)] $name { $($(#[$of])* $field: $type),* },)+
            /// A fact of a kind, or with a field, that only a newer version knows. Of it the name of its kind is known, which is
            /// empty where a master of version 0.2 tells it. A store keeps the whole of it.
            #[serde(untagged)]
            Unknown { kind: String },
        }

        impl Fact {
            /// The kinds that this version knows.
            pub const KINDS: &[&str] = &[$($kind),+];

            /// The name of the kind, as filters spell it.
            pub fn kind(&self) -> &str {
                match self {
                    $(Fact::$name { .. } => $kind,)+
                    Fact::Unknown { kind } => kind,
                }
            }

            /// All that it carries, by which its size is known.
            pub fn fields(&self) -> Vec<FactField<'_>> {
                match self {
                    $(Fact::$name { $($field),* } => vec![$($field.into()),*],)+
                    Fact::Unknown { .. } => Vec::new(),
                }
            }
        }
    };
}

facts! {
    /// A ref moved, or is seen for the first time.
    "changeSubmitted" => ChangeSubmitted {
        #[serde(rename = "ref")]
        ref_name: String,
        revision: String,
        forced: bool,
        /// What the ref gained, the newest first, at most [`crate::limits::EVENT_COMMITS`]. Up to version 0.2 there are none.
        #[serde(default)]
        commits: Vec<Commit>,
        /// Whether the ref gained more commits than these.
        #[serde(default)]
        more_commits: bool,
        /// Paths that differ from where the ref stood before, at most [`crate::limits::EVENT_PATHS`].
        #[serde(default)]
        paths: Vec<String>,
        /// Whether more paths differ than these.
        #[serde(default)]
        more_paths: bool,
    },
    /// A ref exists no longer.
    "refDeleted" => RefDeleted {
        #[serde(rename = "ref")]
        ref_name: String,
    },
    "buildCreated" => BuildCreated {
        cause: String,
        #[serde(rename = "ref")]
        ref_name: String,
        revision: String,
    },
    /// The build has these jobs, in the order of its plan. Told again, with all of them, when jobs are added.
    "buildPlanned" => BuildPlanned { jobs: Vec<String> },
    "jobQueued" => JobQueued { job: String },
    "jobStarted" => JobStarted { job: String, attempt: u16, worker: String },
    "attemptLost" => AttemptLost { job: String, attempt: u16, worker: String, reason: String },
    "stepStarted" => StepStarted { job: String, attempt: u16, step: u16, name: String },
    "stepFinished" => StepFinished { job: String, attempt: u16, step: u16, outcome: Outcome },
    "jobFinished" => JobFinished { job: String, outcome: Outcome, reason: String },
    "buildFinished" => BuildFinished { outcome: Outcome },
    "workerAttached" => WorkerAttached { worker: String },
    "workerLost" => WorkerLost { worker: String, reason: String },
    "grantIssued" => GrantIssued { grant: u64, name: String, grant_kind: String },
    "grantRedeemed" => GrantRedeemed { grant: u64, name: String },
    "grantRevoked" => GrantRevoked { grant: u64, name: String, reason: String },
    "alarm" => Alarm { text: String },
    /// The clock asked for a build of a branch, and none was made.
    "cronSkipped" => CronSkipped {
        name: String,
        #[serde(rename = "ref")]
        ref_name: String,
        reason: String,
    },
}

/// One field of a fact, as far as its size depends on what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactField<'a> {
    /// A number, a flag or a word: its size is that of its kind.
    Fixed,
    Text(&'a str),
    Texts(&'a [String]),
    Commits(&'a [Commit]),
}

impl<'a> From<&'a String> for FactField<'a> {
    fn from(text: &'a String) -> FactField<'a> {
        FactField::Text(text)
    }
}

impl<'a> From<&'a Vec<String>> for FactField<'a> {
    fn from(texts: &'a Vec<String>) -> FactField<'a> {
        FactField::Texts(texts)
    }
}

impl<'a> From<&'a Vec<Commit>> for FactField<'a> {
    fn from(commits: &'a Vec<Commit>) -> FactField<'a> {
        FactField::Commits(commits)
    }
}

macro_rules! fixed {
    ($($type:ty),+) => {
        $(impl From<&$type> for FactField<'_> {
            fn from(_: &$type) -> Self {
                FactField::Fixed
            }
        })+
    };
}

fixed!(bool, u16, u64, Outcome);

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
