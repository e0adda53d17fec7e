//! The world that these tests share: a real coordinator, a clock that the test sets, a store in memory, and workers that do what
//! the test says. A test adds the beliefs of its workers, and a model of what must hold.
//!
//! | word | what happens |
//! | --- | --- |
//! | [`World::of`], [`World::new`] | a master with this many workers `w1`, `w2` …, or with none |
//! | [`World::enroll`] | a worker of this name gets a grant, and is known by its number from 0 |
//! | [`World::attach`], [`World::come`] | a worker connects: with these leases, or with a whole arrival |
//! | [`World::submit`], [`World::push`], [`World::plan`] | a job is queued; the master sees a commit; a build gets its plan |
//! | [`World::ask`], [`World::offered`], [`World::accept`] | a worker waits for a job, is offered one, and takes it |
//! | [`World::lose`], [`World::pass`], [`World::restart`] | a link is lost; milliseconds pass; the master is killed and restarts |
//! | [`World::request`] | a request of the root grant with a new id |
//! | [`World::settle`] | the effects of the coordinator are kept for the test, and its invariants are checked |
//!
//! For anything else a test calls the coordinator itself, by [`World::it`], and then [`World::settle`].

use master::decide::coordinator::record::{BuildId, GrantId, JobKey, LeaseToken, Loaded, Record, RequestId};
use master::decide::coordinator::{
    Arrival, Attached, Coordinator, Effect, GrantOrder, Planned, ROOT, Request, SessionId, Terms,
};
use master::decide::steady::Ahead;
use schema::sturdy_ref::Fingerprint;
use schema::values::{
    Assignment, Change, Description, Fact, GrantKind, JobPlan, Outcome, Plan, Resources, State, Time, Trust, What,
};
use support::hall::step;
use support::ledger::Ledger;

/// The room of a worker, which is enough for all jobs of a test.
pub(crate) const ROOM: Resources = Resources { slots: 9, cpus_milli: 9_000, memory: 9 << 30 };

/// `World` is a master without its surroundings, and the effects that it asked for.
pub(crate) struct World {
    pub(crate) it: Coordinator,
    pub(crate) now: Time,
    pub(crate) ledger: Ledger,
    /// All records that went into the ledger, in their order.
    pub(crate) records: Vec<Record>,
    /// The grant of each worker, by the worker's number.
    pub(crate) grants: Vec<GrantId>,
    /// The resources that a worker has and with which it asks for jobs.
    pub(crate) room: Resources,
    /// The builds for whose plans the coordinator has asked, and which have none yet.
    pub(crate) plans: Vec<BuildId>,
    /// The offers that the test has not looked at yet.
    pub(crate) offers: Vec<(SessionId, Assignment)>,
    /// Other effects that no test has looked at yet, such as calls to workers and ended builds.
    pub(crate) told: Vec<Effect>,
    /// The difference between the wall clock and the steady clock at the next start.
    pub(crate) ahead: Ahead,
    requests: u64,
}

impl World {
    pub(crate) fn new(terms: Terms) -> World {
        let now = Time(1_000_000);
        let it = Coordinator::load(now, terms, Ledger::default().load(), [3; 32]);
        let (ledger, records, grants, plans, offers, told, ahead) = Default::default();
        let mut world = World { it, now, ledger, records, grants, room: ROOM, plans, offers, told, ahead, requests: 0 };
        world.it.found(now);
        world.settle();
        world
    }

    /// Makes a world with this many workers: `w1`, `w2` and so on.
    pub(crate) fn of(workers: usize) -> World {
        let mut world = World::new(Terms::default());
        for number in 1..=workers {
            world.enroll(&format!("w{number}"), What::default());
        }
        world
    }

    /// Returns a request of the root grant whose id no other request has had.
    pub(crate) fn request(&mut self) -> Request {
        let body = self.secret();
        Request { id: RequestId(*body.first_chunk().expect("16 of 32")), by: ROOT, body }
    }

    /// Issues a grant for a worker of this name, and redeems it. Returns the number of the worker.
    pub(crate) fn enroll(&mut self, name: &str, what: What) -> usize {
        let (request, secret, token) = (self.request(), self.secret(), token_of(self.grants.len()));
        let (kind, name) = (GrantKind::Worker, name.to_owned());
        let order = GrantOrder { kind, name, what, lifetime: None, join_hash: secret };
        let grant = self.it.issue(self.now, request, order).expect("the root may issue");
        self.it.redeem(self.now, secret, token, Fingerprint(secret)).expect("a fresh join");
        self.grants.push(grant);
        self.settle();
        self.grants.len() - 1
    }

    /// Connects a worker, which still runs these leases.
    pub(crate) fn attach(&mut self, worker: usize, running: Vec<LeaseToken>) -> SessionId {
        let arrival = Arrival { instance: [7; 16], running, keeps_terms: true, ..Arrival::default() };
        self.come(worker, arrival).session
    }

    /// Connects a worker with this arrival, whose total room is set to [`World::room`].
    pub(crate) fn come(&mut self, worker: usize, arrival: Arrival) -> Attached {
        let description = Description { total: self.room, ..arrival.description };
        let attached = self.it.attach(self.now, self.grants[worker], Arrival { description, ..arrival });
        self.settle();
        attached.expect("its grant is in force")
    }

