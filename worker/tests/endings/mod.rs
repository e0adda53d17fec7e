//! Tests of a real worker that ends jobs early: which processes it asks to end, which steps still run, and for how long.

use crate::bench::{Bench, ends, eventually, exit_code, is_alive, test};
use crate::fake::{job, step, token};
use rustix::process::{Pid, Signal, kill_process};
use schema::values::{Assignment, Outcome, RefusalCode, StepPlan};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const LONG_MS: u64 = 100_000;

fn always(name: &str, script: &str) -> StepPlan {
    StepPlan { always: true, ..step(name, script) }
}

/// Returns a job whose `always` steps have this much time.
fn cleaned(steps: Vec<StepPlan>, always_ms: u64) -> Assignment {
    let mut assignment = job(1, steps);
    assignment.job.always_timeout_ms = always_ms;
    assignment
}

impl Bench {
    async fn cancel(&self, now: bool) {
        let mut request = self.master.worker().cancel_request();
        request.get().set_token(&token(1));
        request.get().set_reason("a person said so");
        request.get().set_now(now);
        request.send().promise.await.unwrap();
    }

    async fn begun(&self, step: u16) {
        self.master.until(|heard| heard.logs.contains_key(&step)).await;
    }

    /// Returns how the steps ended, in the order of their numbers.
    fn ends(&self) -> Vec<String> {
        let script = self.master.heard.borrow().script.clone();
        let mut ends: Vec<String> = script.into_iter().filter(|line| line.starts_with("finished")).collect();
        ends.sort();
        ends.dedup();
        ends
    }

    async fn is_cancelled(&self) {
        assert_eq!(self.master.outcome().await, (Outcome::Cancelled, "a person said so".to_owned()));
        self.master.check_seals();
        self.is_tidy().await;
    }
}

#[test]
fn a_cancelled_job_ends_politely_and_clears_up() {
    test(async {
        let bench = Bench::new().await;
        let _worker = bench.worker();
        let polite = "trap 'echo bye; exit 0' TERM; echo begun; while :; do sleep 0.01; done";
        let steps =
            vec![step("say", polite), step("no", "echo no"), always("after", "echo after; exit 3"), step("no", "true")];
        bench.master.offer(cleaned(steps, LONG_MS));
        bench.begun(0).await;
        bench.cancel(false).await;
        bench.is_cancelled().await;
        // A shell may add that its `sleep` was terminated.
        assert!(bench.master.log(0).starts_with("begun\n") && bench.master.log(0).ends_with("bye\n"));
        assert_eq!(bench.master.log(2), "after\n");
        let expected = [
            "finished 0 cancelled: exit code 0",
            "finished 1 skipped: did not run",
            "finished 2 failed: exit code 3",
            "finished 3 skipped: did not run",
        ];
        assert_eq!(bench.ends(), expected);
    });
}

#[test]
fn what_the_step_started_clears_up_first() {
    test(async {
        let bench = Bench::new().await;
        let _worker = bench.worker();
        let mark = bench.file("mark");
        let child =
            format!("trap 'sleep 0.5; echo cleared >{mark}; exit 0' TERM; echo begun; while :; do sleep 0.01; done");
        let steps =
            vec![step("say", &format!("/bin/sh -c \"{child}\"; echo after")), always("look", &format!("cat {mark}"))];
        bench.master.offer(cleaned(steps, LONG_MS));
        bench.begun(0).await;
        bench.cancel(false).await;
        bench.is_cancelled().await;
        assert_eq!(bench.master.log(1), "cleared\n");
    });
}

#[test]
fn a_second_cancel_ends_what_clears_up_and_nothing_more_begins() {
    test(async {
        let bench = Bench::new().await;
        let _worker = bench.worker();
        let steps = vec![
            step("say", "echo begun; sleep 1000"),
            always("long", "echo long; sleep 1000"),
            always("no", "echo no"),
        ];
        bench.master.offer(cleaned(steps, LONG_MS));
        bench.begun(0).await;
        bench.cancel(false).await;
        bench.begun(1).await;
        // a master repeats the order to a worker that comes back, and that does not count as a second cancel
        bench.cancel(false).await;
        sleep(Duration::from_millis(300)).await;
        assert!(bench.ends().iter().all(|end| !end.starts_with("finished 1")), "{:?}", bench.ends());
        bench.cancel(true).await;
        bench.is_cancelled().await;
        assert_eq!(bench.ends()[1..], ["finished 1 cancelled: killed by signal 15", "finished 2 skipped: did not run"]);
    });
}

#[test]
fn a_cancel_for_good_at_once_runs_nothing() {
    test(async {
        let bench = Bench::new().await;
        let _worker = bench.worker();
        bench.master.offer(cleaned(vec![step("say", "echo begun; sleep 1000"), always("no", "echo no")], LONG_MS));
        bench.begun(0).await;
        bench.cancel(true).await;
        bench.is_cancelled().await;
        assert_eq!(bench.ends()[1], "finished 1 skipped: did not run");
    });
}

