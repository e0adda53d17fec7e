//! Test reports: what the worker reads after a step, stores at the master, and reports.

use crate::bench::{Bench, test};
use crate::fake::{Keeping, job, step};
use reports::{TestList, decode};
use schema::values::{Outcome, ReportPlan, StepPlan, TestCounts, TestsReported, Workspace};
use std::time::Duration;

const SUITE: &str = "printf '<testsuite><testcase classname=\"a.B\" name=\"works\" time=\"0.5\"/>\\n\
    <testcase classname=\"a.B\" name=\"breaks\"><failure message=\"left\"/></testcase></testsuite>' >py.xml";

fn reporting(script: &str, reports: &[(&str, &str)]) -> StepPlan {
    let plan = |(format, path): &(&str, &str)| ReportPlan { format: (*format).to_owned(), path: (*path).to_owned() };
    StepPlan { reports: reports.iter().map(plan).collect(), ..step("t", script) }
}

/// Returns the last report about the tests of a step.
fn told(bench: &Bench, step: u16) -> Option<TestsReported> {
    let heard = bench.master.heard.borrow();
    heard.tests.iter().rev().find(|(of, _)| *of == step).unwrap().1.clone()
}

fn stored(bench: &Bench, name: &str) -> Vec<u8> {
    let heard = bench.master.heard.borrow();
    let file = &heard.files[name];
    assert!(file.is_sealed, "{name}");
    file.bytes.clone()
}

fn list(bench: &Bench, step: u16) -> TestList {
    let bytes = stored(bench, &format!("tests/{step}/list"));
    assert_eq!(blake3::hash(&bytes).as_bytes()[..], told(bench, step).unwrap().list);
    decode(&bytes).unwrap()
}

/// Runs a job of one step. Returns the outcome and the reason of the job, and the report about its tests.
async fn ran(bench: &Bench, step: StepPlan) -> (Outcome, String, Option<TestsReported>) {
    bench.master.offer(job(1, vec![step]));
    let (outcome, reason) = bench.master.outcome().await;
    bench.master.check_seals();
    bench.is_tidy().await;
    (outcome, reason, told(bench, 0))
}

#[test]
fn what_a_step_reports_is_stored_before_its_end_is_told() {
    test(async {
        let bench = Bench::new().await;
        let _worker = bench.worker();
        let (outcome, reason, tests) = ran(&bench, reporting(&format!("{SUITE}; exit 1"), &[("junit", "*.xml")])).await;
        assert_eq!((outcome, reason.as_str()), (Outcome::Failed, "step 1 `t`: exit code 1"));
        let tests = tests.unwrap();
        assert_eq!(tests.counts, TestCounts { passed: 1, failed: 1, ..TestCounts::default() });
        assert_eq!((tests.duration_us, tests.trouble.as_str()), (500_000, ""));
        assert_eq!(tests.failing, ["a.B › breaks"]);
        assert_eq!(list(&bench, 0).results[1].message, "left");
        let originals = zstd::decode_all(&stored(&bench, "tests/0/reports.tar.zst")[..]).unwrap();
        assert!(originals.starts_with(b"py.xml\0") && originals[512..].starts_with(b"<testsuite>"));
    });
}

#[test]
fn failures_do_not_change_the_outcome_of_a_command_that_succeeded() {
    test(async {
        let bench = Bench::new().await;
        let _worker = bench.worker();
        let (outcome, _, tests) = ran(&bench, reporting(&format!("{SUITE} || true"), &[("junit", "py.xml")])).await;
        assert_eq!((outcome, tests.unwrap().counts.failed), (Outcome::Succeeded, 1));
    });
}

#[test]
fn what_a_step_prints_is_read() {
    test(async {
        let bench = Bench::new().await;
        let _worker = bench.worker();
        let script =
            "echo 'running 1 test'; echo 'test a::b ... ok'; echo 'test result: ok.'; echo '1..1'; echo 'ok 1 - c' >&2";
        let (outcome, _, tests) = ran(&bench, reporting(script, &[("libtest", ""), ("tap", "")])).await;
        assert_eq!((outcome, tests.unwrap().trouble.as_str()), (Outcome::Succeeded, ""));
        let names: Vec<String> = list(&bench, 0).results.iter().map(|result| result.id.to_string()).collect();
        assert_eq!(names, ["a::b", "c"]);
        assert!(!bench.master.heard.borrow().files.contains_key("tests/0/reports.tar.zst"), "the log has it");
    });
}

