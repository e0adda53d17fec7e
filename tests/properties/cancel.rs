//! A job that is cancelled, and cancelled again: what its worker is told, and when its attempt is fenced.

use master::decide::coordinator::record::{BuildId, GrantId, JobKey, LeaseToken, Loaded, RequestId};
use master::decide::coordinator::{Arrival, Coordinator, Effect, GrantOrder, Planned, ROOT, Request, SessionId, Terms};
use schema::sturdy_ref::Fingerprint;
use schema::values::{
    Assignment, Change, Description, GrantKind, JobPlan, Outcome, Plan, Resources, State, StepPlan, Time, Trust, What,
};
use std::time::Duration;
use support::hall::step;
use support::ledger::Ledger;

const ROOM: Resources = Resources { slots: 1, cpus_milli: 0, memory: 0 };
const JOB: JobKey = JobKey { build: BuildId(1), index: 0 };

/// One worker with one job that runs.
struct Cell {
    it: Coordinator,
    now: Time,
    ledger: Ledger,
    grant: GrantId,
    token: LeaseToken,
    requests: u8,
    /// What the worker was told, and when; since the last look.
    told: Vec<String>,
    offered: Vec<(SessionId, Assignment)>,
}

impl Cell {
    fn new(steps: Vec<StepPlan>, always_timeout_ms: u64) -> Cell {
        let now = Time(1_000_000);
        let it = Coordinator::load(now, terms(), Loaded::default(), [3; 32]);
        let (ledger, token) = (Ledger::default(), LeaseToken([0; 16]));
        let grant = GrantId(0);
        let mut cell = Cell { it, now, ledger, grant, token, requests: 0, told: Vec::new(), offered: Vec::new() };
        cell.it.found(now);
        let order = GrantOrder {
            kind: GrantKind::Worker,
            name: "w".to_owned(),
            what: What::default(),
            lifetime: None,
            join_hash: [1; 32],
        };
        let request = cell.request();
        cell.grant = cell.it.issue(now, request, order).expect("the root may issue");
        cell.it.redeem(now, [1; 32], [1; 32], Fingerprint([1; 32])).expect("a fresh join");
        let session = cell.attach(&[]);
        cell.it.worker_ready(now, session, ROOM);
        let job = JobPlan { name: "run".to_owned(), steps, always_timeout_ms, ..JobPlan::default() };
        let (project, ref_name) = ("p".to_owned(), "refs/heads/main".to_owned());
        let change = Change { project, ref_name, revision: "1".repeat(40), ..Change::default() };
        let build = cell.it.submit_change(now, ROOT, change).expect("the first");
        let plan = Plan { version: 1, jobs: vec![job], trust: Trust::Trusted };
        cell.it.plan_ready(now, build, Planned::Plan(plan));
        cell.settle();
        let (_, assignment) = cell.offered.pop().expect("there is room");
        cell.token = LeaseToken(assignment.token);
        cell.it.accept(now, cell.token).expect("it was offered");
        cell.settle();
        cell
    }

    fn request(&mut self) -> Request {
        self.requests += 1;
        Request { id: RequestId([self.requests; 16]), by: ROOT, body: [self.requests; 32] }
    }

    fn attach(&mut self, running: &[LeaseToken]) -> SessionId {
        let description = Description { total: ROOM, ..Description::default() };
        let (instance, running) = ([self.requests; 16], running.to_vec());
        let arrival = Arrival { instance, running, description, keeps_terms: true, ..Arrival::default() };
        let session = self.it.attach(self.now, self.grant, arrival).expect("its grant is in force").session;
        self.settle();
        session
    }

    fn cancel(&mut self) {
        let request = self.request();
        for _ in 0..2 {
            // a lost answer is asked for again, and is no second cancel
            self.it.cancel(self.now, request, BuildId(1), None, "a person").expect("it runs");
        }
        self.settle();
    }

