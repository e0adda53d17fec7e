//! Attempts that outlast the timeout of their job. The master waits for an attempt whose reports or logs still come, and ends
//! one that only renews its lease.

use crate::world::{World, one};
use master::decide::coordinator::record::{JobKey, LeaseToken};
use master::decide::coordinator::{SessionId, Terms};
use schema::values::{Exit, JobPlan, Outcome, State, StepEnd, StepPlan};
use std::time::Duration;
use support::hall::step;

/// The time after which the master ends an attempt with a timeout of 5 s that reports nothing, in seconds after its beginning.
const END: u64 = 125;
/// The time after which the master ends an attempt of one step even if its log grows, in seconds. The log may have 256 MiB, which
/// take 4,096 s at 64 KiB/s.
const CAP: u64 = END + 4_096;

/// `Run` is a job that runs on one worker, as a rule with a timeout of 5 s.
struct Run {
    world: World,
    session: SessionId,
    job: JobKey,
    token: LeaseToken,
}

impl Run {
    fn new(plan: JobPlan) -> Run {
        let mut world = World::of(1);
        let session = world.attach(0, vec![]);
        let job = world.submit(plan);
        world.ask(session);
        let token = world.offered()[0].1;
        world.accept(token);
        Run { world, session, job, token }
    }

    fn of_five_seconds() -> Run {
        Run::new(JobPlan { timeout_ms: 5_000, ..one() })
    }

    /// Lets this many seconds pass. The worker is connected and renews its lease each second.
    fn renew(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.world.pass(1_000);
            self.world.it.renew(self.world.now, "w1", &[self.token]);
            self.world.settle();
        }
    }

    /// Lets this many seconds pass. The worker renews its lease, and bytes of the log arrive, each second.
    fn write(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.world.it.log_grew(self.world.now, self.token);
            self.renew(1);
        }
    }

    fn lose_link(&mut self) {
        self.world.lose(self.session);
    }

    fn come_back(&mut self) {
        self.session = self.world.attach(0, vec![self.token]);
    }

    fn succeed(&mut self) {
        let (outcome, exit, now) = (Outcome::Succeeded, Exit::Code(0), self.world.now);
        let end = StepEnd { outcome, exit, time: now, log_size: 0, log_hash: Vec::new(), tests: None };
        self.world.it.step_started(now, self.token, 0, now).unwrap();
        self.world.it.step_finished(now, self.token, 0, end).unwrap();
        self.world.it.complete(now, self.token, outcome, "").unwrap();
        self.world.settle();
        assert_eq!(self.world.outcome(self.job), Some((Outcome::Succeeded, String::new())));
    }

    fn is_running(&self) -> bool {
        self.world.state(self.job) == State::Running
    }

    fn has_failed(&self) -> bool {
        self.world.outcome(self.job).is_some_and(|(outcome, _)| outcome == Outcome::Failed)
    }
}

#[test]
fn a_job_ends_with_its_time_though_its_worker_renews_for_ever() {
    let mut run = Run::of_five_seconds();
    run.renew(END - 1);
    assert!(run.is_running());
    run.renew(1);
    let why = "the job's time was over: 5 s had passed, and worker w1 did not end it";
    assert_eq!(run.world.outcome(run.job), Some((Outcome::Failed, why.to_owned())));
    assert_eq!(run.world.it.renew(run.world.now, "w1", &[run.token]), [None]);
}

#[test]
fn a_restart_gives_a_job_its_time_again_and_never_less() {
    let mut plan = JobPlan { timeout_ms: 5_000, always_timeout_ms: 7_000, ..one() };
    plan.steps = vec![step("s"), StepPlan { always: true, ..step("after") }];
    let mut run = Run::new(plan);
    run.renew(100);
    run.world.restart(Terms::default());
    run.come_back();
    run.renew(131);
    assert!(run.is_running());
    run.renew(1);
    assert!(run.has_failed());
}

