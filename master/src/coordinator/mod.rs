//! Decides everything and does nothing: no I/O, no clock, no RPC, no randomness, no hash-map iteration.
//!
//! A command is refused for a reason that its caller can read, or done; what must happen outside comes out of
//! [`Coordinator::poll_effect`], in order. It is told the time. A crash is a restart from [`Loaded`]. Whoever explains what it
//! does reads a [`snapshot::CoordinatorSnapshot`]: nothing here is prose, save the reasons that rows keep.

mod absence;
mod alarms;
pub mod authority;
mod browser;
mod build;
mod by_worker;
mod check;
mod fit;
mod follow;
mod grant;
mod grant_list;
mod heads;
mod history;
pub mod lane;
mod lease;
mod model;
mod overdue;
mod place;
pub mod placed;
mod queue;
pub mod record;
mod report;
mod request;
mod rest;
pub mod snapshot;
mod tokens;
mod trigger;
mod update;
mod worker;

pub use follow::{Before, HeldProject};
pub use grant::{GrantOrder, ROOT, account_of, valid_name};
pub use grant_list::GrantPage;
pub use model::{
    Arrival, Attached, Counts, Effect, Order, Planned, PoolTerms, ProjectTerms, Resumption, SessionId, Terms,
};
pub use report::OpenLog;
pub use request::Request;
pub use trigger::{Past, chosen};
pub use update::Origin;

use absence::Asked;
use by_worker::ByWorker;
use heads::Heads;
use history::History;
use model::{Build, Job, Lease, LeaseState, Session, Timer};
use overdue::Overdue;
use queue::Queue;
use record::{
    Answer, AttemptRow, BuildId, BuildRow, FollowedRow, GrantId, GrantRow, JobKey, JobRow, LeaseToken, Loaded,
    LoadedAttempt, Record, StepRow, WorkerRow,
};
use request::Requests;
use rest::Rests;
use schema::values::{Event, Fact, Outcome, Plan, Refusal, State, Time};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tokens::Tokens;

#[derive(Debug)]
pub struct Coordinator {
    terms: Terms,
    builds: BTreeMap<BuildId, Build>,
    /// Project -> the highest build number ever used.
    numbers: BTreeMap<String, u32>,
    heads: Heads,
    /// How the repositories of projects were followed, by project.
    followed: BTreeMap<String, FollowedRow>,
    /// Which life of the store this is.
    incarnation: u64,
    /// Projects whose repositories were not looked at in this life.
    held: BTreeSet<String>,
    queue: Queue,
    rests: Rests,
    leases: ByWorker<LeaseToken, Lease>,
    sessions: ByWorker<SessionId, Session>,
    /// Sessions with a waiting `take`.
    ready: BTreeSet<SessionId>,
    workers: BTreeMap<String, WorkerRow>,
    grants: BTreeMap<GrantId, GrantRow>,
    joins: BTreeMap<[u8; 32], GrantId>,
    by_token: BTreeMap<[u8; 32], GrantId>,
    /// Grants, by the one that they are below.
    children: BTreeSet<(GrantId, GrantId)>,
    /// Those of them that are logins of browsers.
    logins: BTreeSet<(GrantId, GrantId)>,
    /// Grants of an earlier life that are over, whose rows are left.
    old_grants: Vec<GrantId>,
    /// Grants that were revoked or expired, and are kept: when, and which. Of one time children come before their parents.
    ended: BTreeSet<(Time, Reverse<GrantId>)>,
    /// How many grants are in force below one.
    in_force: BTreeMap<GrantId, usize>,
    requests: Requests,
    history: History,
    /// Revoked workers that were asked whether all that they ran has ended.
    answering: BTreeMap<GrantId, Asked>,
    alarms: BTreeMap<alarms::Kind, alarms::Alarm>,
    timers: BTreeSet<(Time, Timer)>,
    effects: VecDeque<Effect>,
    tokens: Tokens,
    last_build: u64,
    last_grant: u64,
    last_event: u64,
    last_session: u64,
}

