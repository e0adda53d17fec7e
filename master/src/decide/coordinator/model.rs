//! What the coordinator knows: builds, jobs, leases, sessions, and the terms it works under.

use super::by_worker::OfWorker;
use super::overdue::Overdue;
use super::placed::Opening;
use super::record::{AttemptRow, BuildId, BuildRow, GrantId, JobKey, JobRow, LeaseToken, Record};
use super::refs::Origin;
use super::rows::{Row, Steps};
use schema::values::{Assignment, Commit, Description, Home, Outcome, Plan, Resources, State, Tier, Time, Want};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Names one live connection of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// The pool of workers whose grant names none, and of projects that name none.
pub(super) const DEFAULT_POOL: &str = "default";

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

#[derive(Clone, Debug, Default)]
pub struct PoolTerms {
    /// What a worker must have besides its grant, as a job's `want`.
    pub wants: Vec<Want>,
    pub lease: Option<Duration>,
    /// The weakest tier of isolation in which the pool's jobs run. None: the usual one.
    pub isolation: Option<Tier>,
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

/// What a build is made of, before it is planned.
#[derive(Clone, Debug)]
pub struct Order {
    pub project: String,
    pub stamp: schema::values::SourceStamp,
    pub tip: Commit,
    pub by: GrantId,
    pub origin: Origin,
}

#[derive(Debug)]
pub(super) struct Build {
    pub row: Row<BuildRow>,
    pub plan: Option<Plan>,
    pub jobs: Vec<Job>,
    /// Jobs that are not finished.
    pub open: usize,
}

impl Build {
    /// A build whose plan is still to be made.
    pub(super) fn new(row: Row<BuildRow>) -> Build {
        Build { row, plan: None, jobs: Vec::new(), open: 0 }
    }

    /// Takes a plan and the rows of its jobs, by their index. What follows from both is derived here: who needs whom, and how
    /// many jobs are open.
    pub(super) fn take_plan(&mut self, plan: Plan, rows: Vec<Row<JobRow>>) {
        self.open = rows.iter().filter(|row| row.state != State::Finished).count();
        self.jobs = rows.into_iter().map(|row| Job { row, needed_by: Vec::new(), lease: None }).collect();
        for (index, job) in (0..).zip(&plan.jobs) {
            job.needs.iter().for_each(|need| self.jobs[*need as usize].needed_by.push(index));
        }
        self.plan = Some(plan);
    }

    /// What the outcome of a job counts for in its build and for the jobs that need it. None: the job is not finished.
    pub(super) fn counted(&self, index: usize) -> Option<Outcome> {
        let plan = self.plan.as_ref().and_then(|plan| plan.jobs.get(index));
        self.jobs[index].row.outcome.map(|outcome| plan.map_or(outcome, |plan| plan.counted(outcome)))
    }

    /// What the outcome of a job says of its lane. One that errored says nothing of the code, also where the job may fail.
    pub(super) fn told_to_lane(&self, index: usize) -> Option<Outcome> {
        let outcome = self.jobs[index].row.outcome;
        if outcome == Some(Outcome::Errored) { outcome } else { self.counted(index) }
    }

    /// Whether the jobs that need this one must not run: it did not come to a good end, or was itself skipped because of what
    /// it needs. A job that `when` left out blocks nothing.
    pub(super) fn blocks(&self, index: usize) -> bool {
        let is_left_out = || self.plan.as_ref().is_some_and(|plan| !plan.jobs[index].skipped.is_empty());
        match self.counted(index) {
            None | Some(Outcome::Succeeded | Outcome::Warned) => false,
            Some(Outcome::Skipped) => !is_left_out(),
            Some(Outcome::Failed | Outcome::Errored | Outcome::Cancelled) => true,
        }
    }
}

#[derive(Debug)]
pub(super) struct Job {
    pub row: Row<JobRow>,
    /// Jobs that need this one.
    pub needed_by: Vec<u32>,
    pub lease: Option<LeaseToken>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeaseState {
    /// Not accepted yet; goes back at this time.
    Offered,
    Running,
    /// Its term is over, and the job was not placed again yet: it may still resume.
    Lapsed,
}

/// The time-bounded exclusive right of one session to one attempt.
#[derive(Debug)]
pub(crate) struct Lease {
    pub job: JobKey,
    pub attempt: Row<AttemptRow>,
    pub state: LeaseState,
    pub session: Option<SessionId>,
    /// When the offer goes back, or the term ends.
    pub until: Time,
    pub steps: Steps,
    /// Set: an operator or a user wants it ended, and fenced at this time.
    pub cancelled: Option<(Time, String)>,
    /// It was cancelled again: the steps that always run are to end too. A restart forgets it, and it may be cancelled again.
    pub cancelled_again: bool,
    pub overdue: Overdue,
}

impl OfWorker for Lease {
    fn worker(&self) -> &str {
        &self.attempt.worker
    }
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

#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub worker: String,
    pub grant: GrantId,
    pub instance: [u8; 16],
    pub description: Description,
    /// Those that count; of each name one.
    pub labels: Box<[(String, String)]>,
    pub pools: Box<[String]>,
    /// A `take` waits, with these resources free.
    pub waiting: Option<Resources>,
    pub draining: bool,
    /// The shortest that its worker may take a lease to be, whatever the lease itself says.
    pub least_term: Duration,
    pub home: Option<Home>,
    pub since: Time,
    /// When it last became ready for more, and by what.
    pub opened: (Time, Opening),
    /// When it last gave an offer back.
    pub declined: Option<Time>,
    /// Why it takes no job for now, as it says itself; empty: it does not say so.
    pub lack: String,
}

impl OfWorker for Session {
    fn worker(&self) -> &str {
        &self.worker
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// An offer or a lease, by its token.
    Lease(LeaseToken),
    Cancel(LeaseToken),
    Grant(GrantId),
    /// Rows of grants that an earlier master kept are to be removed.
    OldGrants,
    /// Refusals that were counted for an hour.
    Alarms,
    /// The time of the attempt's job was over long ago.
    Overdue(LeaseToken),
    /// A worker is passed over for this job no longer.
    Rest(JobKey),
    /// A worker that did not accept is asked again: its grant.
    RestOf(GrantId),
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
