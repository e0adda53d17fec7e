//! Events, which are numbered committed facts.
//!
//! A kind of event is one entry of `facts!` below: its name, its variant and its fields. `event.capnp` and [`crate::wire`] say how
//! its fields are called on the wire. Nothing else has to know each kind.

use super::{Commit, Outcome, TestCounts, Time};
use crate::sturdy_ref::Fingerprint;
use serde::{Deserialize, Serialize};

/// A position in the events of one incarnation of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The incarnation of the store to which the position belongs.
    pub incarnation: u64,
    /// The number of the last event that was read. 0 means that the first event is next.
    pub after: u64,
}

/// One numbered fact of a master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The number of the event. Numbers begin with 1 and have no gaps.
    pub sequence: u64,
    /// The time at which the fact was committed.
    pub time: Time,
    /// The key of the master at which the event happened. `None` means the master that stores or sends the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Fingerprint>,
    /// The project that the event concerns; empty means none.
    pub project: String,
    /// The number of the build that the event concerns; 0 means none.
    pub build: u32,
    /// The fact itself, with its details.
    pub fact: Fact,
}

/// Declares the kinds of events. An entry `"alarm" => Alarm { text: String }` becomes
///
/// ```text
/// enum Fact { #[serde(rename = "alarm")] Alarm { text: String }, … }
/// fn kind(&self)   { match self { Fact::Alarm { .. } => "alarm", … } }
/// fn each_field(&self, mut see: …) { match self { Fact::Alarm { text } => { see(text.into()); }, … } }
/// ```
macro_rules! facts {
    ($($(#[$about:meta])* $kind:literal => $name:ident { $($(#[$of:meta])* $field:ident: $type:ty),* $(,)? },)+) => {
        /// A fact that a master committed. The name of its kind is the name of the union's member in `event.capnp`.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        pub enum Fact {
            $($(#[$about])* #[serde(rename = $kind)] $name { $($(#[$of])* $field: $type),* },)+
            /// A fact of a kind, or with a field, that only a newer version knows. This version knows only the name of its kind,
            /// and the store keeps the whole fact.
            #[serde(untagged)]
            Unknown {
                /// The name of the kind. It is empty if the event comes from a master of version 0.2.
                kind: String,
            },
        }

        impl Fact {
            /// The kinds that this version knows.
            pub const KINDS: &[&str] = &[$($kind),+];

            /// Returns the name of the kind, as filters spell it.
            pub fn kind(&self) -> &str {
                match self {
                    $(Fact::$name { .. } => $kind,)+
                    Fact::Unknown { kind } => kind,
                }
            }

            /// Calls `see` with each field of the fact, so that its size can be computed.
            pub fn each_field<'a>(&'a self, mut see: impl FnMut(FactField<'a>)) {
                match self {
                    $(Fact::$name { $($field),* } => {
                        $(see($field.into());)*
                    })+
                    Fact::Unknown { .. } => {}
                }
            }
        }
    };
}

facts! {
    /// A ref has a new tip, or a master has seen the ref for the first time.
    "changeSubmitted" => ChangeSubmitted {
        /// The name of the ref in full.
        #[serde(rename = "ref")]
        ref_name: String,
        /// The new tip of the ref.
        revision: String,
        /// Whether the tip before is not an ancestor of the new one.
        forced: bool,
        /// The commits that the ref gained, the newest first, at most [`crate::limits::EVENT_COMMITS`]. Masters up to version 0.2
        /// store none.
        #[serde(default)]
        commits: Vec<Commit>,
        /// Whether the ref gained more commits than these.
        #[serde(default)]
        more_commits: bool,
        /// The paths that differ from the tip before, at most [`crate::limits::EVENT_PATHS`].
        #[serde(default)]
        paths: Vec<String>,
        /// Whether more paths differ than these.
        #[serde(default)]
        more_paths: bool,
    },
    /// A ref no longer exists.
    "refDeleted" => RefDeleted {
        /// The name of the ref in full.
        #[serde(rename = "ref")]
        ref_name: String,
    },
    /// A build of a commit was made.
    "buildCreated" => BuildCreated {
        /// The cause of the build in words, such as "run by NAME".
        cause: String,
        /// The name of the ref in full.
        #[serde(rename = "ref")]
        ref_name: String,
        /// The commit that it builds.
        revision: String,
    },
    /// The pipeline of a build was read. If jobs are added later, this event comes again with all jobs.
    "buildPlanned" => BuildPlanned {
        /// The jobs of the build, in the order of its plan.
        jobs: Vec<String>,
    },
    /// A job waits for a worker.
    "jobQueued" => JobQueued {
        /// The job, with its cell.
        job: String,
    },
    /// A worker accepted an attempt of a job.
    "jobStarted" => JobStarted {
        /// The job, with its cell.
        job: String,
        /// The number of the attempt, from 1.
        attempt: u16,
        /// The name of the worker.
        worker: String,
    },
    /// An attempt ended without a result, and its job may run again.
    "attemptLost" => AttemptLost {
        /// The job, with its cell.
        job: String,
        /// The number of the attempt, from 1.
        attempt: u16,
        /// The name of the worker.
        worker: String,
        /// The reason why the attempt was lost, in a sentence.
        reason: String,
    },
    /// A step of an attempt began.
    "stepStarted" => StepStarted {
        /// The job, with its cell.
        job: String,
        /// The number of the attempt, from 1.
        attempt: u16,
        /// The number of the step, from 1.
        step: u16,
        /// The name of the step.
        name: String,
    },
    /// A step of an attempt ended.
    "stepFinished" => StepFinished {
        /// The job, with its cell.
        job: String,
        /// The number of the attempt, from 1.
        attempt: u16,
        /// The number of the step, from 1.
        step: u16,
        /// The outcome of the finished step.
        outcome: Outcome,
        /// The reason for an outcome that is not good. It is empty if the outcome is good, the step did not run, or the master was
        /// older.
        #[serde(default)]
        reason: String,
        /// The numbers of tests in the step's reports, by their result. `None` if it reported none, or the master was older.
        #[serde(default)]
        tests: Option<TestCounts>,
    },
    /// A job has its outcome.
    "jobFinished" => JobFinished {
        /// The job, with its cell.
        job: String,
        /// The outcome of the finished job.
        outcome: Outcome,
        /// The reason for the outcome; empty means that the outcome says everything.
        reason: String,
    },
    /// A build has its outcome.
    "buildFinished" => BuildFinished {
        /// The outcome of the finished build.
        outcome: Outcome,
    },
    /// A worker opened a session.
    "workerAttached" => WorkerAttached {
        /// The name of the worker.
        worker: String,
    },
    /// The session of a worker ended. Its leases go on until their terms end.
    "workerLost" => WorkerLost {
        /// The name of the worker.
        worker: String,
        /// The reason why the session ended, in a sentence.
        reason: String,
    },
    /// An operator made a grant.
    "grantIssued" => GrantIssued {
        /// The number of the grant.
        grant: u64,
        /// The name of its holder.
        name: String,
        /// The word for its kind.
        grant_kind: String,
    },
    /// A grant was bound to the key of its holder.
    "grantRedeemed" => GrantRedeemed {
        /// The number of the grant.
        grant: u64,
        /// The name of its holder.
        name: String,
    },
    /// A grant was revoked, or has expired.
    "grantRevoked" => GrantRevoked {
        /// The number of the grant.
        grant: u64,
        /// The name of its holder.
        name: String,
        /// The reason why the grant ended, in a sentence.
        reason: String,
    },
    /// Something happened that an operator should look at.
    "alarm" => Alarm {
        /// A sentence that says what happened.
        text: String,
    },
    /// The clock asked for a build of a branch, and none was made.
    "cronSkipped" => CronSkipped {
        /// The name of the entry in the pipeline.
        name: String,
        /// The full name of the branch that the entry builds.
        #[serde(rename = "ref")]
        ref_name: String,
        /// The reason why no build was made, in a sentence.
        reason: String,
    },
    /// A person looks after a red job of a branch.
    "claimed" => Claimed {
        /// The full name of the branch or tag.
        #[serde(rename = "ref")]
        ref_name: String,
        /// The job with its cell.
        job: String,
        /// The name of the person.
        name: String,
        /// The time at which the claim ends, in milliseconds since 1970.
        until: u64,
        /// What the person says about it.
        reason: String,
    },
    /// A person no longer looks after a job of a branch.
    "claimReleased" => ClaimReleased {
        /// The full name of the branch or tag.
        #[serde(rename = "ref")]
        ref_name: String,
        /// The job with its cell.
        job: String,
        /// The name of the person.
        name: String,
        /// The reason why the claim ended, in a sentence.
        reason: String,
    },
}

/// One field of a fact, reduced to the values on which its size depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactField<'a> {
    /// A number, a flag or an outcome, whose size does not depend on its value.
    Fixed,
    /// A text of any length.
    Text(&'a str),
    /// A list of texts of any length.
    Texts(&'a [String]),
    /// A list of commits with their texts.
    Commits(&'a [Commit]),
    /// The numbers of tests by their result, if the step reported tests.
    Tests(Option<TestCounts>),
}

impl From<&Option<TestCounts>> for FactField<'_> {
    fn from(tests: &Option<TestCounts>) -> Self {
        FactField::Tests(*tests)
    }
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

/// The conditions for the events that a subscriber wants. An event must match every condition that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Names of projects; empty means all projects.
    pub projects: Vec<String>,
    /// The number of a build; 0 means all builds.
    pub build: u32,
    /// Names of kinds, as [`Fact::kind`] gives them; empty means all kinds.
    pub kinds: Vec<String>,
}

impl Filter {
    /// Whether the subscriber wants this event.
    pub fn matches(&self, event: &Event) -> bool {
        (self.projects.is_empty() || self.projects.contains(&event.project))
            && (self.build == 0 || self.build == event.build)
            && (self.kinds.is_empty() || self.kinds.iter().any(|kind| kind == event.fact.kind()))
    }
}