impl Coordinator {
    /// From what the store holds. Every lease gets a full term from `now`; plans that were asked for are asked for again.
    /// `key`: 32 random bytes from which lease tokens are drawn.
    pub fn load(now: Time, terms: Terms, loaded: Loaded, key: [u8; 32]) -> Coordinator {
        let held = follow::held_at_load(&loaded);
        let mut this = Coordinator {
            terms,
            builds: BTreeMap::new(),
            numbers: loaded.numbers.into_iter().collect(),
            heads: Heads::load(loaded.heads),
            followed: loaded.followed.into_iter().map(|row| (row.project.clone(), row)).collect(),
            incarnation: loaded.incarnation,
            held,
            queue: Queue::default(),
            rests: Rests::default(),
            leases: ByWorker::new(),
            sessions: ByWorker::new(),
            ready: BTreeSet::new(),
            workers: loaded.workers.into_iter().map(|row| (row.name.clone(), row)).collect(),
            grants: BTreeMap::new(),
            joins: BTreeMap::new(),
            by_token: BTreeMap::new(),
            children: BTreeSet::new(),
            logins: BTreeSet::new(),
            old_grants: Vec::new(),
            ended: BTreeSet::new(),
            in_force: BTreeMap::new(),
            requests: Requests::load(loaded.requests),
            history: History::default(),
            answering: BTreeMap::new(),
            alarms: BTreeMap::new(),
            timers: BTreeSet::new(),
            effects: VecDeque::new(),
            tokens: Tokens::new(key),
            last_build: loaded.last_build,
            last_grant: loaded.last_grant,
            last_event: loaded.last_event,
            last_session: 0,
        };
        loaded.grants.into_iter().for_each(|row| this.load_grant(row));
        this.leave_old_grants(now);
        for (row, plan, jobs, attempts) in loaded.builds {
            this.load_build(now, row, plan, jobs, attempts);
        }
        this
    }

    /// The master file was read again. Jobs that wait keep their order and may go elsewhere; leases keep their terms.
    pub fn set_terms(&mut self, now: Time, terms: Terms) {
        self.terms = terms;
        self.stop_following_others();
        let waiting = self.queue.in_order(usize::MAX);
        self.queue = Queue::default();
        waiting.into_iter().for_each(|job| self.enqueue(now, job));
    }

    /// An operator changed what the master file says.
    pub fn note_file(&mut self, now: Time, request: Request, what: String) -> Result<(), Refusal> {
        self.once(now, request, |this| {
            this.audit(now, request.by, what);
            Ok(Answer::Done)
        })?;
        Ok(())
    }

