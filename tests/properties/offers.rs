//! Offers that are not accepted: which worker then comes last, and for how long. Each case is a small script of a few workers, with
//! a clock that the test sets.

use crate::world::{World, one};
use master::decide::coordinator::Terms;
use master::decide::coordinator::record::JobKey;
use master::explain::Explainer;
use schema::values::{Command, Exit, JobPlan, Outcome, StepEnd, Time};
use std::time::Duration;
use support::hall::step;

const OFFER_MS: u64 = 10_000;

#[test]
fn a_silent_worker_delays_one_job_and_no_other() {
    let mut world = World::of(2);
    let (silent, honest) = (world.attach(0, vec![]), world.attach(1, vec![]));
    let jobs: Vec<JobKey> = (0..6).map(|_| world.submit(one())).collect();
    world.ask(silent);
    assert_eq!(world.offered().len(), 1);
    world.pass(OFFER_MS);
    world.ask(silent);
    assert_eq!(world.offered(), [], "it rests");
    for _ in &jobs {
        world.ask(honest);
        let offered = world.offered();
        assert_eq!(offered.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [honest]);
        world.accept(offered[0].1);
    }
    // after its rest the worker gets offers again, one at a time until it accepts
    let more = [world.submit(one()), world.submit(one()), world.submit(one())];
    world.ask(silent);
    world.pass(59_999);
    assert_eq!(world.offered(), []);
    world.pass(1);
    let first = world.offered();
    assert_eq!(first.len(), 1);
    world.ask(silent);
    assert_eq!(world.offered(), []);
    let told = Explainer::new(&world.it, world.now).explain(more[1].build, "j").expect("it waits");
    assert!(told.workers.iter().any(|worker| worker.text.ends_with("it gets one offer at a time until it accepts")));
    world.accept(first[0].1);
    assert_eq!(world.offered().len(), 1, "its other question is answered now");
}

#[test]
fn a_worker_that_is_alone_is_asked_again_soon_and_then_later() {
    let mut world = World::of(1);
    let session = world.attach(0, vec![]);
    let job = world.submit(one());
    world.ask(session);
    for pause in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 64_000] {
        assert_eq!(world.offered().len(), 1);
        world.pass(OFFER_MS);
        let told = Explainer::new(&world.it, world.now).explain(job.build, "j").expect("it waits");
        let seconds = pause / 1_000;
        let text = format!("worker w1 did not accept the last offer; it is asked again in {seconds} s");
        assert_eq!((told.why.kind(), told.why.text()), ("resting", text));
        world.ask(session);
        world.pass(pause - 1);
        assert_eq!(world.offered().len(), 0);
        world.pass(1);
    }
    let offered = world.offered();
    world.accept(offered[0].1);
    // once the worker accepts, its earlier failures to accept are forgotten
    world.submit(one());
    world.ask(session);
    assert_eq!(world.offered().len(), 1);
    world.pass(OFFER_MS);
    assert_eq!(world.asked_after(session), 1_000);
}

#[test]
fn a_silent_worker_gets_one_offer_at_a_time_until_it_accepts_whatever_it_gives_back() {
    let mut world = World::of(1);
    let session = world.attach(0, vec![]);
    for _ in 0..9 {
        world.submit(one());
    }
    world.ask(session);
    assert_eq!(world.offered().len(), 1);
    world.pass(OFFER_MS);
    world.ask(session);
    world.pass(1_000);
    let again = world.offered();
    assert_eq!(again.len(), 1, "its rest is over");
    world.it.give_back(world.now, again[0].1);
    world.settle();
    (0..5).for_each(|_| world.ask(session));
    let offered = world.offered();
    assert_eq!(offered.len(), 1, "it is doubted still");
    world.accept(offered[0].1);
    (0..5).for_each(|_| world.ask(session));
    assert_eq!(world.offered().len(), 6, "the question that waited, and five more");
}

#[test]
fn a_connection_that_breaks_on_an_offer_counts_whatever_breaks_first() {
    for is_lease_first in [false, true] {
        let mut world = World::of(2);
        let (breaks, honest) = (world.attach(0, vec![]), world.attach(1, vec![]));
        world.submit(one());
        world.ask(breaks);
        let offered = world.offered();
        if is_lease_first {
            world.it.give_back(world.now, offered[0].1);
        }
        world.lose(breaks);
        let again = world.attach(0, vec![]);
        world.ask(again);
        assert_eq!(world.offered(), [], "lease first: {is_lease_first}");
        world.ask(honest);
        assert_eq!(world.offered().len(), 1, "another takes it");
    }
}

/// Offers that break with one connection count once, however many of them the worker gave back just before.
#[test]
fn offers_that_break_together_count_once() {
    for (given_back, apart) in [(0, 0), (1, 0), (2, 100), (4, 0), (4, 100), (4, 249)] {
        let mut world = World::of(1);
        let session = world.attach(0, vec![]);
        for _ in 0..4 {
            world.submit(one());
            world.ask(session);
        }
        let offered = world.offered();
        assert_eq!(offered.len(), 4);
        world.pass(50);
        for (_, token) in &offered[..given_back] {
            world.it.give_back(world.now, *token);
            world.settle();
            world.pass(apart);
        }
        world.lose(session);
        let session = world.attach(0, vec![]);
        assert_eq!(world.asked_after(session), 1_000, "{given_back} were given back, {apart} ms apart");
    }
}

