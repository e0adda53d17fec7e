//! The inputs and outputs of the coordinator: the reports of workers, and the effects that a driver must perform.

use super::record::{BuildId, GrantId, JobKey, LeaseToken, Record};
use crate::decide::machine_notes::MachineNotes;
use crate::decide::placement::SessionId;
use crate::decide::records::Recorder;
use schema::values::{Assignment, Description, Home, Time};
use std::collections::VecDeque;
use std::time::Duration;

/// An `Effect` is one thing that the driver must do, after the effects before it.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "most effects are records: boxing them would cost an allocation each")]
pub enum Effect {
    /// Write this record in one transaction with the others. Every other effect waits for the commit, except plans and offers.
    Record(Record),
    /// Read the build's pipeline and answer with `plan_ready`. A restart asks for it again.
    Plan { build: BuildId },
    /// Answer the session's waiting `take`. The offer binds nobody until the worker accepts it, and a restart forgets it.
    Offer { session: SessionId, assignment: Box<Assignment> },
    /// Ask the worker to end an attempt, which the worker then completes. If `now` is true, the `always` steps must end too.
    Cancel { session: SessionId, token: LeaseToken, reason: String, now: bool },
    /// Dispatch no more calls on this lease, because it is over. If its attempt had begun, end the attempt's logs with `reason`.
    Withdraw { session: Option<SessionId>, token: LeaseToken, begun: Option<(JobKey, u16)>, reason: String },
    /// These grants are over, so close their gates and tell their workers.
    Revoke { grants: Vec<GrantId>, reason: String },
    /// End this session, because it was replaced or its grant is over.
    EndSession { session: SessionId },
    /// Wake the callers who wait for the outcome of this build.
    Finished { build: BuildId },
    /// Wake the readers of the lists of tests, because a job whose steps may report tests has finished.
    Tested,
}

/// The effects that the driver must perform, in this order.
pub(super) type Effects = VecDeque<Effect>;

impl Recorder for Effects {
    fn record(&mut self, record: Record) {
        self.push_back(Effect::Record(record));
    }
}

/// The facts that a worker reports when it attaches.
#[derive(Clone, Debug, Default)]
pub struct Arrival {
    /// The 16 bytes that name the worker's process.
    pub instance: [u8; 16],
    /// The leases that the worker still runs, or for which it has results.
    pub running: Vec<LeaseToken>,
    pub description: Description,
    /// Whether the worker obeys the term of each lease. If not, it has version 0.1 and obeys the term that `attach` returns.
    pub keeps_terms: bool,
    /// The home of the worker. `None` means that the worker does not report it.
    pub home: Option<Home>,
    /// The attempts that still have a living process in the worker's home.
    pub alive: Vec<LeaseToken>,
    /// The time that the worker's wall clock shows. 0 means that the worker is too old to report it.
    pub clock: Time,
}

/// The state of a lease that a worker says it still runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumption {
    /// The session holds the lease again.
    Resumed,
    /// The lease is over, or was never a lease of this worker.
    Stale,
}

/// The answer to a worker that attaches.
#[derive(Clone, Debug)]
pub struct Attached {
    pub session: SessionId,
    /// The states of the leases that the worker named, in the same order.
    pub standing: Vec<Resumption>,
    /// The terms of the leases that the worker named, in the same order. A term is zero if its lease is over.
    pub terms: Vec<Duration>,
    /// The length of every lease, for a worker that does not obey the term of each lease.
    pub term: Duration,
}

/// The facts about a live connection of a worker that placement does not need.
#[derive(Debug)]
pub(super) struct WorkerLink {
    pub worker: String,
    pub grant: GrantId,
    /// The 16 bytes that name the worker's process.
    pub instance: [u8; 16],
    pub home: Option<Home>,
    /// The notes on the worker's machine that the worker sent.
    pub machine: MachineNotes,
    /// The selector of the job that ended last in this session. Empty means that none has ended.
    pub freed: String,
}

/// The figures of the coordinator as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// The number of workers that have attached at least once and were not forgotten.
    pub workers_known: usize,
    pub workers_connected: usize,
    /// The number of attempts that are offered, that run, or whose worker is away.
    pub running: usize,
    /// The number of jobs that wait for a worker.
    pub waiting: usize,
    /// The number of builds that are not finished.
    pub builds_open: usize,
    pub last_event: u64,
}