#[test]
fn what_clears_up_has_a_time_of_its_own_together() {
    test(async {
        let bench = Bench::new().await;
        let _worker = bench.worker();
        let steps = vec![
            step("say", "echo begun; sleep 1000"),
            always("quick", "echo quick"),
            always("long", "echo long; sleep 1000"),
            always("no", "echo no"),
        ];
        bench.master.offer(cleaned(steps, 1_500));
        bench.begun(0).await;
        bench.cancel(false).await;
        let began = Instant::now();
        bench.is_cancelled().await;
        assert!(began.elapsed() > Duration::from_millis(1_400), "{:?}", began.elapsed());
        let expected = [
            "finished 1 succeeded: exit code 0",
            "finished 2 failed: killed: its timeout passed",
            "finished 3 skipped: did not run",
        ];
        assert_eq!(bench.ends()[1..], expected);
    });
}

#[test]
fn a_step_that_clears_up_already_goes_on_after_a_cancel_for_its_own_time() {
    test(async {
        for (time_ms, end) in [(LONG_MS, "succeeded: exit code 0"), (1_000, "cancelled: killed by signal 15")] {
            let bench = Bench::new().await;
            let _worker = bench.worker();
            let go = bench.file("go");
            let wait = format!("echo begun; while [ ! -e {go} ]; do sleep 0.01; done");
            bench.master.offer(cleaned(vec![step("fails", "exit 1"), always("after", &wait)], time_ms));
            bench.begun(1).await;
            bench.cancel(false).await;
            sleep(Duration::from_millis(200)).await;
            if time_ms == LONG_MS {
                std::fs::write(&go, "").unwrap();
            }
            bench.is_cancelled().await;
            assert_eq!(bench.ends()[1], format!("finished 1 {end}"));
        }
    });
}

#[test]
fn a_first_step_that_always_runs_is_cancelled_like_any_other() {
    test(async {
        let bench = Bench::new().await;
        let _worker = bench.worker();
        bench.master.offer(cleaned(vec![always("only", "echo begun; sleep 1000")], LONG_MS));
        bench.begun(0).await;
        bench.cancel(false).await;
        bench.is_cancelled().await;
    });
}

#[test]
fn after_the_jobs_time_it_clears_up_too() {
    test(async {
        let bench = Bench::new().await;
        let _worker = bench.worker();
        let mut assignment = cleaned(
            vec![step("say", "echo begun; sleep 1000"), step("no", "true"), always("after", "sleep 0.5; echo after")],
            LONG_MS,
        );
        assignment.job.timeout_ms = 1_000;
        bench.master.offer(assignment);
        let (outcome, reason) = bench.master.outcome().await;
        assert_eq!((outcome, reason.as_str()), (Outcome::Failed, "step 1 `say`: killed: its timeout passed"));
        assert_eq!(bench.master.log(2), "after\n");
        bench.master.check_seals();
        bench.is_tidy().await;
    });
}

#[test]
fn a_worker_that_is_killed_meanwhile_goes_on_with_the_clearing_up() {
    test(async {
        let bench = Bench::new().await;
        let mut worker = bench.worker();
        let (go, pid) = (bench.file("go"), bench.file("pid"));
        let wait = format!("echo $$ >{pid}; echo long; while [ ! -e {go} ]; do sleep 0.01; done; echo end");
        let steps = vec![step("say", "echo begun; sleep 1000"), always("long", &wait), always("last", "echo last")];
        bench.master.offer(cleaned(steps, LONG_MS));
        bench.begun(0).await;
        bench.cancel(false).await;
        let pid = bench.pid_in("pid").await;
        worker.kill().await.unwrap();
        let _next = bench.worker();
        bench.master.until(|heard| heard.attached == 2).await;
        assert!(is_alive(pid));
        // a master repeats the order to a worker that comes back
        bench.cancel(false).await;
        std::fs::write(&go, "").unwrap();
        bench.is_cancelled().await;
        assert_eq!((bench.master.log(1).as_str(), bench.master.log(2).as_str()), ("long\nend\n", "last\n"));
    });
}

#[test]
fn a_step_that_was_being_cancelled_is_ended_by_the_next_worker_and_told_of() {
    test(async {
        let bench = Bench::new().await;
        let mut worker = bench.worker();
        let pid = bench.file("pid");
        let slow =
            format!("trap 'echo bye; sleep 1; exit 0' TERM; echo $$ >{pid}; echo begun; while :; do sleep 0.01; done");
        bench.master.offer(cleaned(vec![step("say", &slow), always("after", "echo after")], LONG_MS));
        bench.begun(0).await;
        bench.cancel(false).await;
        bench.master.until(|heard| heard.logs[&0].ends_with(b"bye\n")).await;
        worker.kill().await.unwrap();
        let _next = bench.worker();
        bench.is_cancelled().await;
        assert!(bench.master.log(0).ends_with("bye\n") && bench.master.log(1) == "after\n");
        let pid = bench.pid_in("pid").await;
        assert!(!is_alive(pid));
    });
}

