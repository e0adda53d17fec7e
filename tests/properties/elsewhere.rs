//! A job whose attempt failed because of its worker goes to another worker, or waits for some time.

use crate::world::World;
use master::decide::coordinator::record::{BuildId, JobKey, LeaseToken};
use master::decide::coordinator::{SessionId, Terms};
use master::explain::Explainer;
use schema::values::{JobPlan, Outcome, Resources, State, What};
use support::hall::step;

const JOB: JobKey = JobKey { build: BuildId(1), index: 0 };

/// `Shop` has workers of one slot each, all of which are connected.
struct Shop {
    world: World,
    sessions: Vec<SessionId>,
}

impl Shop {
    fn new(workers: usize) -> Shop {
        let mut world = World::new(Terms::default());
        world.room = Resources { slots: 1, cpus_milli: 0, memory: 0 };
        let mut shop = Shop { world, sessions: Vec::new() };
        (0..workers).for_each(|_| shop.join());
        shop
    }

    fn join(&mut self) {
        let worker = self.world.enroll(&format!("w{}", self.sessions.len()), What::default());
        self.sessions.push(self.world.attach(worker, Vec::new()));
    }

    fn ready(&mut self, number: usize) {
        self.world.ask(self.sessions[number]);
    }

    fn submit(&mut self) {
        let steps = vec![step("run")];
        self.world.submit(JobPlan { name: "run".to_owned(), steps, retry_infra: 3, ..JobPlan::default() });
    }

    fn is_offered(&self) -> bool {
        !self.world.offers.is_empty()
    }

    /// Accepts the last offer, and returns the number of its worker and the lease.
    fn accept(&mut self) -> (usize, LeaseToken) {
        let (session, token) = self.world.offered().pop().expect("an offer");
        self.world.accept(token);
        (self.sessions.iter().position(|id| *id == session).expect("of ours"), token)
    }

    fn complete(&mut self, token: LeaseToken, outcome: Outcome, reason: &str) {
        self.world.it.complete(self.world.now, token, outcome, reason).expect("it runs");
        self.world.settle();
    }

    /// Accepts the last offer and lets the attempt fail because of its worker. Returns the number of that worker.
    fn err(&mut self) -> usize {
        let (worker, token) = self.accept();
        self.complete(token, Outcome::Errored, "cannot open a workspace");
        self.ready(worker);
        worker
    }

    fn pass(&mut self, ms: u64) {
        self.world.pass(ms);
    }
}

#[test]
fn the_next_attempt_is_elsewhere() {
    let mut shop = Shop::new(2);
    shop.ready(0);
    shop.ready(1);
    shop.submit();
    assert_eq!(shop.err(), 0);
    assert_eq!(shop.accept().0, 1, "at once, since it has room");
}

#[test]
fn another_worker_that_is_busy_is_waited_for_and_not_for_ever() {
    let mut shop = Shop::new(2);
    shop.ready(0);
    shop.submit();
    assert_eq!(shop.err(), 0);
    shop.pass(59_000);
    assert!(!shop.is_offered());
    let told = Explainer::new(&shop.world.it, shop.world.now).explain(BuildId(1), "run").expect("it waits");
    assert!(told.hints.iter().any(|hint| hint.contains("w0 failed to run it")), "{:?}", told.hints);
    // meanwhile the worker takes other jobs, including those that came later
    shop.submit();
    let (worker, token) = shop.accept();
    assert_eq!((worker, shop.world.it.lease_job(token)), (0, Some((JobKey { build: BuildId(2), index: 0 }, 1))));
    shop.complete(token, Outcome::Succeeded, "");
    shop.ready(0);
    assert!(!shop.is_offered());
    shop.pass(1_000);
    assert_eq!(shop.accept().0, 0, "nobody else had room for a minute");
}

#[test]
fn another_worker_takes_it_as_soon_as_it_asks() {
    let mut shop = Shop::new(2);
    shop.ready(0);
    shop.submit();
    shop.err();
    shop.ready(1);
    assert_eq!(shop.err(), 1);
    // both workers have failed, and neither has rested long enough yet
    shop.pass(500);
    assert!(!shop.is_offered());
    shop.join();
    shop.ready(2);
    assert_eq!(shop.accept().0, 2, "one that comes later is as good as any");
}

#[test]
fn the_only_worker_gets_it_again_after_longer_and_longer_pauses() {
    let mut shop = Shop::new(1);
    shop.ready(0);
    shop.submit();
    for pause in [1_000, 2_000, 4_000] {
        assert_eq!(shop.err(), 0);
        shop.pass(pause - 1);
        assert!(!shop.is_offered(), "{pause}");
        shop.pass(1);
    }
    let (_, token) = shop.accept();
    shop.complete(token, Outcome::Errored, "cannot open a workspace");
    let row = &shop.world.ledger.jobs[&JOB];
    assert_eq!((row.state, row.outcome), (State::Finished, Some(Outcome::Errored)));
    // no timer of the job is left
    shop.pass(100_000);
    assert_eq!(shop.world.it.poll_timeout(), None);
}

#[test]
fn one_that_is_drained_or_gone_is_not_waited_for() {
    for is_gone in [false, true] {
        let mut shop = Shop::new(2);
        shop.ready(0);
        match is_gone {
            true => shop.world.lose(shop.sessions[1]),
            false => shop.world.it.drain_session(shop.sessions[1]),
        }
        shop.submit();
        assert_eq!(shop.err(), 0);
        shop.pass(1_000);
        assert_eq!(shop.accept().0, 0);
    }
}