#[test]
fn a_report_that_was_not_written_fails_its_step() {
    test(async {
        let bench = Bench::new().await;
        let _worker = bench.worker();
        let (outcome, reason, tests) = ran(&bench, reporting("printf hello", &[("junit", "py.xml")])).await;
        assert_eq!((outcome, reason.as_str()), (Outcome::Failed, "step 1 `t`: py.xml was not written"));
        assert_eq!(bench.master.log(0), "hello\n[guild: py.xml was not written]\n");
        let tests = tests.unwrap();
        assert_eq!((tests.trouble.as_str(), tests.list.len()), ("py.xml was not written", 0));
        assert!(bench.master.heard.borrow().files.is_empty());
    });
}

/// A missing report, which fails the step, is named before a broken one, because a master keeps only the beginning of the text.
#[test]
fn what_was_not_written_is_told_before_what_is_broken() {
    test(async {
        let bench = Bench::new().await;
        let _worker = bench.worker();
        let script = "printf '<testsuite>\n<testcase name=\"a\">' >a.xml";
        let reports = [("junit", "a.xml"), ("junit", "b.xml"), ("tap", "t/")];
        let (outcome, reason, tests) = ran(&bench, reporting(script, &reports)).await;
        assert_eq!((outcome, reason.as_str()), (Outcome::Failed, "step 1 `t`: b.xml was not written"));
        let expected = "b.xml was not written; no file was written that matches t/; \
             a.xml:2: the file ends within the test case `a`";
        assert_eq!(tests.unwrap().trouble, expected);
    });
}

#[test]
fn a_step_that_failed_stays_as_it_is_without_its_report() {
    test(async {
        let bench = Bench::new().await;
        let _worker = bench.worker();
        let (outcome, reason, tests) = ran(&bench, reporting("exit 3", &[("junit", "out/")])).await;
        assert_eq!((outcome, reason.as_str()), (Outcome::Failed, "step 1 `t`: exit code 3"));
        assert_eq!(tests.unwrap().trouble, "no file was written that matches out/");
        assert_eq!(bench.master.log(0), "[guild: no file was written that matches out/]\n");
    });
}

#[test]
fn a_report_of_an_earlier_build_is_not_taken_for_a_new_one() {
    test(async {
        let bench = Bench::new().await;
        let _worker = bench.worker();
        let kept = |number, script: &str| {
            let mut assignment = job(number, vec![reporting(script, &[("junit", "py.xml")])]);
            assignment.job.workspace = Workspace::Kept;
            assignment.lane = "lane".to_owned();
            assignment
        };
        bench.master.offer(kept(1, SUITE));
        assert_eq!(bench.master.outcome().await.0, Outcome::Succeeded);
        tokio::time::sleep(Duration::from_millis(200)).await;
        // a file that was copied with its old times counts as written by this step
        bench.master.offer(kept(2, "cp -p py.xml new; rm py.xml; mv new py.xml"));
        assert_eq!(bench.master.outcome().await.0, Outcome::Succeeded);
        tokio::time::sleep(Duration::from_millis(200)).await;
        bench.master.offer(kept(3, "true"));
        let (outcome, reason) = bench.master.outcome().await;
        let expected = "step 1 `t`: py.xml was not written: the file there is older than the step";
        assert_eq!((outcome, reason.as_str()), (Outcome::Failed, expected));
    });
}

#[test]
fn a_broken_report_costs_the_step_nothing() {
    test(async {
        let bench = Bench::new().await;
        let _worker = bench.worker();
        let script = "printf '<testsuite>\\n<testcase name=\"a\"/>\\n<testcase name=\"b\">' >a.xml; ln -s /bin/sh b.xml; \
             mkfifo c.xml; echo no >d.tap";
        let reports = [("junit", "*.xml"), ("tap", "d.tap"), ("sarif", "e.json")];
        let (outcome, _, tests) = ran(&bench, reporting(script, &reports)).await;
        let expected = "a.xml:3: the file ends within the test case `b`; b.xml: it leads out of the checkout; \
             c.xml: it is not a regular file; d.tap:1: there is no test and no plan of TAP in it; \
             this worker does not know reports of the form `sarif`: upgrade it";
        assert_eq!((outcome, tests.unwrap().trouble.as_str()), (Outcome::Succeeded, expected));
        assert_eq!(list(&bench, 0).results.len(), 1);
    });
}

#[test]
fn a_step_that_may_fail_is_warned_without_its_report() {
    test(async {
        let bench = Bench::new().await;
        let _worker = bench.worker();
        let step = StepPlan { continue_on_failure: true, ..reporting("true", &[("tap", "t.tap")]) };
        let (outcome, reason, _) = ran(&bench, step).await;
        assert_eq!((outcome, reason.as_str()), (Outcome::Warned, "step 1 `t`: t.tap was not written"));
    });
}