#[test]
fn nothing_clears_up_after_a_lost_lease() {
    test(async {
        let bench = Bench::new().await;
        let _worker = bench.worker();
        let mark = bench.path("mark");
        let after = always("after", &format!("touch {}", mark.display()));
        let pid = bench.file("pid");
        bench.master.offer(cleaned(vec![step("say", &format!("echo $$ >{pid}; sleep 1000; true")), after], LONG_MS));
        let pid = bench.pid_in("pid").await;
        bench.master.stale.borrow_mut().push(token(1));
        bench.master.cut();
        eventually(|| !is_alive(pid)).await;
        bench.is_tidy().await;
        assert!(!mark.exists());
    });
}

/// `Meanwhile` changes the state directory of a worker while it is killed.
type Meanwhile = fn(&Bench);

fn nothing(_: &Bench) {}

/// Removes the note of the worker's home. It is missing if the last worker was one of 0.1.0, or if its disk was full.
fn home_is_not_noted(bench: &Bench) {
    std::fs::remove_file(bench.path("home.json")).unwrap();
}

fn attempt_cannot_be_read(bench: &Bench) {
    for attempt in std::fs::read_dir(bench.path("attempts")).unwrap() {
        std::fs::write(attempt.unwrap().path().join("assignment.json"), "{").unwrap();
    }
}

/// Runs a step with a process in the background, and kills the worker and the supervisor. Returns the process, which runs on.
async fn left_behind(bench: &Bench, term_ms: u64) -> Pid {
    let mut worker = bench.worker();
    let (parent, pid) = (bench.file("parent"), bench.file("pid"));
    let script = format!("setsid sleep 1000 & echo $! >{pid}; echo $PPID >{parent}; sleep 1000; true");
    bench.master.offer(Assignment { term_ms, ..job(1, vec![step("say", &script)]) });
    let (parent, pid) = (bench.pid_in("parent").await, bench.pid_in("pid").await);
    bench.master.until(|heard| heard.script.iter().any(|line| line == "started 0")).await;
    worker.kill().await.unwrap();
    kill_process(parent, Signal::KILL).unwrap();
    assert!(is_alive(pid));
    pid
}

fn unreachable(bench: &Bench) {
    bench.master.is_listening.set(false);
    bench.master.cut();
}

#[test]
fn what_a_killed_supervisor_left_is_ended_without_a_master() {
    let all: [Meanwhile; 2] = [nothing, attempt_cannot_be_read];
    for meanwhile in all {
        test(async {
            let bench = Bench::new().await;
            let pid = left_behind(&bench, LONG_MS).await;
            unreachable(&bench);
            meanwhile(&bench);
            let _next = bench.worker();
            ends("what its supervisor left", pid).await;
        });
    }
}

#[test]
fn what_may_be_another_workers_is_ended_with_its_lease() {
    test(async {
        let bench = Bench::new().await;
        let pid = left_behind(&bench, 4_000).await;
        unreachable(&bench);
        home_is_not_noted(&bench);
        let _next = bench.worker();
        ends("what its supervisor left", pid).await;
    });
}

#[test]
fn what_may_be_another_workers_is_left_alone_until_somebody_says_so() {
    test(async {
        let bench = Bench::new().await;
        let pid = left_behind(&bench, LONG_MS).await;
        unreachable(&bench);
        home_is_not_noted(&bench);
        let mut next = bench.worker();
        sleep(Duration::from_millis(700)).await;
        assert!(is_alive(pid), "nobody was asked");
        let began = Instant::now();
        let own = Pid::from_raw(next.id().unwrap() as i32).unwrap();
        kill_process(own, Signal::TERM).unwrap();
        sleep(Duration::from_millis(20)).await;
        kill_process(own, Signal::TERM).unwrap();
        assert_eq!(exit_code(&mut next).await, Some(0));
        assert!(!is_alive(pid) && began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    });
}

#[test]
fn a_worker_that_is_revoked_before_it_is_let_in_leaves_nothing() {
    let all: [Meanwhile; 3] = [nothing, home_is_not_noted, attempt_cannot_be_read];
    for meanwhile in all {
        test(async {
            let bench = Bench::new().await;
            let pid = left_behind(&bench, LONG_MS).await;
            meanwhile(&bench);
            bench.master.refuse_restore.set(Some(RefusalCode::Revoked));
            assert_eq!(exit_code(&mut bench.worker()).await, Some(5));
            assert!(!is_alive(pid));
            bench.is_tidy().await;
        });
    }
}
