//! The worker as a real process, with a master that the test plays: jobs from the offer to the acknowledged end, over lost links and
//! the death of the worker or of its supervisors.
#![expect(clippy::unwrap_used, reason = "a test")]

mod bench;
mod endings;
mod fake;
mod reports;

use bench::{Bench, ends, eventually, exit_code, is_alive, test};
use fake::{job, step, token};
use rustix::process::{Pid, Signal, kill_process};
use schema::limits::PLAN_LIST;
use schema::values::{Assignment, JobPlan, Outcome, PLAN_VERSION, RefusalCode, Tier};
use std::path::Path;
use std::time::Duration;
use tokio::time::sleep;

#[test]
fn a_job_from_offer_to_end() {
    job_from_offer_to_end(2);
}

#[test]
fn an_older_master_is_told_in_its_words() {
    job_from_offer_to_end(1);
}

fn job_from_offer_to_end(version: u16) {
    test(async {
        let bench = Bench::new().await;
        bench.master.version.set(version);
        let _worker = bench.worker();
        let mut always = step("after", "echo $GUILD_PROJECT/$GUILD_BUILD/$GUILD_JOB; test -d $TMPDIR");
        always.always = true;
        bench.master.offer(job(
            1,
            vec![step("say", "echo hello; echo error >&2"), step("fail", "exit 3"), step("no", "true"), always],
        ));
        let (outcome, reason) = bench.master.outcome().await;
        assert_eq!((outcome, reason.as_str()), (Outcome::Failed, "step 2 `fail`: exit code 3"));
        assert_eq!(bench.master.log(0), "hello\nerror\n");
        assert_eq!(bench.master.log(3), "pyfoo/412/job-1\n");
        bench.master.check_seals();
        let mut script = bench.master.heard.borrow().script.clone();
        assert_eq!((script[0].as_str(), script.last().unwrap().as_str()), ("accept 1", "complete 1 failed"));
        script.retain(|line| line.starts_with("finished"));
        script.sort();
        let expected = [
            "finished 0 succeeded: exit code 0",
            "finished 1 failed: exit code 3",
            "finished 2 skipped: did not run",
            "finished 3 succeeded: exit code 0",
        ];
        assert_eq!(script, expected);
        bench.is_tidy().await;
    });
}

#[test]
fn a_source_that_cannot_be_had_errs() {
    test(async {
        let bench = Bench::new().await;
        let _worker = bench.worker();
        let mut assignment = job(1, vec![step("say", "echo hello")]);
        assignment.job.sources = true;
        assignment
            .stamp
            .sources
            .push(schema::values::SourceRevision { revision: "a".repeat(40), ..Default::default() });
        bench.master.offer(assignment);
        let (outcome, reason) = bench.master.outcome().await;
        assert_eq!(outcome, Outcome::Errored);
        assert!(reason.contains("no such repository"), "{reason}");
        bench.is_tidy().await;
    });
}

#[test]
fn a_job_that_needs_more_than_this_worker_offers_is_declined() {
    test(async {
        let bench = Bench::with("reserve = 0\nslots = 1\nisolation = \"plain\"\n").await;
        let _worker = bench.worker();
        let needing = |number, tier: &str| Assignment {
            isolation: Some(tier.to_owned().into()),
            ..job(number, vec![step("say", "echo hello")])
        };
        bench.master.offer(needing(1, "guard"));
        bench.master.offer(needing(2, "sandbox"));
        bench.master.offer(needing(3, "plain"));
        assert_eq!(bench.master.outcome().await.0, Outcome::Succeeded);
        let script = bench.master.heard.borrow().script.clone();
        let accepted: Vec<&String> = script.iter().filter(|line| line.starts_with("accept")).collect();
        assert_eq!(accepted, ["accept 3"], "{script:?}");
        bench.is_tidy().await;
    });
}