    /// Submits a build of one job. The job is then queued, or offered to a worker that asks.
    pub(crate) fn submit(&mut self, job: JobPlan) -> JobKey {
        let branch = format!("b{}", self.requests);
        let build = self.push("p", &branch);
        self.plan(build, vec![job]);
        JobKey { build, index: 0 }
    }

    /// Lets the master see a new commit of a branch, and keeps the effects.
    pub(crate) fn push(&mut self, project: &str, branch: &str) -> BuildId {
        let build = self.submit_commit(project, branch);
        self.settle();
        build
    }

    /// Like [`World::push`], but leaves the effects in the coordinator.
    pub(crate) fn submit_commit(&mut self, project: &str, branch: &str) -> BuildId {
        self.requests += 1;
        let change = Change {
            project: project.to_owned(),
            ref_name: format!("refs/heads/{branch}"),
            revision: format!("{:040x}", self.requests),
            ..Change::default()
        };
        self.it.submit_change(self.now, ROOT, change).expect("another revision")
    }

    /// Gives a build its plan.
    pub(crate) fn plan(&mut self, build: BuildId, jobs: Vec<JobPlan>) {
        self.plans.retain(|asked| *asked != build);
        let plan = Plan { version: 1, jobs, trust: Trust::Trusted };
        self.it.plan_ready(self.now, build, Planned::Plan(plan));
        self.settle();
    }

    pub(crate) fn ask(&mut self, session: SessionId) {
        self.it.worker_ready(self.now, session, self.room);
        self.settle();
    }

    /// Takes the offers since the last call, each with its session.
    pub(crate) fn offered(&mut self) -> Vec<(SessionId, LeaseToken)> {
        let offers = std::mem::take(&mut self.offers);
        offers.into_iter().map(|(session, assignment)| (session, LeaseToken(assignment.token))).collect()
    }

    pub(crate) fn accept(&mut self, token: LeaseToken) {
        self.it.accept(self.now, token).expect("the offer stands");
        self.settle();
    }

    pub(crate) fn lose(&mut self, session: SessionId) {
        self.it.session_lost(self.now, session, "cut");
        self.settle();
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        self.now = Time(self.now.0 + ms);
        self.it.handle_timeout(self.now);
        self.settle();
    }

    /// Lets a session ask, and returns the milliseconds until it gets an offer, in steps of 100.
    pub(crate) fn asked_after(&mut self, session: SessionId) -> u64 {
        self.ask(session);
        for tenths in 0..2_000 {
            if self.offered().iter().any(|(to, _)| *to == session) {
                return tenths * 100;
            }
            self.pass(100);
        }
        panic!("it is never asked again");
    }

    /// Kills the master and starts it again with these terms.
    pub(crate) fn restart(&mut self, terms: Terms) {
        self.start(terms, self.ledger.load());
    }

    /// Starts a master with these terms and this stored state.
    pub(crate) fn start(&mut self, terms: Terms, loaded: Loaded) {
        self.load(terms, loaded);
        self.settle();
    }

    /// Like [`World::start`], but leaves the effects in the coordinator. The effects of the earlier master are dropped.
    pub(crate) fn load(&mut self, terms: Terms, loaded: Loaded) {
        // no two masters give the same tokens, so each start has a new key
        let key = self.secret();
        self.it = Coordinator::load_by(self.now, self.ahead, terms, loaded, key);
        (self.plans, self.offers, self.told) = Default::default();
    }

    pub(crate) fn outcome(&self, job: JobKey) -> Option<(Outcome, String)> {
        let row = &self.ledger.jobs[&job];
        Some((row.outcome?, row.reason.clone()))
    }

    pub(crate) fn state(&self, job: JobKey) -> State {
        self.ledger.jobs[&job].state
    }

    /// Returns the texts of all alarms, in their order.
    pub(crate) fn alarms(&self) -> Vec<String> {
        let alarms = self.ledger.events.iter().filter_map(|event| match &event.fact {
            Fact::Alarm { text } => Some(text.clone()),
            _ => None,
        });
        alarms.collect()
    }

    pub(crate) fn settle(&mut self) {
        while let Some(effect) = self.it.poll_effect() {
            match effect {
                Effect::Record(record) => {
                    self.records.push(record.clone());
                    self.ledger.write(record);
                }
                Effect::Plan { build } => self.plans.push(build),
                Effect::Offer { session, assignment } => self.offers.push((session, *assignment)),
                Effect::Cancel { .. }
                | Effect::Withdraw { .. }
                | Effect::Revoke { .. }
                | Effect::EndSession { .. }
                | Effect::Finished { .. }
                | Effect::Tested => self.told.push(effect),
            }
        }
        self.it.check();
    }

    /// Returns 32 bytes that were never used before.
    fn secret(&mut self) -> [u8; 32] {
        self.requests += 1;
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&self.requests.to_be_bytes());
        secret
    }
}

/// Returns the token of a worker's credential.
pub(crate) fn token_of(worker: usize) -> [u8; 32] {
    [u8::try_from(worker).expect("few workers") + 100; 32]
}

/// Returns a job of one step, which may have three attempts.
pub(crate) fn one() -> JobPlan {
    JobPlan { name: "j".to_owned(), retry_infra: 2, steps: vec![step("s")], ..JobPlan::default() }
}
