//! Offers that come to nothing: who comes last and for how long, by a clock that the test sets. Each case is a small script of a
//! few workers.

use crate::stage::{Stage, one};
use master::decide::coordinator::record::{JobKey, RequestId};
use master::decide::coordinator::{ROOT, Request, Terms};
use master::explain::Explainer;
use schema::values::{Command, Exit, JobPlan, Outcome, StepEnd, Time};
use std::time::Duration;
use support::hall::step;

const OFFER_MS: u64 = 10_000;

#[test]
fn a_silent_worker_delays_one_job_and_no_other() {
    let mut stage = Stage::new(2);
    let (silent, honest) = (stage.attach(0, vec![]), stage.attach(1, vec![]));
    let jobs: Vec<JobKey> = (0..6).map(|_| stage.submit(one())).collect();
    stage.ask(silent);
    assert_eq!(stage.offered().len(), 1);
    stage.pass(OFFER_MS);
    stage.ask(silent);
    assert_eq!(stage.offered(), [], "it rests");
    for _ in &jobs {
        stage.ask(honest);
        let offered = stage.offered();
        assert_eq!(offered.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [honest]);
        stage.accept(offered[0].1);
    }
    // and after its rest it is asked again, with one job until it accepts
    let more = [stage.submit(one()), stage.submit(one()), stage.submit(one())];
    stage.ask(silent);
    stage.pass(59_999);
    assert_eq!(stage.offered(), []);
    stage.pass(1);
    let first = stage.offered();
    assert_eq!(first.len(), 1);
    stage.ask(silent);
    assert_eq!(stage.offered(), []);
    let told = Explainer::new(&stage.it, stage.now).explain(more[1].build, "j").expect("it waits");
    assert!(told.workers.iter().any(|worker| worker.text.ends_with("it gets one offer at a time until it accepts")));
    stage.accept(first[0].1);
    assert_eq!(stage.offered().len(), 1, "its other question is answered now");
}

#[test]
fn a_worker_that_is_alone_is_asked_again_soon_and_then_later() {
    let mut stage = Stage::new(1);
    let session = stage.attach(0, vec![]);
    let job = stage.submit(one());
    stage.ask(session);
    for pause in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 64_000] {
        assert_eq!(stage.offered().len(), 1);
        stage.pass(OFFER_MS);
        let told = Explainer::new(&stage.it, stage.now).explain(job.build, "j").expect("it waits");
        let seconds = pause / 1_000;
        let text = format!("worker w1 did not accept the last offer; it is asked again in {seconds} s");
        assert_eq!((told.why.kind(), told.why.text()), ("resting", text));
        stage.ask(session);
        stage.pass(pause - 1);
        assert_eq!(stage.offered().len(), 0);
        stage.pass(1);
    }
    let offered = stage.offered();
    stage.accept(offered[0].1);
    // what it did not accept is forgotten
    stage.submit(one());
    stage.ask(session);
    assert_eq!(stage.offered().len(), 1);
    stage.pass(OFFER_MS);
    assert_eq!(stage.asked_after(session), 1_000);
}

#[test]
fn a_silent_worker_gets_one_offer_at_a_time_until_it_accepts_whatever_it_gives_back() {
    let mut stage = Stage::new(1);
    let session = stage.attach(0, vec![]);
    for _ in 0..9 {
        stage.submit(one());
    }
    stage.ask(session);
    assert_eq!(stage.offered().len(), 1);
    stage.pass(OFFER_MS);
    stage.ask(session);
    stage.pass(1_000);
    let again = stage.offered();
    assert_eq!(again.len(), 1, "its rest is over");
    stage.it.give_back(stage.now, again[0].1);
    stage.settle();
    (0..5).for_each(|_| stage.ask(session));
    let offered = stage.offered();
    assert_eq!(offered.len(), 1, "it is doubted still");
    stage.accept(offered[0].1);
    (0..5).for_each(|_| stage.ask(session));
    assert_eq!(stage.offered().len(), 6, "the question that waited, and five more");
}