#[test]
fn a_step_does_not_run_below_the_tier_of_its_attempt() {
    test(async {
        let bench = Bench::new().await;
        let mut first = bench.worker();
        let (begun, go) = (bench.file("begun"), bench.file("go"));
        let wait = format!("echo $$ >{begun}; while ! test -e {go}; do sleep 0.01; done");
        let second = step("second", &format!("touch {}", bench.file("ran")));
        let assignment =
            Assignment { isolation: Some(Tier::Guard.into()), ..job(1, vec![step("wait", &wait), second]) };
        bench.master.offer(assignment);
        bench.pid_in("begun").await;
        first.kill().await.unwrap();
        std::fs::write(bench.path("worker.toml"), "reserve = 0\nslots = 1\nisolation = \"plain\"\n").unwrap();
        let _weaker = bench.worker();
        bench.master.until(|heard| heard.attached == 2).await;
        std::fs::write(&go, "").unwrap();
        let (outcome, reason) = bench.master.outcome().await;
        assert_eq!(outcome, Outcome::Errored, "{reason}");
        let why = "cannot be run: its steps need isolation `guard`, which this worker does not offer";
        assert!(reason.ends_with(why), "{reason}");
        assert!(!bench.path("ran").exists());
        bench.is_tidy().await;
    });
}

#[test]
fn a_worker_says_which_tiers_it_offers_and_why_not_the_others() {
    test(async {
        for (file, expected) in [
            ("reserve = 0\n", "isolation\tplain,guard\n"),
            ("isolation = \"plain\"\n", "isolation\tplain\nlacks\tguard: its worker.toml says isolation = \"plain\"\n"),
        ] {
            let bench = Bench::with(file).await;
            let told = bench.command("probe").output().await.unwrap();
            let told = String::from_utf8_lossy(&told.stdout).into_owned();
            assert!(told.contains(expected), "{told}");
        }
    });
}

#[test]
fn a_master_whose_disk_is_full_is_waited_for() {
    test(async {
        let bench = Bench::new().await;
        let _worker = bench.worker();
        // this refuses accept or the source, whichever comes first, and one more call
        bench.master.is_full_for.set(2);
        let mut assignment = job(1, vec![step("say", "echo hello")]);
        assignment.job.sources = true;
        assignment
            .stamp
            .sources
            .push(schema::values::SourceRevision { revision: "a".repeat(40), ..Default::default() });
        bench.master.offer(assignment);
        let (outcome, reason) = bench.master.outcome().await;
        assert_eq!(bench.master.is_full_for.get(), 0);
        assert_eq!(bench.master.heard.borrow().script.first().unwrap(), "accept 1");
        assert_eq!(outcome, Outcome::Errored);
        assert!(reason.contains("no such repository"), "{reason}");
        bench.is_tidy().await;
    });
}

#[test]
fn a_worker_that_is_short_of_room_says_so_and_tidies_up_at_once() {
    test(async {
        let bench = Bench::with("reserve = \"900000TiB\"\nslots = 1\n").await;
        let _worker = bench.worker();
        let is_told = |line: &String| line.starts_with("lacks: ") && line.contains("less than the reserve of");
        bench.master.until(|heard| heard.script.iter().any(is_told)).await;
        // this is the workspace of a job that has just ended
        let left = bench.path("workspaces/lane");
        std::fs::create_dir_all(&left).unwrap();
        std::fs::write(left.join("lock"), "").unwrap();
        std::fs::write(left.join("large"), "x").unwrap();
        eventually(|| !left.exists()).await;
    });
}

/// A worker reports a disk that cannot be written, and takes no job, which could only end in an error (F12 in `tests/cases.tsv`).
#[test]
fn a_worker_whose_disk_cannot_be_written_says_so() {
    test(async {
        // nobody can make a file in this directory, not even root
        let bench = Bench::with("reserve = 0\nslots = 1\nworkspace = \"/proc/self/task\"\n").await;
        let _worker = bench.worker();
        let told =
            |start: &'static str| move |line: &String| line.starts_with(start) && line.contains("cannot be written: ");
        bench.master.until(|heard| heard.script.iter().any(told("trouble: the disk of /proc/"))).await;
        // a worker that asked for a job before it looked at its disks reports it when it asks again
        bench.master.offer(job(1, vec![step("a", "true")]));
        bench.master.until(|heard| heard.script.iter().any(told("lacks: the disk of /proc/"))).await;
    });
}

