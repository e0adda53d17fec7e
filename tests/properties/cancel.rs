//! A job that is cancelled once or twice: which orders its worker gets, and when its attempt is fenced.

use crate::world::World;
use master::decide::coordinator::record::{BuildId, JobKey, LeaseToken};
use master::decide::coordinator::{Effect, Terms};
use schema::values::{JobPlan, Outcome, State, StepPlan, What};
use std::time::Duration;
use support::hall::step;

const JOB: JobKey = JobKey { build: BuildId(1), index: 0 };

/// `Cell` is a scene with one worker, on which one job runs.
struct Cell {
    world: World,
    token: LeaseToken,
}

impl Cell {
    fn new(steps: Vec<StepPlan>, always_timeout_ms: u64) -> Cell {
        let mut world = World::new(terms());
        world.enroll("w", What::default());
        let session = world.attach(0, Vec::new());
        world.ask(session);
        world.submit(JobPlan { name: "run".to_owned(), steps, always_timeout_ms, ..JobPlan::default() });
        let (_, token) = world.offered().pop().expect("there is room");
        world.accept(token);
        Cell { world, token }
    }

    fn come_back(&mut self) {
        self.world.attach(0, vec![self.token]);
    }

    fn cancel(&mut self) {
        let request = self.world.request();
        for _ in 0..2 {
            // a caller that lost the answer repeats its request, and that is not a second cancel
            self.world.it.cancel(self.world.now, request, BuildId(1), None, "a person").expect("it runs");
        }
        self.world.settle();
    }

    /// Lets this many seconds pass, while the worker renews its lease each second.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            let now = self.world.now.after(Duration::from_secs(1));
            self.world.it.renew(now, "w", &[self.token]);
            self.world.pass(1_000);
        }
    }

    fn state(&self) -> (State, Option<Outcome>) {
        let row = &self.world.ledger.jobs[&JOB];
        (row.state, row.outcome)
    }

    /// Returns the orders that the worker got for its attempt since the last call.
    fn told(&mut self) -> Vec<String> {
        let told = std::mem::take(&mut self.world.told).into_iter().filter_map(|effect| match effect {
            Effect::Cancel { reason, now, .. } => Some(format!("cancel{}: {reason}", if now { " now" } else { "" })),
            Effect::Withdraw { .. } => Some("stale".to_owned()),
            Effect::Record(_) | Effect::Plan { .. } | Effect::Offer { .. } => None,
            Effect::Revoke { .. } | Effect::EndSession { .. } | Effect::Finished { .. } | Effect::Tested => None,
        });
        told.collect()
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
        // 0 is what a plan of a master of version 0.1 has, or a plan without the key
        (clearing(), 0, 60),
        // the time is limited to the longest time that any job may take
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
    cell.come_back();
    assert_eq!(cell.told(), ["cancel: a person"]);
    cell.cancel();
    cell.told();
    cell.come_back();
    assert_eq!(cell.told(), ["cancel now: a person"]);
}

#[test]
fn a_master_that_starts_again_gives_the_time_again() {
    let mut cell = Cell::new(vec![step("run"), always()], 60_000);
    cell.cancel();
    // the worker goes on under the terms that held before
    let lower = Terms { job_timeout: Duration::from_secs(5), ..terms() };
    cell.world.restart(lower);
    cell.come_back();
    cell.pass(89);
    assert_eq!(cell.state(), RUNS);
    cell.pass(1);
    assert_eq!(cell.state(), FENCED);
}