/// The report of a step that was stopped is marked as incomplete, even if its file looks whole, because later tests did not run.
#[test]
fn the_tests_of_a_step_that_was_stopped_are_not_all() {
    let hanging = || reporting(&format!("{SUITE}; exec sleep 1000"), &[("junit", "py.xml")]);
    for (step, why) in [
        (StepPlan { timeout_ms: 700, ..hanging() }, "its time was over"),
        (StepPlan { idle_ms: 700, ..hanging() }, "it printed nothing for too long"),
    ] {
        test(async {
            let bench = Bench::new().await;
            let _worker = bench.worker();
            let (outcome, _, tests) = ran(&bench, step).await;
            let tests = tests.unwrap();
            let expected = format!("the step was stopped because {why}, so tests may be missing");
            assert_eq!((outcome, tests.counts.failed, tests.trouble), (Outcome::Failed, 1, expected.clone()));
            assert_eq!(list(&bench, 0).trouble, expected);
        });
    }
}

#[test]
fn a_step_that_did_not_run_or_was_cancelled_has_no_tests() {
    test(async {
        let bench = Bench::new().await;
        let _worker = bench.worker();
        let begun = bench.file("begun");
        let sleeping = reporting(&format!("{SUITE}; echo $$ >{begun}; exec sleep 1000"), &[("junit", "py.xml")]);
        bench.master.offer(job(1, vec![sleeping, reporting("true", &[("junit", "none.xml")])]));
        bench.pid_in("begun").await;
        let mut request = bench.master.worker().cancel_request();
        request.get().set_token(&crate::fake::token(1));
        request.send().promise.await.unwrap();
        assert_eq!(bench.master.outcome().await.0, Outcome::Cancelled);
        assert_eq!((told(&bench, 0), told(&bench, 1)), (None, None));
    });
}

#[test]
fn an_older_master_costs_the_step_nothing() {
    test(async {
        let bench = Bench::new().await;
        bench.master.keeping.set(Keeping::Unknown);
        let _worker = bench.worker();
        let (outcome, _, tests) = ran(&bench, reporting(SUITE, &[("junit", "py.xml")])).await;
        let tests = tests.unwrap();
        let expected = "the list of tests was not stored: the master is older and keeps no files";
        assert_eq!((outcome, tests.trouble.as_str()), (Outcome::Succeeded, expected));
        assert_eq!((tests.list.len(), tests.counts.failed), (0, 1));
        bench.master.keeping.set(Keeping::Refused);
        let (outcome, _, tests) = ran_again(&bench).await;
        let expected = "the list of tests was not stored: the project has no room left";
        assert_eq!((outcome, tests.unwrap().trouble.as_str()), (Outcome::Succeeded, expected));
    });
}

async fn ran_again(bench: &Bench) -> (Outcome, String, Option<TestsReported>) {
    bench.master.offer(job(2, vec![reporting(SUITE, &[("junit", "py.xml")])]));
    let (outcome, reason) = bench.master.outcome().await;
    (outcome, reason, told(bench, 0))
}

#[test]
fn a_master_of_version_1_is_told_of_no_tests() {
    test(async {
        let bench = Bench::new().await;
        bench.master.version.set(1);
        let _worker = bench.worker();
        let (outcome, _, tests) = ran(&bench, reporting(SUITE, &[("junit", "py.xml")])).await;
        assert_eq!((outcome, tests), (Outcome::Succeeded, None));
    });
}

/// A worker is killed after it sent a part of a list, and the report in the checkout is changed. The next worker sends the rest of
/// the list that was read.
#[test]
fn a_worker_that_is_killed_before_the_list_is_stored_loses_and_doubles_nothing() {
    test(async {
        let bench = Bench::new().await;
        bench.master.keeping.set(Keeping::Full);
        let mut worker = bench.worker();
        let script = format!("{SUITE}; echo $PWD >{}", bench.file("dir"));
        bench.master.offer(job(1, vec![reporting(&script, &[("junit", "py.xml"), ("tap", "none.tap")])]));
        bench.master.until(|heard| heard.files.get("tests/0/list").is_some_and(|file| !file.bytes.is_empty())).await;
        worker.kill().await.unwrap();
        let dir = std::fs::read_to_string(bench.path("dir")).unwrap();
        std::fs::remove_file(std::path::Path::new(dir.trim()).join("py.xml")).unwrap();
        assert!(bench.master.heard.borrow().tests.is_empty(), "the end is told after the list is stored");
        bench.master.keeping.set(Keeping::All);
        let _next = bench.worker();
        let (outcome, reason) = bench.master.outcome().await;
        assert_eq!((outcome, reason.as_str()), (Outcome::Failed, "step 1 `t`: none.tap was not written"));
        assert_eq!(list(&bench, 0).results.len(), 2);
        assert_eq!(bench.master.log(0), "[guild: none.tap was not written]\n");
        assert_eq!(bench.master.heard.borrow().files["tests/0/list"].repeated, 0);
        bench.master.check_seals();
        bench.is_tidy().await;
    });
}