/// After a restart with a lower limit, a running job keeps its own timeout, because its worker still runs it under that.
#[test]
fn a_restart_with_a_lower_limit_leaves_a_job_its_own_time() {
    let lower = || Terms { job_timeout: Duration::from_secs(60), ..Terms::default() };
    // a plan without a timeout has the limit that holds now
    for (timeout_ms, always_timeout_ms, seconds) in [(3_600_000, 600_000, 4_320), (0, 0, 210)] {
        let mut plan = JobPlan { timeout_ms, always_timeout_ms, ..one() };
        plan.steps = vec![step("s"), StepPlan { always: true, ..step("after") }];
        let mut run = Run::new(plan);
        run.renew(100);
        run.world.restart(lower());
        run.come_back();
        run.renew(seconds - 1);
        assert!(run.is_running(), "{seconds} s");
        run.renew(1);
        assert!(run.has_failed(), "{seconds} s");
    }
}

/// A worker that was away may have ended the job in time without being able to report it, so it gets time to do so.
#[test]
fn a_worker_that_was_away_may_still_say_how_it_ended() {
    for does_say in [true, false] {
        let mut run = Run::of_five_seconds();
        run.lose_link();
        run.world.pass(300_000);
        assert!(run.is_running(), "nobody was there to say how it ended");
        run.come_back();
        run.renew(119);
        assert!(run.is_running());
        if does_say {
            run.succeed();
        } else {
            run.renew(1);
            assert!(run.has_failed());
        }
    }
}

#[test]
fn a_worker_that_is_back_just_before_the_moment_has_the_margin_too() {
    let mut run = Run::of_five_seconds();
    run.renew(END - 1);
    run.lose_link();
    run.come_back();
    run.renew(119);
    assert!(run.is_running());
    // the link is lost again, and the job would be ended while the worker is away
    run.lose_link();
    for _ in 0..300 {
        run.world.pass(1_000);
        assert!(run.is_running(), "its lease decides while it is away");
    }
    run.come_back();
    run.renew(100);
    run.succeed();
}

/// While the master's disk is full, timers do not fire and reports are refused. When it has room again, the worker has time to
/// repeat its reports, which takes at most 8 s.
#[test]
fn a_full_disk_of_the_master_ends_no_job() {
    for does_say in [true, false] {
        let mut run = Run::of_five_seconds();
        run.world.pass(300_000);
        assert!(run.is_running(), "the timer was served late");
        run.renew(8);
        if does_say {
            run.succeed();
            continue;
        }
        run.renew(111);
        assert!(run.is_running());
        run.renew(1);
        assert!(run.has_failed());
    }
}

#[test]
fn a_disk_that_has_room_again_just_before_the_moment_ends_no_job() {
    let mut run = Run::of_five_seconds();
    run.renew(END - 1);
    run.world.it.hears_again(run.world.now);
    run.renew(8);
    run.succeed();
}

/// The job ended in time, but its log of 256 MiB arrives at only 1 MiB/s. The master waits for it.
#[test]
fn a_log_on_a_slow_way_is_waited_for() {
    let mut run = Run::of_five_seconds();
    run.renew(5);
    run.write(256);
    run.succeed();
}

#[test]
fn each_report_is_a_sign_and_a_repeated_one_is_none() {
    let mut run = Run::of_five_seconds();
    run.renew(100);
    run.world.it.step_started(run.world.now, run.token, 0, run.world.now).unwrap();
    for _ in 0..119 {
        run.renew(1);
        run.world.it.step_started(run.world.now, run.token, 0, run.world.now).unwrap();
    }
    assert!(run.is_running());
    run.renew(1);
    assert!(run.has_failed());
}

#[test]
fn what_trickles_for_ever_ends_at_the_cap() {
    let mut run = Run::of_five_seconds();
    run.write(CAP - 1);
    assert!(run.is_running());
    run.write(1);
    assert!(run.has_failed());
}

#[test]
fn the_cap_is_six_hours_however_much_the_logs_may_have() {
    let mut run = Run::new(JobPlan { timeout_ms: 5_000, steps: vec![step("s"); 100], ..one() });
    run.write(END + 6 * 3_600 - 1);
    assert!(run.is_running());
    run.write(1);
    assert!(run.has_failed());
}

#[test]
fn who_comes_and_goes_for_ever_is_ended_soon_after_the_cap() {
    let mut run = Run::of_five_seconds();
    let mut seconds = 0;
    while run.is_running() && seconds < 2 * CAP {
        run.renew(100);
        seconds += 100;
        if run.is_running() {
            run.lose_link();
            run.come_back();
        }
    }
    run.renew(1);
    assert!(run.has_failed());
    assert!((CAP..CAP + 400).contains(&seconds), "{seconds} s");
}
