//! Offers that come to nothing, and attempts that outlast their job's time: who comes last and for how long, by a clock that the
//! test sets. Each case is a small script of a few workers.

use master::coordinator::record::{GrantId, JobKey, LeaseToken, RequestId};
use master::coordinator::{Arrival, Coordinator, Effect, GrantOrder, Planned, ROOT, Request, SessionId, Terms};
use schema::sturdy_ref::Fingerprint;
use schema::values::{
    Assignment, Change, Command, Description, Exit, GrantKind, JobPlan, Outcome, Plan, Resources, State, StepEnd, Time,
    Trust, What,
};
use std::time::Duration;
use support::hall::step;
use support::ledger::Ledger;

const ROOM: Resources = Resources { slots: 9, cpus_milli: 9_000, memory: 9 << 30 };
const OFFER_MS: u64 = 10_000;

/// Workers by their number, and a master that is told what happens.
struct Stage {
    it: Coordinator,
    now: Time,
    ledger: Ledger,
    grants: Vec<GrantId>,
    offers: Vec<(SessionId, Assignment)>,
    builds: u64,
}

impl Stage {
    fn new(workers: u8) -> Stage {
        let now = Time(1_000_000);
        let it = Coordinator::load(now, Terms::default(), Ledger::default().load(), [3; 32]);
        let (ledger, grants, offers) = (Ledger::default(), Vec::new(), Vec::new());
        let mut stage = Stage { it, now, ledger, grants, offers, builds: 0 };
        stage.it.found(now);
        for number in 1..=workers {
            let (kind, name) = (GrantKind::Worker, format!("w{number}"));
            let order = GrantOrder { kind, name, what: What::default(), lifetime: None, join_hash: [number; 32] };
            let request = Request { id: RequestId([number; 16]), by: ROOT, body: [0; 32] };
            let grant = stage.it.issue(now, request, order).expect("the root may issue");
            stage.it.redeem(now, [number; 32], [number + 100; 32], Fingerprint([number; 32])).expect("a fresh join");
            stage.grants.push(grant);
        }
        stage.settle();
        stage
    }

    fn settle(&mut self) {
        while let Some(effect) = self.it.poll_effect() {
            match effect {
                Effect::Record(record) => self.ledger.write(record),
                Effect::Offer { session, assignment } => self.offers.push((session, *assignment)),
                Effect::Plan { .. }
                | Effect::Cancel { .. }
                | Effect::Withdraw { .. }
                | Effect::Revoke { .. }
                | Effect::EndSession { .. }
                | Effect::Finished { .. } => {}
            }
        }
        self.it.check();
    }

    fn attach(&mut self, worker: usize, running: Vec<LeaseToken>) -> SessionId {
        let description = Description { total: ROOM, ..Description::default() };
        let arrival = Arrival { instance: [7; 16], running, description, keeps_terms: true, ..Arrival::default() };
        let attached = self.it.attach(self.now, self.grants[worker], arrival).expect("its grant is in force");
        self.settle();
        attached.session
    }

    /// A job that waits, or is offered to whoever asked.
    fn submit(&mut self, job: JobPlan) -> JobKey {
        self.builds += 1;
        let change = Change {
            project: "p".to_owned(),
            ref_name: format!("refs/heads/b{}", self.builds),
            revision: format!("{:040x}", self.builds),
            ..Change::default()
        };
        let build = self.it.submit_change(self.now, ROOT, change).expect("another revision");
        let plan = Plan { version: 1, jobs: vec![job], trust: Trust::Trusted };
        self.it.plan_ready(self.now, build, Planned::Plan(plan));
        self.settle();
        JobKey { build, index: 0 }
    }

    fn ask(&mut self, session: SessionId) {
        self.it.worker_ready(self.now, session, ROOM);
        self.settle();
    }

    /// What was offered since the last look, and to whom.
    fn offered(&mut self) -> Vec<(SessionId, LeaseToken)> {
        let offers = std::mem::take(&mut self.offers);
        offers.into_iter().map(|(session, assignment)| (session, LeaseToken(assignment.token))).collect()
    }

    fn pass(&mut self, ms: u64) {
        self.now = Time(self.now.0 + ms);
        self.it.handle_timeout(self.now);
        self.settle();
    }

    /// How many milliseconds pass until this session, which asks, is offered something; in steps of 100.
    fn asked_after(&mut self, session: SessionId) -> u64 {
        self.ask(session);
        for tenths in 0..2_000 {
            if self.offered().iter().any(|(to, _)| *to == session) {
                return tenths * 100;
            }
            self.pass(100);
        }
        panic!("it is never asked again");
    }