/// A worker cannot escape its rest by giving offers back at once and asking again.
#[test]
fn who_gives_back_at_once_and_asks_again_rests_soon() {
    let mut world = World::of(1);
    let session = world.attach(0, vec![]);
    world.submit(one());
    let mut offers = 0;
    for _ in 0..100 {
        world.ask(session);
        for (_, token) in world.offered() {
            offers += 1;
            world.pass(1);
            world.it.give_back(world.now, token);
            world.settle();
            world.pass(1);
        }
    }
    assert_eq!(offers, 4, "three are free");
}

#[test]
fn a_session_that_is_replaced_on_an_offer_broke_too() {
    let mut world = World::of(2);
    let (breaks, _) = (world.attach(0, vec![]), world.attach(1, vec![]));
    world.submit(one());
    world.ask(breaks);
    assert_eq!(world.offered().len(), 1);
    let again = world.attach(0, vec![]);
    world.ask(again);
    assert_eq!(world.offered(), []);
}

#[test]
fn who_gives_back_now_and_then_is_asked_at_once_and_who_always_does_is_not() {
    let mut world = World::of(2);
    let (declines, _) = (world.attach(0, vec![]), world.attach(1, vec![]));
    world.submit(one());
    for _ in 0..4 {
        world.ask(declines);
        let offered = world.offered();
        assert_eq!(offered.len(), 1);
        world.it.give_back(world.now, offered[0].1);
        world.pass(5_000);
    }
    world.ask(declines);
    assert_eq!(world.offered(), []);
}

/// A job that no worker could read, as a plan of an earlier version may have, is not offered. The jobs that need it are skipped, and
/// others go on.
#[test]
fn what_no_worker_could_read_is_not_offered() {
    let mut world = World::of(1);
    let session = world.attach(0, vec![]);
    world.ask(session);
    let words = |count: usize, length: usize| Command::Exec(vec!["v".repeat(length); count]);
    for (command, is_small) in
        [(words(3, 2 << 20), false), (words(400_000, 0), false), (words(1, 1 << 20), true), (words(2, 100), true)]
    {
        let large = schema::values::StepPlan { command, ..step("s") };
        let job = world.submit(JobPlan { steps: vec![large], ..one() });
        let offered = world.offered();
        assert_eq!(offered.len(), usize::from(is_small));
        match offered.first() {
            Some((_, token)) => {
                world.accept(*token);
                world.ask(session);
            }
            None => {
                let (outcome, why) = world.outcome(job).expect("it has ended");
                assert_eq!(outcome, Outcome::Errored);
                assert!(why.contains("a worker is offered at most 2031616: split the job"), "{why}");
            }
        }
    }
    assert_eq!(world.it.queue_length(), 0);
    world.restart(Terms::default());
    world.pass(Duration::from_secs(1).as_millis() as u64);
}

#[test]
fn an_offer_that_is_cancelled_leaves_no_attempt() {
    let mut world = World::of(1);
    let session = world.attach(0, vec![]);
    let job = world.submit(one());
    world.ask(session);
    let token = world.offered()[0].1;
    let request = world.request();
    world.it.cancel(world.now, request, job.build, None, "not wanted").expect("it is open");
    world.settle();
    assert_eq!(world.outcome(job), Some((Outcome::Cancelled, "not wanted".to_owned())));
    assert!(world.ledger.attempts.is_empty(), "nobody has begun it");
    assert!(world.it.accept(world.now, token).is_err());
}

#[test]
fn a_worker_that_gets_one_offer_at_a_time_is_asked_again_when_that_one_is_cancelled() {
    let mut world = World::of(1);
    let session = world.attach(0, vec![]);
    let first = world.submit(one());
    world.ask(session);
    assert_eq!(world.offered().len(), 1);
    world.pass(OFFER_MS);
    assert_eq!(world.asked_after(session), 1_000, "it was silent");
    world.ask(session);
    world.submit(one());
    assert_eq!(world.offered(), [], "it has one offer already");
    let request = world.request();
    world.it.cancel(world.now, request, first.build, None, "test").expect("it is open");
    world.settle();
    world.pass(0);
    assert_eq!(world.offered().len(), 1, "its other question is answered now");
}

#[test]
fn what_is_given_back_does_not_go_before_what_ranks_higher() {
    let mut world = World::of(1);
    let session = world.attach(0, vec![]);
    world.submit(one());
    world.ask(session);
    world.pass(OFFER_MS);
    world.ask(session);
    world.pass(1_000);
    let (_, token) = world.offered().pop().expect("it is asked again");
    world.ask(session);
    let urgent = world.submit(JobPlan { priority: 5, ..one() });
    assert_eq!(world.offered(), [], "it has one offer already");
    world.it.give_back(world.now, token);
    world.settle();
    let (_, token) = world.offered().pop().expect("its other question is answered");
    world.accept(token);
    assert_eq!(world.it.lease_job(token), Some((urgent, 1)));
}

#[test]
fn a_clock_that_is_set_back_gives_no_step_less_than_no_time() {
    let mut world = World::of(1);
    let session = world.attach(0, vec![]);
    world.submit(one());
    world.ask(session);
    let token = world.offered()[0].1;
    world.accept(token);
    world.it.step_started(world.now, token, 0, Time(5_000)).unwrap();
    let (outcome, exit) = (Outcome::Succeeded, Exit::Code(0));
    let end = StepEnd { outcome, exit, time: Time(1_000), log_size: u64::MAX, log_hash: Vec::new(), tests: None };
    world.it.step_finished(world.now, token, 0, end).unwrap();
    world.settle();
    let rows = world.it.finished_steps(token).unwrap();
    assert_eq!((rows[0].started, rows[0].finished), (Some(Time(5_000)), Some(Time(5_000))));
}
