//! A job whose attempt failed for reasons of its worker goes to another worker, or waits a moment.

use master::decide::coordinator::record::{BuildId, GrantId, JobKey, LeaseToken, Loaded, RequestId};
use master::decide::coordinator::{Arrival, Coordinator, Effect, GrantOrder, Planned, ROOT, Request, SessionId, Terms};
use master::explain::Explainer;
use schema::sturdy_ref::Fingerprint;
use schema::values::{
    Assignment, Change, Description, GrantKind, JobPlan, Outcome, Plan, Resources, State, Time, Trust, What,
};
use std::time::Duration;
use support::hall::step;
use support::ledger::Ledger;

const ROOM: Resources = Resources { slots: 1, cpus_milli: 0, memory: 0 };
const JOB: JobKey = JobKey { build: BuildId(1), index: 0 };

struct Shop {
    it: Coordinator,
    now: Time,
    ledger: Ledger,
    sessions: Vec<SessionId>,
    offered: Vec<(SessionId, Assignment)>,
}

impl Shop {
    fn new(workers: u8) -> Shop {
        let now = Time(1_000_000);
        let it = Coordinator::load(now, Terms::default(), Loaded::default(), [5; 32]);
        let mut shop = Shop { it, now, ledger: Ledger::default(), sessions: Vec::new(), offered: Vec::new() };
        shop.it.found(now);
        (0..workers).for_each(|number| shop.join(number));
        shop
    }

    fn join(&mut self, number: u8) {
        let join = [number + 1; 32];
        let order = GrantOrder {
            kind: GrantKind::Worker,
            name: format!("w{number}"),
            what: What::default(),
            lifetime: None,
            join_hash: join,
        };
        let request = Request { id: RequestId([number; 16]), by: ROOT, body: join };
        let grant: GrantId = self.it.issue(self.now, request, order).expect("the root may issue");
        self.it.redeem(self.now, join, join, Fingerprint(join)).expect("a fresh join");
        let description = Description { total: ROOM, ..Description::default() };
        let arrival = Arrival { instance: [number; 16], description, keeps_terms: true, ..Arrival::default() };
        self.sessions.push(self.it.attach(self.now, grant, arrival).expect("its grant is in force").session);
        self.settle();
    }

    fn ready(&mut self, number: usize) {
        self.it.worker_ready(self.now, self.sessions[number], ROOM);
        self.settle();
    }

    fn submit(&mut self, ref_name: &str) {
        let (project, revision) = ("p".to_owned(), "1".repeat(40));
        let change = Change { project, ref_name: ref_name.to_owned(), revision, ..Change::default() };
        let build = self.it.submit_change(self.now, ROOT, change).expect("another ref");
        let job = JobPlan { name: "run".to_owned(), steps: vec![step("run")], retry_infra: 3, ..JobPlan::default() };
        let plan = Plan { version: 1, jobs: vec![job], trust: Trust::Trusted };
        self.it.plan_ready(self.now, build, Planned::Plan(plan));
        self.settle();
    }

    /// The worker that the last offer went to accepts it.
    fn accept(&mut self) -> (usize, LeaseToken) {
        let (session, assignment) = self.offered.pop().expect("an offer");
        let token = LeaseToken(assignment.token);
        self.it.accept(self.now, token).expect("it was offered");
        self.settle();
        (self.sessions.iter().position(|id| *id == session).expect("of ours"), token)
    }

    /// The attempt that was offered last fails for reasons of its worker; answers which that is.
    fn err(&mut self) -> usize {
        let (worker, token) = self.accept();
        self.it.complete(self.now, token, Outcome::Errored, "cannot open a workspace").expect("it runs");
        self.settle();
        self.ready(worker);
        worker
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now.after(Duration::from_millis(ms));
        self.it.handle_timeout(self.now);
        self.settle();
        self.it.check();
    }

    fn settle(&mut self) {
        while let Some(effect) = self.it.poll_effect() {
            match effect {
                Effect::Record(record) => self.ledger.write(record),
                Effect::Offer { session, assignment } => self.offered.push((session, *assignment)),
                Effect::Plan { .. }
                | Effect::Cancel { .. }
                | Effect::Withdraw { .. }
                | Effect::Revoke { .. }
                | Effect::EndSession { .. }
                | Effect::Finished { .. } => {}
            }
        }
    }
}

#[test]
fn the_next_attempt_is_elsewhere() {
    let mut shop = Shop::new(2);
    shop.ready(0);
    shop.ready(1);
    shop.submit("refs/heads/a");
    assert_eq!(shop.err(), 0);
    assert_eq!(shop.accept().0, 1, "at once, since it has room");
}

#[test]
fn another_worker_that_is_busy_is_waited_for_and_not_for_ever() {
    let mut shop = Shop::new(2);
    shop.ready(0);
    shop.submit("refs/heads/a");
    assert_eq!(shop.err(), 0);
    shop.pass(59_000);
    assert!(shop.offered.is_empty());
    let told = Explainer::new(&shop.it, shop.now).explain(BuildId(1), "run").expect("it waits");
    assert!(told.hints.iter().any(|hint| hint.contains("w0 failed to run it")), "{:?}", told.hints);
    // it takes other jobs meanwhile, also those that came later
    shop.submit("refs/heads/b");
    let (worker, token) = shop.accept();
    assert_eq!((worker, shop.it.lease_job(token)), (0, Some((JobKey { build: BuildId(2), index: 0 }, 1))));
    shop.it.complete(shop.now, token, Outcome::Succeeded, "").expect("it runs");
    shop.ready(0);
    assert!(shop.offered.is_empty());
    shop.pass(1_000);
    assert_eq!(shop.accept().0, 0, "nobody else had room for a minute");
}

#[test]
fn another_worker_takes_it_as_soon_as_it_asks() {
    let mut shop = Shop::new(2);
    shop.ready(0);
    shop.submit("refs/heads/a");
    shop.err();
    shop.ready(1);
    assert_eq!(shop.err(), 1);
    // both failed: whoever has rested
    shop.pass(500);
    assert!(shop.offered.is_empty());
    shop.join(2);
    shop.ready(2);
    assert_eq!(shop.accept().0, 2, "one that comes later is as good as any");
}

#[test]
fn the_only_worker_gets_it_again_after_longer_and_longer_pauses() {
    let mut shop = Shop::new(1);
    shop.ready(0);
    shop.submit("refs/heads/a");
    for pause in [1_000, 2_000, 4_000] {
        assert_eq!(shop.err(), 0);
        shop.pass(pause - 1);
        assert!(shop.offered.is_empty(), "{pause}");
        shop.pass(1);
    }
    let (_, token) = shop.accept();
    shop.it.complete(shop.now, token, Outcome::Errored, "cannot open a workspace").expect("it runs");
    shop.settle();
    let row = &shop.ledger.jobs[&JOB];
    assert_eq!((row.state, row.outcome), (State::Finished, Some(Outcome::Errored)));
    // nothing of it is left
    shop.pass(100_000);
    assert_eq!(shop.it.poll_timeout(), None);
}

#[test]
fn one_that_is_drained_or_gone_is_not_waited_for() {
    for is_gone in [false, true] {
        let mut shop = Shop::new(2);
        shop.ready(0);
        match is_gone {
            true => shop.it.session_lost(shop.now, shop.sessions[1], "the link is gone"),
            false => shop.it.drain_session(shop.sessions[1]),
        }
        shop.submit("refs/heads/a");
        assert_eq!(shop.err(), 0);
        shop.pass(1_000);
        assert_eq!(shop.accept().0, 0);
    }
}