    /// What must happen outside next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Coordinator::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.first().map(|(time, _)| *time)
    }

    pub fn handle_timeout(&mut self, now: Time) {
        while let Some((time, timer)) = self.timers.first().copied() {
            if time > now {
                return;
            }
            self.timers.remove(&(time, timer));
            match timer {
                Timer::Lease(token) => self.lease_timeout(now, token),
                Timer::Cancel(token) => self.cancel_timeout(now, token),
                Timer::Grant(id) => self.grant_timeout(now, id),
                Timer::OldGrants => self.sweep_old_grants(now),
                Timer::Alarms => self.alarms_timeout(now),
                Timer::Overdue(token) => self.overdue_timeout(now, token),
                Timer::Rest(job) => self.rest_timeout(now, job),
                Timer::RestOf(grant) => self.rest_of_timeout(now, grant),
            }
        }
    }

    /// A build that is not finished.
    pub fn open_build_row(&self, id: BuildId) -> Option<&BuildRow> {
        self.builds.get(&id).map(|build| &build.row)
    }

    /// The number of the newest event.
    pub fn last_event(&self) -> u64 {
        self.last_event
    }

    /// How many jobs wait for a worker.
    pub fn queue_length(&self) -> usize {
        self.queue.len()
    }

    /// Whether a job waits that a connected worker could take, had it room.
    pub fn is_short_of_room(&self) -> bool {
        self.queue.is_wanted()
    }

    /// How many attempts are offered, run, or wait for their worker to come back.
    pub fn lease_count(&self) -> usize {
        self.leases.len()
    }

    fn load_build(
        &mut self,
        now: Time,
        row: BuildRow,
        plan: Option<Plan>,
        rows: Vec<JobRow>,
        attempts: Vec<LoadedAttempt>,
    ) {
        let id = row.id;
        let planning = row.state == State::Planning;
        let mut jobs: Vec<Job> = rows.into_iter().map(|row| Job { row, needed_by: Vec::new(), lease: None }).collect();
        for (index, job) in (0..).zip(plan.iter().flat_map(|plan| &plan.jobs)) {
            job.needs.iter().for_each(|need| jobs[*need as usize].needed_by.push(index));
        }
        let open = jobs.iter().filter(|job| job.row.state != State::Finished).count();
        self.builds.insert(id, Build { row, plan, jobs, open });
        if planning {
            self.ask_for_plan(id);
            return;
        }
        for (attempt, steps) in attempts.into_iter().filter(|(attempt, _)| attempt.finished.is_none()) {
            self.load_lease(now, attempt, steps);
        }
        let count = self.builds[&id].jobs.len();
        for index in (0..).take(count) {
            self.load_job(now, JobKey { build: id, index });
        }
        self.settle(now, id);
    }

    fn load_lease(&mut self, now: Time, mut attempt: AttemptRow, mut steps: Vec<StepRow>) {
        steps.sort_by_key(|row| row.key.step);
        let (job, token) = (attempt.job, attempt.token);
        let lapsed = self.job(job).row.state != State::Running;
        if attempt.term.is_zero() {
            attempt.term = self.terms.longest_lease();
        }
        let state = if lapsed { LeaseState::Lapsed } else { LeaseState::Running };
        let until = now.after(attempt.term);
        let is_cancelled = attempt.outcome == Some(Outcome::Cancelled);
        let cancelled = is_cancelled.then(|| (self.cancel_deadline_at_most(now, job), attempt.reason.clone()));
        self.timers.extend(cancelled.iter().map(|(deadline, _)| (*deadline, Timer::Cancel(token))));
        let (session, overdue) = (None, Overdue::default());
        let lease = Lease { job, attempt, state, session, until, steps, cancelled, cancelled_again: false, overdue };
        self.leases.insert(token, lease);
        self.job_mut(job).lease = Some(token);
        self.set_overdue(now, token, self.time_at_most(job));
        if !lapsed {
            self.timers.insert((until, Timer::Lease(token)));
        }
    }

    /// Offers are not recorded: what was offered at the crash is queued.
    fn load_job(&mut self, now: Time, key: JobKey) {
        // the end of an earlier one may have been the end of its build
        let job = self.builds.get(&key.build).map(|build| &build.jobs[key.index as usize]);
        if job.is_some_and(|job| job.row.state == State::Queued) {
            self.enqueue(now, key);
        }
    }

    fn record(&mut self, record: Record) {
        self.effects.push_back(Effect::Record(record));
    }

    /// An event of a build that is open.
    fn tell(&mut self, now: Time, build: BuildId, fact: Fact) {
        let row = &self.builds[&build].row;
        let (project, number) = (row.project.clone(), row.number);
        self.tell_of(now, &project, number, fact);
    }

    fn tell_of(&mut self, now: Time, project: &str, build: u32, fact: Fact) {
        self.last_event += 1;
        let event = Event { sequence: self.last_event, time: now, project: project.to_owned(), build, fact };
        self.record(Record::Event(event));
    }

    fn audit(&mut self, now: Time, by: GrantId, text: String) {
        self.record(Record::Audit { time: now, by, text });
    }
}