    fn accept(&mut self, token: LeaseToken) {
        self.it.accept(self.now, token).expect("the offer stands");
        self.settle();
    }

    fn outcome(&self, job: JobKey) -> Option<(Outcome, String)> {
        let row = self.ledger.jobs.values().find(|row| row.key == job).expect("it was recorded");
        Some((row.outcome?, row.reason.clone()))
    }

    fn state(&self, job: JobKey) -> State {
        self.ledger.jobs.values().find(|row| row.key == job).expect("it was recorded").state
    }
}

fn one() -> JobPlan {
    JobPlan { name: "j".to_owned(), retry_infra: 2, steps: vec![step("s")], ..JobPlan::default() }
}

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
    let told = stage.it.explain(stage.now, more[1].build, "j").expect("it waits");
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
        let told = stage.it.explain(stage.now, job.build, "j").expect("it waits");
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

#[test]
fn a_job_ends_with_its_time_though_its_worker_renews_for_ever() {
    let mut stage = Stage::new(1);
    let session = stage.attach(0, vec![]);
    let job = stage.submit(JobPlan { timeout_ms: 5_000, ..one() });
    stage.ask(session);
    let token = stage.offered()[0].1;
    stage.accept(token);
    for second in 1..=125 {
        assert_eq!(stage.state(job), State::Running, "after {second} s");
        stage.pass(1_000);
        stage.it.renew(stage.now, "w1", &[token]);
        stage.settle();
    }
    let why = "the job's time was over: 5 s had passed, and worker w1 did not end it";
    assert_eq!(stage.outcome(job), Some((Outcome::Failed, why.to_owned())));
    assert_eq!(stage.it.renew(stage.now, "w1", &[token]), [None]);
}

#[test]
fn a_restart_gives_a_job_its_time_again_and_never_less() {
    let mut stage = Stage::new(1);
    let session = stage.attach(0, vec![]);
    let mut plan = JobPlan { timeout_ms: 5_000, always_timeout_ms: 7_000, ..one() };
    plan.steps = vec![step("s"), schema::values::StepPlan { always: true, ..step("after") }];
    let job = stage.submit(plan);
    stage.ask(session);
    let token = stage.offered()[0].1;
    stage.accept(token);
    stage.pass(100_000);
    stage.it = Coordinator::load(stage.now, Terms::default(), stage.ledger.load(), [4; 32]);
    stage.settle();
    stage.attach(0, vec![token]);
    stage.pass(131_999);
    assert_eq!(stage.state(job), State::Running);
    stage.pass(1);
    assert_eq!(stage.outcome(job).map(|(outcome, _)| outcome), Some(Outcome::Failed));
}

/// Its worker may have ended it in time, and could not say so: it gets a last while when it is back, and only one.
#[test]
fn a_worker_that_was_away_may_still_say_how_it_ended() {
    for does_say in [true, false] {
        let mut stage = Stage::new(1);
        let session = stage.attach(0, vec![]);
        let job = stage.submit(JobPlan { timeout_ms: 5_000, ..one() });
        stage.ask(session);
        let token = stage.offered()[0].1;
        stage.accept(token);
        stage.it.session_lost(stage.now, session, "cut");
        stage.pass(300_000);
        assert_eq!(stage.state(job), State::Running, "nobody was there to say how it ended");
        let session = stage.attach(0, vec![token]);
        if does_say {
            let (outcome, exit) = (Outcome::Succeeded, Exit::Code(0));
            let end = StepEnd { outcome, exit, time: stage.now, log_size: 0, log_hash: Vec::new() };
            stage.it.step_started(stage.now, token, 0, stage.now).unwrap();
            stage.it.step_finished(stage.now, token, 0, end).unwrap();
            stage.it.complete(stage.now, token, outcome, "").unwrap();
            stage.settle();
            assert_eq!(stage.outcome(job), Some((Outcome::Succeeded, String::new())));
            continue;
        }
        // away again just before its end, and back
        stage.pass(110_000);
        stage.it.session_lost(stage.now, session, "cut");
        stage.settle();
        stage.attach(0, vec![token]);
        stage.pass(10_000);
        assert_eq!(stage.outcome(job).map(|(outcome, _)| outcome), Some(Outcome::Failed));
    }
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
    stage.it = Coordinator::load(stage.now, Terms::default(), stage.ledger.load(), [4; 32]);
    stage.settle();
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