/// A step with `kill -9 -1` ends its supervisor and its worker. After the second time the job counts as failed, so that it cannot end
/// the worker's other jobs a third time (C50 in `tests/cases.tsv`).
#[test]
fn a_step_that_ends_its_worker_is_not_tried_for_ever() {
    test(async {
        for (attempt, expected, words) in [
            (1, Outcome::Errored, "and the worker with it, as by `kill -9 -1`"),
            (2, Outcome::Failed, "attempt 2 is the last"),
        ] {
            let bench = Bench::new().await;
            let mut first = bench.worker();
            let wait = format!("echo $$ >{}; sleep 1000", bench.file("begun"));
            bench.master.offer(Assignment { attempt, ..job(1, vec![step("wait", &wait)]) });
            let step = bench.pid_in("begun").await;
            let supervisor = parent_of(step);
            first.kill().await.unwrap();
            kill_process(supervisor, Signal::KILL).unwrap();
            ends("the step", step).await;
            let _second = bench.worker();
            let (outcome, reason) = bench.master.outcome().await;
            assert!(outcome == expected && reason.contains(words), "{outcome} {reason}");
            bench.is_tidy().await;
        }
    });
}

fn parent_of(pid: Pid) -> Pid {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap();
    let parent = stat.rsplit(')').next().unwrap().split_ascii_whitespace().nth(1).unwrap();
    Pid::from_raw(parent.parse().unwrap()).unwrap()
}

/// `guild-worker probe` shows the limits of a step, and a step that exceeds one fails with a reason that says so.
#[test]
fn a_step_that_takes_too_much_has_failed_with_a_sentence() {
    test(async {
        let bench =
            Bench::with("reserve = 0\nslots = 1\nprocesses = 40\nstep_memory = \"1GiB\"\nopen_files = 500\n").await;
        let told = bench.command("probe").output().await.unwrap();
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        assert!(
            told.contains("step\tprocesses=40 memory=1073741824 files=500\n") && !told.contains("lacks\t"),
            "{told}"
        );
        let _worker = bench.worker();
        bench
            .master
            .offer(job(1, vec![step("bomb", "i=0; while [ $i -lt 200 ]; do i=$((i+1)); sleep 100 & done; wait")]));
        let (outcome, reason) = bench.master.outcome().await;
        let says = reason.starts_with("step 1 `bomb`: killed: ") && reason.ends_with("; 40 are the limit of a step");
        assert!(outcome == Outcome::Failed && says, "{outcome} {reason}");
        // the next job runs normally
        bench.master.offer(job(2, vec![step("next", "true")]));
        bench.master.until(|heard| heard.script.iter().any(|line| line == "complete 2 succeeded")).await;
        bench.is_tidy().await;
    });
}

/// The worker refuses an offer beyond a limit with the name of the limit, and takes the next job.
#[test]
fn an_offer_beyond_a_limit_is_refused_by_its_name_and_the_next_is_taken() {
    test(async {
        let bench = Bench::new().await;
        let log = std::fs::File::create(bench.path("worker.log")).unwrap();
        let _worker = bench.command("run").stderr(log).spawn().unwrap();
        let text = || "x".repeat((1 << 20) + 1);
        let beyond: [fn(&mut JobPlan, String); 3] = [
            |job, text| job.on = text,
            |job, text| job.env.push(("A".to_owned(), text)),
            |job, _| job.want = vec![String::new(); PLAN_LIST.most + 1],
        ];
        for (number, change) in (1..).zip(beyond) {
            let mut offered = job(number, vec![step("s", "true")]);
            change(&mut offered.job, text());
            bench.master.offer(offered);
        }
        bench.master.offer(job(4, vec![step("next", "true")]));
        bench.master.until(|heard| heard.script.iter().any(|line| line == "complete 4 succeeded")).await;
        let said = std::fs::read_to_string(bench.path("worker.log")).unwrap();
        let refused = said.matches("the text of the plan has 1,048,577 bytes; at most 1,048,576 are taken").count();
        assert!(refused == 2 && said.contains("elements; at most"), "{said}");
        bench.is_tidy().await;
    });
}

#[test]
fn what_a_full_disk_refused_is_told_before_the_end() {
    test(async {
        let bench = Bench::new().await;
        bench.master.refused_starts.borrow_mut().extend([0, 2]);
        bench.master.refused_ends.borrow_mut().extend([0, 1]);
        let _worker = bench.worker();
        let mut always = step("always", "true");
        always.always = true;
        bench.master.offer(job(1, vec![step("fails", "exit 1"), step("no", "true"), always]));
        assert_eq!(bench.master.outcome().await.0, Outcome::Failed);
        let mut script = bench.master.heard.borrow().script.clone();
        script.sort();
        script.dedup();
        let expected = [
            "accept 1",
            "complete 1 failed",
            "finished 0 failed: exit code 1",
            "finished 1 skipped: did not run",
            "finished 2 succeeded: exit code 0",
            "started 0",
            "started 2",
        ];
        assert_eq!(script, expected);
        bench.is_tidy().await;
    });
}