#[test]
fn a_connection_that_breaks_on_an_offer_counts_whatever_breaks_first() {
    for is_lease_first in [false, true] {
        let mut stage = Stage::new(2);
        let (breaks, honest) = (stage.attach(0, vec![]), stage.attach(1, vec![]));
        stage.submit(one());
        stage.ask(breaks);
        let offered = stage.offered();
        if is_lease_first {
            stage.it.give_back(stage.now, offered[0].1);
        }
        stage.it.session_lost(stage.now, breaks, "cut");
        stage.settle();
        let again = stage.attach(0, vec![]);
        stage.ask(again);
        assert_eq!(stage.offered(), [], "lease first: {is_lease_first}");
        stage.ask(honest);
        assert_eq!(stage.offered().len(), 1, "another takes it");
    }
}

/// Whatever of it is dropped first, and how far apart.
#[test]
fn offers_that_break_together_count_once() {
    for (given_back, apart) in [(0, 0), (1, 0), (2, 100), (4, 0), (4, 100), (4, 249)] {
        let mut stage = Stage::new(1);
        let session = stage.attach(0, vec![]);
        for _ in 0..4 {
            stage.submit(one());
            stage.ask(session);
        }
        let offered = stage.offered();
        assert_eq!(offered.len(), 4);
        stage.pass(50);
        for (_, token) in &offered[..given_back] {
            stage.it.give_back(stage.now, *token);
            stage.settle();
            stage.pass(apart);
        }
        stage.it.session_lost(stage.now, session, "cut");
        stage.settle();
        let session = stage.attach(0, vec![]);
        assert_eq!(stage.asked_after(session), 1_000, "{given_back} were given back, {apart} ms apart");
    }
}

/// To be quick is no way out: each of its offers was made after it gave back the one before.
#[test]
fn who_gives_back_at_once_and_asks_again_rests_soon() {
    let mut stage = Stage::new(1);
    let session = stage.attach(0, vec![]);
    stage.submit(one());
    let mut offers = 0;
    for _ in 0..100 {
        stage.ask(session);
        for (_, token) in stage.offered() {
            offers += 1;
            stage.pass(1);
            stage.it.give_back(stage.now, token);
            stage.settle();
            stage.pass(1);
        }
    }
    assert_eq!(offers, 4, "three are free");
}

#[test]
fn a_session_that_is_replaced_on_an_offer_broke_too() {
    let mut stage = Stage::new(2);
    let (breaks, _) = (stage.attach(0, vec![]), stage.attach(1, vec![]));
    stage.submit(one());
    stage.ask(breaks);
    assert_eq!(stage.offered().len(), 1);
    let again = stage.attach(0, vec![]);
    stage.ask(again);
    assert_eq!(stage.offered(), []);
}

#[test]
fn who_gives_back_now_and_then_is_asked_at_once_and_who_always_does_is_not() {
    let mut stage = Stage::new(2);
    let (declines, _) = (stage.attach(0, vec![]), stage.attach(1, vec![]));
    stage.submit(one());
    for _ in 0..4 {
        stage.ask(declines);
        let offered = stage.offered();
        assert_eq!(offered.len(), 1);
        stage.it.give_back(stage.now, offered[0].1);
        stage.pass(5_000);
    }
    stage.ask(declines);
    assert_eq!(stage.offered(), []);
}

