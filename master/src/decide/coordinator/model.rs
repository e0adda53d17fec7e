//! What the coordinator is told and answers: the terms it works under, what workers say, and what must happen outside.

use super::record::{BuildId, GrantId, JobKey, LeaseToken, Record};
use crate::decide::machine_notes::MachineNotes;
use crate::decide::placement::{PoolTerms, SessionId};
use crate::decide::records::Recorder;
use schema::values::{Assignment, Description, Home, Plan, Time};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// What the master file says, as far as decisions depend on it.
#[derive(Clone, Debug)]
pub struct Terms {
    /// A lease's length where the pool says nothing.
    pub lease: Duration,
    /// An offer that is not accepted for so long goes back.
    pub offer: Duration,
    /// A cancelled attempt that did not end for so long is fenced; later by the time of its job's `always` steps.
    pub cancel: Duration,
    /// The longest that any job may take.
    pub job_timeout: Duration,
    /// The most of one log, in bytes.
    pub log_bytes: u64,
    pub projects: BTreeMap<String, ProjectTerms>,
    pub pools: BTreeMap<String, PoolTerms>,
}

impl Terms {
    pub(super) fn longest_lease(&self) -> Duration {
        self.pools.values().filter_map(|pool| pool.lease).fold(self.lease, Duration::max)
    }
}

impl Default for Terms {
    fn default() -> Terms {
        Terms {
            lease: Duration::from_secs(600),
            offer: Duration::from_secs(10),
            cancel: Duration::from_secs(30),
            job_timeout: Duration::from_secs(2 * 3600),
            log_bytes: 256 << 20,
            projects: BTreeMap::new(),
            pools: BTreeMap::new(),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct ProjectTerms {
    /// Where its jobs may run; empty: the default pool.
    pub pools: BTreeSet<String>,
}

/// What must happen outside, in this order.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "most effects are records: boxing them would cost an allocation each")]
pub enum Effect {
    /// Write this, in one transaction with its neighbours. Everything else waits for it, save plans and offers.
    Record(Record),
    /// Read the build's pipeline and answer with `plan_ready`. A restart asks for it again.
    Plan { build: BuildId },
    /// Answer the session's waiting `take`. Binds nobody before it is accepted, and a restart knows nothing of it.
    Offer { session: SessionId, assignment: Box<Assignment> },
    /// Ask the worker to end an attempt; it will still `complete`. `now`: without the steps that always run.
    Cancel { session: SessionId, token: LeaseToken, reason: String, now: bool },
    /// The lease is over: nothing of it is dispatched any more. The logs of its attempt, if that began, end with `reason`.
    Withdraw { session: Option<SessionId>, token: LeaseToken, begun: Option<(JobKey, u16)>, reason: String },
    /// These grants are over: flip their gates, tell their workers.
    Revoke { grants: Vec<GrantId>, reason: String },
    /// The session was replaced, or its grant is over.
    EndSession { session: SessionId },
    /// Wake who waits for its outcome.
    Finished { build: BuildId },
}

/// What must happen outside, in this order.
pub(super) type Effects = VecDeque<Effect>;

impl Recorder for Effects {
    fn record(&mut self, record: Record) {
        self.push_back(Effect::Record(record));
    }
}

/// What became of a plan that was asked for by [`Effect::Plan`].
#[derive(Clone, Debug)]
pub enum Planned {
    Plan(Plan),
    /// The pipeline does not want this ref.
    Skip(String),
    /// The pipeline cannot be read: the diagnosis.
    Broken(String),
    /// The repository cannot be read.
    Trouble(String),
}

/// What a worker says when it attaches.
#[derive(Clone, Debug, Default)]
pub struct Arrival {
    /// Of its process.
    pub instance: [u8; 16],
    /// The leases that it still runs or has results for.
    pub running: Vec<LeaseToken>,
    pub description: Description,
    /// Whether it lives by the term of each lease. Else it is of version 0.1, and lives by the term that it is told now.
    pub keeps_terms: bool,
    /// None: it does not say.
    pub home: Option<Home>,
    /// Attempts of which a process lives in its home.
    pub alive: Vec<LeaseToken>,
    /// What its wall clock shows. 0: an older worker does not say.
    pub clock: Time,
}

/// What became of a lease that a worker says it still runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumption {
    /// The session holds the lease again.
    Resumed,
    /// The lease is over, or was never this worker's.
    Stale,
}

/// What a worker that attaches is told.
#[derive(Clone, Debug)]
pub struct Attached {
    pub session: SessionId,
    /// What became of the leases that it named, in their order.
    pub standing: Vec<Resumption>,
    /// The lengths of these leases; zero where one is over.
    pub terms: Vec<Duration>,
    /// The length of every lease, for a worker that does not keep those of its own.
    pub term: Duration,
}

/// What is known of a live connection of a worker, beside what placing needs.
#[derive(Debug)]
pub(super) struct WorkerLink {
    pub worker: String,
    pub grant: GrantId,
    /// Of its process.
    pub instance: [u8; 16],
    pub home: Option<Home>,
    /// What the worker says of its machine.
    pub machine: MachineNotes,
    /// The selector of the job that ended last.
    pub freed: String,
}

/// Numbers of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Enrolled, and not forgotten.
    pub workers_known: usize,
    pub workers_connected: usize,
    /// Jobs that are offered or run.
    pub running: usize,
    /// Jobs that wait for a worker.
    pub waiting: usize,
    /// Not finished.
    pub builds_open: usize,
    pub last_event: u64,
}