#[test]
fn a_cut_link_costs_nothing() {
    test(async {
        let bench = Bench::new().await;
        let _worker = bench.worker();
        let go = bench.file("go");
        bench.master.offer(job(
            1,
            vec![step(
                "say",
                &format!("echo $$; echo one; while [ ! -e {go} ]; do sleep 0.01; done; echo two; echo $$"),
            )],
        ));
        bench.master.until(|heard| heard.logs.get(&0).is_some_and(|log| log.ends_with(b"one\n"))).await;
        bench.master.cut();
        std::fs::write(&go, "").unwrap();
        assert_eq!(bench.master.outcome().await.0, Outcome::Succeeded);
        let log = bench.master.log(0);
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!((lines[1], lines[2], lines[0]), ("one", "two", lines[3]));
        assert_eq!(lines.len(), 4);
        bench.master.check_seals();
        assert_eq!(bench.master.heard.borrow().attached, 2);
        bench.is_tidy().await;
    });
}

/// A killed master loses small logs that were acknowledged, because they stay in its memory until they are sealed. The worker sends
/// them again.
#[test]
fn a_master_that_lost_the_log_of_an_ended_step_gets_it_again() {
    test(async {
        let bench = Bench::new().await;
        let _worker = bench.worker();
        let wait = format!("while [ ! -e {} ]; do sleep 0.01; done", bench.file("go"));
        bench.master.offer(job(1, vec![step("say", "echo one"), step("wait", &wait)]));
        bench.master.until(|heard| heard.seals.contains_key(&0)).await;
        bench.master.heard.borrow_mut().logs.clear();
        bench.master.heard.borrow_mut().seals.clear();
        bench.master.cut();
        std::fs::write(bench.path("go"), "").unwrap();
        assert_eq!(bench.master.outcome().await.0, Outcome::Succeeded);
        assert_eq!(bench.master.log(0), "one\n");
        assert!(bench.master.heard.borrow().seals.contains_key(&0), "its end is told again, too");
        bench.master.check_seals();
    });
}

#[test]
fn a_killed_worker_costs_nothing() {
    test(async {
        let bench = Bench::new().await;
        let mut worker = bench.worker();
        let go = bench.file("go");
        let wait = format!("echo $$; echo one; while [ ! -e {go} ]; do sleep 0.01; done; echo two; echo $$");
        bench.master.offer(job(1, vec![step("say", &wait), step("next", "echo three; pwd")]));
        bench.master.until(|heard| heard.logs.get(&0).is_some_and(|log| log.ends_with(b"one\n"))).await;
        worker.kill().await.unwrap();
        let _next = bench.worker();
        bench.master.until(|heard| heard.attached == 2).await;
        std::fs::write(&go, "").unwrap();
        assert_eq!(bench.master.outcome().await.0, Outcome::Succeeded);
        let log = bench.master.log(0);
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!((lines[1], lines[2], lines[0]), ("one", "two", lines[3]));
        assert!(bench.master.log(1).starts_with("three\n"));
        bench.master.check_seals();
        bench.is_tidy().await;
    });
}

#[test]
fn an_end_that_nobody_saw_is_told_later() {
    test(async {
        let bench = Bench::new().await;
        let mut worker = bench.worker();
        let (go, done) = (bench.file("go"), bench.file("done"));
        let script = format!("while [ ! -e {go} ]; do sleep 0.01; done; echo end; touch {done}; exit 4");
        bench.master.offer(job(1, vec![step("say", &script)]));
        bench.master.until(|heard| heard.script.iter().any(|line| line == "started 0")).await;
        kill_process(Pid::from_raw(worker.id().unwrap() as i32).unwrap(), Signal::TERM).unwrap();
        assert_eq!(exit_code(&mut worker).await, Some(0));
        std::fs::write(&go, "").unwrap();
        eventually(|| bench.path("done").exists()).await;
        let _next = bench.worker();
        let (outcome, reason) = bench.master.outcome().await;
        assert_eq!((outcome, reason.as_str()), (Outcome::Failed, "step 1 `say`: exit code 4"));
        assert_eq!(bench.master.log(0), "end\n");
        bench.is_tidy().await;
    });
}