    /// So long after the last look, with a worker that renews.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now = self.now.after(Duration::from_secs(1));
            self.it.renew(self.now, "w", &[self.token]);
            self.it.handle_timeout(self.now);
        }
        self.settle();
        self.it.check();
    }

    fn state(&self) -> (State, Option<Outcome>) {
        let row = &self.ledger.jobs[&JOB];
        (row.state, row.outcome)
    }

    fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }

    fn settle(&mut self) {
        while let Some(effect) = self.it.poll_effect() {
            match effect {
                Effect::Record(record) => self.ledger.write(record),
                Effect::Offer { session, assignment } => self.offered.push((session, *assignment)),
                Effect::Cancel { reason, now, .. } => {
                    self.told.push(format!("cancel{}: {reason}", if now { " now" } else { "" }))
                }
                Effect::Withdraw { .. } => self.told.push("stale".to_owned()),
                Effect::Plan { .. } | Effect::Revoke { .. } | Effect::EndSession { .. } | Effect::Finished { .. } => {}
            }
        }
    }
}

fn terms() -> Terms {
    Terms { cancel: Duration::from_secs(30), job_timeout: Duration::from_secs(300), ..Terms::default() }
}

fn always() -> StepPlan {
    StepPlan { always: true, ..step("after") }
}

const FENCED: (State, Option<Outcome>) = (State::Finished, Some(Outcome::Cancelled));
const RUNS: (State, Option<Outcome>) = (State::Running, None);

#[test]
fn a_cancelled_attempt_is_fenced_after_the_time_of_its_always_steps() {
    let clearing = || vec![step("run"), always()];
    for (steps, always_ms, seconds) in [
        (clearing(), 60_000, 90),
        // the plan of a master of version 0.1, or a key that is absent
        (clearing(), 0, 60),
        // no longer than any job may take
        (clearing(), 3_600_000, 330),
        (vec![step("run"), step("more")], 60_000, 30),
        (vec![always()], 60_000, 30),
    ] {
        let mut cell = Cell::new(steps, always_ms);
        cell.cancel();
        assert_eq!(cell.told(), ["cancel: a person"]);
        cell.pass(seconds - 1);
        assert_eq!((cell.state(), cell.told()), (RUNS, Vec::new()), "{seconds} s");
        cell.pass(1);
        assert_eq!((cell.state(), cell.told()), (FENCED, vec!["stale".to_owned()]), "{seconds} s");
    }
}

#[test]
fn a_second_cancel_is_told_as_one_and_waits_no_longer() {
    let mut cell = Cell::new(vec![step("run"), always()], 120_000);
    cell.cancel();
    cell.pass(20);
    assert_eq!(cell.told(), ["cancel: a person"]);
    cell.cancel();
    assert_eq!(cell.told(), ["cancel now: a person"]);
    cell.pass(29);
    assert_eq!(cell.state(), RUNS);
    cell.pass(1);
    assert_eq!(cell.state(), FENCED);
}

#[test]
fn a_second_cancel_never_waits_longer_than_the_first() {
    let mut cell = Cell::new(vec![step("run")], 0);
    cell.cancel();
    cell.pass(20);
    cell.cancel();
    cell.pass(10);
    assert_eq!(cell.state(), FENCED);
}

#[test]
fn a_worker_that_comes_back_is_told_how_often() {
    let mut cell = Cell::new(vec![step("run"), always()], 0);
    cell.cancel();
    cell.told();
    let token = cell.token;
    cell.attach(&[token]);
    assert_eq!(cell.told(), ["cancel: a person"]);
    cell.cancel();
    cell.told();
    cell.attach(&[token]);
    assert_eq!(cell.told(), ["cancel now: a person"]);
}

#[test]
fn a_master_that_starts_again_gives_the_time_again() {
    let mut cell = Cell::new(vec![step("run"), always()], 60_000);
    cell.cancel();
    // its worker goes on under the terms of before
    let lower = Terms { job_timeout: Duration::from_secs(5), ..terms() };
    cell.it = Coordinator::load(cell.now, lower, cell.ledger.load(), [4; 32]);
    cell.attach(&[cell.token]);
    cell.pass(89);
    assert_eq!(cell.state(), RUNS);
    cell.pass(1);
    assert_eq!(cell.state(), FENCED);
}