/// As the plan of an earlier version may be: it is not offered, what needs it is skipped, and others go on.
#[test]
fn what_no_worker_could_read_is_not_offered() {
    let mut stage = Stage::new(1);
    let session = stage.attach(0, vec![]);
    stage.ask(session);
    let words = |count: usize, length: usize| Command::Exec(vec!["v".repeat(length); count]);
    for (command, is_small) in
        [(words(3, 2 << 20), false), (words(400_000, 0), false), (words(1, 1 << 20), true), (words(2, 100), true)]
    {
        let large = schema::values::StepPlan { command, ..step("s") };
        let job = stage.submit(JobPlan { steps: vec![large], ..one() });
        let offered = stage.offered();
        assert_eq!(offered.len(), usize::from(is_small));
        match offered.first() {
            Some((_, token)) => {
                stage.accept(*token);
                stage.ask(session);
            }
            None => {
                let (outcome, why) = stage.outcome(job).expect("it has ended");
                assert_eq!(outcome, Outcome::Errored);
                assert!(why.contains("a worker is offered at most 2031616: split the job"), "{why}");
            }
        }
    }
    assert_eq!(stage.it.queue_length(), 0);
    stage.restart(Terms::default());
    stage.pass(Duration::from_secs(1).as_millis() as u64);
}

#[test]
fn an_offer_that_is_cancelled_leaves_no_attempt() {
    let mut stage = Stage::new(1);
    let session = stage.attach(0, vec![]);
    let job = stage.submit(one());
    stage.ask(session);
    let token = stage.offered()[0].1;
    let request = Request { id: RequestId([99; 16]), by: ROOT, body: [0; 32] };
    stage.it.cancel(stage.now, request, job.build, None, "not wanted").expect("it is open");
    stage.settle();
    assert_eq!(stage.outcome(job), Some((Outcome::Cancelled, "not wanted".to_owned())));
    assert!(stage.ledger.attempts.is_empty(), "nobody has begun it");
    assert!(stage.it.accept(stage.now, token).is_err());
}

#[test]
fn a_worker_that_gets_one_offer_at_a_time_is_asked_again_when_that_one_is_cancelled() {
    let mut stage = Stage::new(1);
    let session = stage.attach(0, vec![]);
    let first = stage.submit(one());
    stage.ask(session);
    assert_eq!(stage.offered().len(), 1);
    stage.pass(OFFER_MS);
    assert_eq!(stage.asked_after(session), 1_000, "it was silent");
    stage.ask(session);
    stage.submit(one());
    assert_eq!(stage.offered(), [], "it has one offer already");
    let request = Request { id: RequestId([77; 16]), by: ROOT, body: [0; 32] };
    stage.it.cancel(stage.now, request, first.build, None, "test").expect("it is open");
    stage.settle();
    stage.pass(0);
    assert_eq!(stage.offered().len(), 1, "its other question is answered now");
}

#[test]
fn what_is_given_back_does_not_go_before_what_ranks_higher() {
    let mut stage = Stage::new(1);
    let session = stage.attach(0, vec![]);
    stage.submit(one());
    stage.ask(session);
    stage.pass(OFFER_MS);
    stage.ask(session);
    stage.pass(1_000);
    let (_, token) = stage.offered().pop().expect("it is asked again");
    stage.ask(session);
    let urgent = stage.submit(JobPlan { priority: 5, ..one() });
    assert_eq!(stage.offered(), [], "it has one offer already");
    stage.it.give_back(stage.now, token);
    stage.settle();
    let (_, token) = stage.offered().pop().expect("its other question is answered");
    stage.accept(token);
    assert_eq!(stage.it.lease_job(token), Some((urgent, 1)));
}

#[test]
fn a_clock_that_is_set_back_gives_no_step_less_than_no_time() {
    let mut stage = Stage::new(1);
    let session = stage.attach(0, vec![]);
    stage.submit(one());
    stage.ask(session);
    let token = stage.offered()[0].1;
    stage.accept(token);
    stage.it.step_started(stage.now, token, 0, Time(5_000)).unwrap();
    let (outcome, exit) = (Outcome::Succeeded, Exit::Code(0));
    let end = StepEnd { outcome, exit, time: Time(1_000), log_size: u64::MAX, log_hash: Vec::new() };
    stage.it.step_finished(stage.now, token, 0, end).unwrap();
    stage.settle();
    let rows = stage.it.finished_steps(token).unwrap();
    assert_eq!((rows[0].started, rows[0].finished), (Some(Time(5_000)), Some(Time(5_000))));
}