#[test]
fn what_is_stale_is_stopped_and_dropped() {
    test(async {
        let bench = Bench::new().await;
        let _worker = bench.worker();
        let pid = bench.file("pid");
        bench.master.offer(job(1, vec![step("say", &format!("echo $$ >{pid}; sleep 1000; true"))]));
        let pid = bench.pid_in("pid").await;
        bench.master.stale.borrow_mut().push(token(1));
        bench.master.cut();
        eventually(|| !is_alive(pid)).await;
        bench.is_tidy().await;
        assert_eq!(bench.master.heard.borrow().outcome, None);
        // the slot of the job is free again
        bench.master.offer(job(2, vec![step("say", "true")]));
        assert_eq!(bench.master.outcome().await.0, Outcome::Succeeded);
    });
}

#[test]
fn a_revoked_worker_ends_everything() {
    test(async {
        for is_told in [true, false] {
            let bench = Bench::new().await;
            let mut worker = bench.worker();
            let pid = bench.file("pid");
            bench.master.offer(job(1, vec![step("say", &format!("trap '' TERM; echo $$ >{pid}; sleep 1000; true"))]));
            let pid = bench.pid_in("pid").await;
            match is_told {
                true => {
                    let mut request = bench.master.worker().revoked_request();
                    request.get().set_reason("lost laptop");
                    let answer = request.send().promise.await.unwrap();
                    assert!(answer.get().unwrap().get_ended() && !is_alive(pid), "it answers when all has ended");
                }
                false => {
                    bench.master.refuse_restore.set(Some(RefusalCode::Revoked));
                    bench.master.cut();
                }
            }
            assert_eq!(exit_code(&mut worker).await, Some(5));
            assert!(!is_alive(pid));
            bench.is_tidy().await;
        }
    });
}

#[test]
fn an_unknown_credential_is_no_reason_to_stop() {
    test(async {
        let bench = Bench::new().await;
        let _worker = bench.worker();
        let go = bench.file("go");
        bench.master.offer(job(1, vec![step("say", &format!("echo one; while [ ! -e {go} ]; do sleep 0.01; done"))]));
        bench.master.until(|heard| heard.logs.contains_key(&0)).await;
        bench.master.refuse_restore.set(Some(RefusalCode::Unknown));
        bench.master.cut();
        sleep(Duration::from_millis(700)).await;
        bench.master.refuse_restore.set(None);
        std::fs::write(&go, "").unwrap();
        assert_eq!(bench.master.outcome().await.0, Outcome::Succeeded);
    });
}

#[test]
fn a_killed_supervisor_is_an_error_of_the_infrastructure_and_leaves_nothing() {
    test(async {
        let bench = Bench::new().await;
        let _worker = bench.worker();
        let (pid, daemon, parent) = (bench.file("pid"), bench.file("daemon"), bench.file("parent"));
        // this process has no mark of the step in its environment
        let bare = bench.file("bare");
        let script = format!(
            "(setsid sleep 1000 & echo $! >{daemon}); (env -i setsid sleep 1000 & echo $! >{bare}); \
             echo $PPID >{parent}; echo $$ >{pid}; sleep 1000; true"
        );
        bench.master.offer(job(1, vec![step("say", &script)]));
        let (pid, daemon, bare) = (bench.pid_in("pid").await, bench.pid_in("daemon").await, bench.pid_in("bare").await);
        kill_process(bench.pid_in("parent").await, Signal::KILL).unwrap();
        let (outcome, reason) = bench.master.outcome().await;
        assert_eq!(outcome, Outcome::Errored);
        assert!(reason.contains("supervisor"), "{reason}");
        for (name, pid) in [("the step", pid), ("its daemon", daemon), ("one without environment", bare)] {
            ends(name, pid).await;
        }
        bench.is_tidy().await;
    });
}

#[test]
fn a_master_that_is_gone_past_the_lease_stops_the_step() {
    // the term of the assignment counts, or else the term of `attach`, because a master of 0.1.0 sends no other
    for (at_attach, of_attempt) in [(600_000, 2_000), (2_000, 0)] {
        is_stopped_with_its_lease(at_attach, of_attempt);
    }
}

fn is_stopped_with_its_lease(at_attach: u64, of_attempt: u64) {
    test(async {
        let bench = Bench::new().await;
        bench.master.term_ms.set(at_attach);
        let _worker = bench.worker();
        let pid = bench.file("pid");
        let steps = vec![step("say", &format!("echo $$ >{pid}; sleep 1000; true")), step("next", "true")];
        bench.master.offer(Assignment { term_ms: of_attempt, ..job(1, steps) });
        let pid = bench.pid_in("pid").await;
        bench.master.until(|heard| heard.renewals >= 4).await;
        assert!(is_alive(pid));
        bench.master.is_listening.set(false);
        bench.master.cut();
        eventually(|| !is_alive(pid)).await;
        bench.master.is_listening.set(true);
        let (outcome, reason) = bench.master.outcome().await;
        assert_eq!(outcome, Outcome::Errored);
        assert!(reason.contains("lease"), "{reason}");
    });
}

#[test]
fn a_plan_of_a_newer_version_costs_its_job_and_nothing_else() {
    test(async {
        let bench = Bench::new().await;
        let _worker = bench.worker();
        let (ran, well) = (bench.file("ran"), bench.file("well"));
        let newer = job(1, vec![step("say", &format!("echo >{ran}"))]);
        bench.master.offer(Assignment { plan_version: PLAN_VERSION + 1, ..newer });
        let (outcome, reason) = bench.master.outcome().await;
        assert_eq!(outcome, Outcome::Errored);
        let why = "this worker cannot run the job: the plan is of version 2, and this program knows versions up to 1";
        assert!(reason.starts_with(why), "{reason}");
        bench.master.offer(job(2, vec![step("say", &format!("echo >{well}"))]));
        eventually(|| Path::new(&well).exists()).await;
        assert!(!Path::new(&ran).exists(), "nothing of the newer plan was run");
    });
}

#[test]
fn slots_are_given_back_and_a_drained_worker_ends() {
    test(async {
        let bench = Bench::with("reserve = 0\nslots = 2\ncpus = 4\n").await;
        let mut worker = bench.worker();
        let go = bench.file("go");
        for number in 1..=2 {
            let mut assignment = job(number, vec![step("say", &format!("while [ ! -e {go} ]; do sleep 0.01; done"))]);
            assignment.job.cpus_milli = 1_500;
            bench.master.offer(assignment);
        }
        bench.master.until(|heard| heard.script.iter().filter(|line| line.as_str() == "started 0").count() == 2).await;
        let free: Vec<(u16, u32)> =
            bench.master.heard.borrow().free.iter().map(|free| (free.slots, free.cpus_milli)).collect();
        assert_eq!(free, [(2, 4_000), (1, 2_500)]);
        let status = bench.command("status").output().await.unwrap();
        let status = String::from_utf8(status.stdout).unwrap();
        assert!(status.starts_with("worker\tattached\ttaking\nattempt\tpyfoo/412/job-1\trunning\t1/1\t"), "{status}");
        let mut drain = bench.command("drain").spawn().unwrap();
        bench.master.until(|heard| heard.script.iter().any(|line| line == "drain")).await;
        bench.master.offer(job(3, vec![step("say", "true")]));
        std::fs::write(&go, "").unwrap();
        assert_eq!(exit_code(&mut worker).await, Some(0));
        assert_eq!(exit_code(&mut drain).await, Some(0));
        let script = bench.master.heard.borrow().script.clone();
        assert!(
            script.contains(&"complete 1 succeeded".to_owned()) && script.contains(&"complete 2 succeeded".to_owned())
        );
        assert!(!script.contains(&"accept 3".to_owned()));
    });
}

#[test]
fn several_jobs_come_with_one_answer() {
    test(async {
        let bench = Bench::with("reserve = 0\nslots = 3\n").await;
        bench.master.at_once.set(8);
        let go = bench.file("go");
        for number in 1..=4 {
            bench.master.offer(job(number, vec![step("say", &format!("while [ ! -e {go} ]; do sleep 0.01; done"))]));
        }
        let _worker = bench.worker();
        let count = |heard: &fake::Heard, word: &str| heard.script.iter().filter(|line| line.starts_with(word)).count();
        bench.master.until(|heard| count(heard, "started 0") == 3).await;
        let free: Vec<u16> = bench.master.heard.borrow().free.iter().map(|free| free.slots).collect();
        assert_eq!(free, [3], "it is asked once, for as many as have room");
        std::fs::write(&go, "").unwrap();
        bench.master.until(|heard| count(heard, "complete") == 4).await;
        bench.is_tidy().await;
    });
}

#[test]
fn room_that_a_job_gave_back_is_told_though_a_take_waits() {
    test(async {
        let bench = Bench::with("reserve = 0\nslots = 2\n").await;
        let _worker = bench.worker();
        bench.master.offer(job(1, vec![step("say", "true")]));
        bench.master.until(|heard| heard.free.len() == 3).await;
        let slots: Vec<u16> = bench.master.heard.borrow().free.iter().map(|free| free.slots).collect();
        assert_eq!(slots, [2, 1, 2]);
    });
}

#[test]
fn an_attempt_that_cannot_be_noted_is_tried_again_after_a_pause() {
    test(async {
        let bench = Bench::new().await;
        let _worker = bench.worker();
        bench.master.until(|heard| heard.attached == 1).await;
        std::fs::remove_dir_all(bench.path("attempts")).unwrap();
        std::fs::write(bench.path("attempts"), "in the way").unwrap();
        bench.master.offer(job(1, vec![step("say", "true")]));
        sleep(Duration::from_millis(1_500)).await;
        let heard = bench.master.heard.borrow();
        assert_eq!((heard.attached, heard.free.len(), heard.script.len()), (1, 1, 0), "{:?}", heard.script);
    });
}

#[test]
fn a_second_signal_cancels() {
    test(async {
        let bench = Bench::new().await;
        let mut worker = bench.worker();
        let pid = bench.file("pid");
        let mut always = step("no", "echo no");
        always.always = true;
        bench.master.offer(job(1, vec![step("say", &format!("echo $$ >{pid}; sleep 1000; true")), always]));
        let pid = bench.pid_in("pid").await;
        let own = Pid::from_raw(worker.id().unwrap() as i32).unwrap();
        kill_process(own, Signal::TERM).unwrap();
        sleep(Duration::from_millis(20)).await;
        kill_process(own, Signal::TERM).unwrap();
        assert_eq!(exit_code(&mut worker).await, Some(0));
        assert!(!is_alive(pid));
        assert_eq!(bench.master.outcome().await.0, Outcome::Cancelled);
        assert_eq!(bench.master.log(1), "", "a worker that stops clears up behind nobody");
    });
}

#[test]
fn one_state_directory_has_one_worker() {
    test(async {
        let bench = Bench::new().await;
        let _worker = bench.worker();
        bench.master.until(|heard| heard.attached == 1).await;
        assert_eq!(exit_code(&mut bench.worker()).await, Some(4));
    });
}

/// `Dice` is a small generator of numbers. The seed of a run that fails repeats it.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Workers are killed and links are cut at random moments while three steps count, and no number is lost or comes twice. More rounds
/// or another seed: `GUILD_TEST_SEED=7 GUILD_TEST_ROUNDS=500`.
#[test]
fn random_deaths_cost_nothing() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (seed, rounds) = (number("GUILD_TEST_SEED", 1), number("GUILD_TEST_ROUNDS", 3));
    for seed in seed..seed + rounds {
        println!("GUILD_TEST_SEED={seed} GUILD_TEST_ROUNDS=1");
        test(count_through(Dice(seed)));
    }
}

async fn count_through(mut dice: Dice) {
    let bench = Bench::new().await;
    let count = "i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo $i; sleep 0.01; done";
    bench.master.offer(job(1, vec![step("one", count), step("two", count), step("three", count)]));
    let mut worker = bench.worker();
    while bench.master.heard.borrow().outcome.is_none() {
        sleep(Duration::from_millis(5 + dice.below(495))).await;
        match dice.below(4) {
            0 => bench.master.cut(),
            _ => {
                worker.kill().await.unwrap();
                worker = bench.worker();
            }
        }
    }
    let (outcome, reason) = bench.master.outcome().await;
    assert_eq!((outcome, reason.as_str()), (Outcome::Succeeded, ""));
    let counted: String = (1..=60).map(|i| format!("{i}\n")).collect();
    for step in 0..3 {
        assert_eq!(bench.master.log(step), counted);
    }
    bench.master.check_seals();
}
