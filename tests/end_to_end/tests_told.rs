//! The tests of a step, from the report of a worker to what people see: the view of a build, the history of a lane, and lists.
//! The test plays the worker, so the worker can report anything.

use capnp::capability::Promise;
use client::views::TestView;
use client::{Events, LogAddress, TestQuery, TestsPage, Told};
use master::config::{Config, Means, NoticeConfig};
use master::decide::coordinator::record::Transition;
use master::program::test_intake::{IntakeState, TestIntake};
use reports::{TestId, TestList, TestOutcome, TestResult};
use schema::values::{Cursor, Exit, Fact, Filter, Outcome, TestCounts, TestsReported};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use support::guild::{House, Played, run, until};
use support::http::get;
use support::tested::{end, end_as, end_steps, reported, store, store_as, work};

const PIPELINE: &str = "version = 1\n[job.t]\nrun = \"true\"\njunit = \"t.xml\"\n";

/// Returns a list of these tests, each of which passed (true) or failed.
fn list(results: &[(&str, bool)]) -> TestList {
    let result = |(name, passed): &(&str, bool)| TestResult {
        id: TestId { suite: "a.B".to_owned(), name: (*name).to_owned(), parameters: String::new() },
        outcome: if *passed { TestOutcome::Passed } else { TestOutcome::Failed },
        duration_us: Some(2_000),
        message: if *passed { String::new() } else { "left is not right".to_owned() },
        ..TestResult::default()
    };
    TestList { results: results.iter().map(result).collect(), trouble: String::new() }
}

#[test]
fn failing_tests_are_named_where_a_build_is_shown() {
    run(async {
        let house = House::open(PIPELINE).await;
        let worker = house.worker("anvil").await;
        work(&worker, &list(&[("works", true), ("breaks_here", false)])).await;
        assert_eq!(house.guild.outcome("demo", 1).await.unwrap(), Outcome::Failed);
        let view = house.guild.build("demo", 1).await.unwrap();
        let tests = view.jobs[0].steps[0].tests.clone().unwrap();
        assert_eq!((tests.passed, tests.failed, tests.duration_us), (1, 1, 4_000));
        assert_eq!(tests.failing, ["a.B › breaks_here"]);
        let told = client::words::tests_of(&view.jobs[0]);
        assert_eq!(told, "1 of 2 tests failed: a.B › breaks_here");
    });
}

async fn tests(house: &House, shown: &str) -> TestsPage {
    let query = TestQuery { project: "demo".to_owned(), shown: shown.to_owned(), ..TestQuery::default() };
    house.guild.tests(&query).await.unwrap()
}

/// Waits until the master has read the lists of this many builds.
async fn until_read(house: &House, builds: u32) {
    until("the lists are read", || {
        let guild = house.guild.clone();
        Promise::from_future(async move {
            let query = TestQuery { project: "demo".to_owned(), ..TestQuery::default() };
            let page = guild.tests(&query).await.unwrap();
            let newest = page.tests.iter().filter_map(|test| test.results.first()).map(|point| point.build).max();
            Ok(newest.is_some_and(|newest| newest >= builds))
        })
    })
    .await;
}

fn told(tests: &[TestView]) -> Vec<(String, &str, u32, u32)> {
    tests.iter().map(|test| (test.title(), test.state.as_str(), test.first_bad, test.last_good)).collect()
}

#[test]
fn a_lane_remembers_its_tests() {
    run(async {
        let house = House::open(PIPELINE).await;
        let worker = house.worker("anvil").await;
        work(&worker, &list(&[("works", true), ("wavers", true), ("goes", true)])).await;
        house.repo.commit("file", "2", "second");
        work(&worker, &list(&[("works", true), ("wavers", false), ("comes", true)])).await;
        // the same commit is built again, so a test with another outcome is flaky
        assert_eq!(house.guild.outcome("demo", 2).await.unwrap(), Outcome::Failed);
        house.guild.run("demo", "main", "").await.unwrap();
        work(&worker, &list(&[("works", false), ("wavers", true), ("comes", true)])).await;
        until_read(&house, 3).await;
        let page = tests(&house, "").await;
        let wanted = [
            ("a.B › works".to_owned(), "newly-failing", 3, 2),
            ("a.B › wavers".to_owned(), "fixed", 0, 0),
            ("a.B › comes".to_owned(), "passing", 0, 0),
            ("a.B › goes".to_owned(), "gone", 0, 0),
        ];
        assert_eq!(told(&page.tests), wanted);
        assert_eq!(page.count, 4);
        let flaky = tests(&house, "flaky").await;
        let mut flaky: Vec<_> =
            flaky.tests.iter().map(|test| (test.name.as_str(), test.flaky_trees, test.trees)).collect();
        flaky.sort_unstable();
        assert_eq!(flaky, [("wavers", 1, 2), ("works", 1, 2)]);
        let number = page.tests[0].number;
        let (test, lanes) = house.guild.test("demo", number).await.unwrap();
        assert_eq!((test.title(), lanes.len()), ("a.B › works".to_owned(), 1));
        let outcomes: Vec<_> = lanes[0].results.iter().map(|point| (point.build, point.outcome.word())).collect();
        assert_eq!(outcomes, [(3, "failed"), (2, "passed"), (1, "passed")]);
        assert!(lanes[0].duration_us.is_some_and(|it| it.abs_diff(2_000) < 200));
        let missing = house.guild.test("demo", 99).await.unwrap_err();
        assert!(missing.is_not_found(), "{missing}");
    });
}

#[test]
fn a_test_that_moved_is_where_it_was_last_seen() {
    run(async {
        let house = House::open(PIPELINE).await;
        let worker = house.worker("anvil").await;
        let at = |file: &str| {
            let mut told = list(&[("works", true)]);
            file.clone_into(&mut told.results[0].file);
            told
        };
        work(&worker, &at("old.py")).await;
        until_read(&house, 1).await;
        assert_eq!(tests(&house, "").await.tests[0].file, "old.py");
        house.repo.commit("file", "2", "second");
        work(&worker, &at("new.py")).await;
        until_read(&house, 2).await;
        assert_eq!(tests(&house, "").await.tests[0].file, "new.py");
    });
}

/// A test that already failed on the main branch is not newly failing on a new branch, in its list and on the page of the test.
#[test]
fn a_branch_is_compared_with_the_main_branch() {
    run(async {
        let house = House::open(PIPELINE).await;
        let worker = house.worker("anvil").await;
        work(&worker, &list(&[("works", true), ("breaks_here", false)])).await;
        let commit = house.repo.git(&["commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "second"]);
        house.repo.git(&["update-ref", "refs/heads/topic", &commit]);
        work(&worker, &list(&[("works", false), ("breaks_here", false)])).await;
        let query = TestQuery { project: "demo".to_owned(), ref_name: "topic".to_owned(), ..TestQuery::default() };
        until("the list of the branch is read", || {
            let (guild, query) = (house.guild.clone(), query.clone());
            Promise::from_future(async move { Ok(guild.tests(&query).await.is_ok_and(|page| page.count == 2)) })
        })
        .await;
        let page = house.guild.tests(&query).await.unwrap();
        let wanted = [
            ("a.B › works".to_owned(), "newly-failing", 2, 1),
            ("a.B › breaks_here".to_owned(), "still-failing", 1, 0),
        ];
        assert_eq!(told(&page.tests), wanted);
        for test in page.tests {
            let (_, lanes) = house.guild.test("demo", test.number).await.unwrap();
            let lane = lanes.iter().find(|lane| lane.ref_name == "refs/heads/topic").unwrap();
            let told = (lane.state.as_str(), lane.first_bad, lane.last_good);
            assert_eq!(told, (test.state.as_str(), test.first_bad, test.last_good), "{}", test.title());
        }
    });
}

#[test]
fn pages_show_failed_tests_first_and_their_history() {
    run(async {
        let house = House::open_with(PIPELINE, |config| {
            config.listen.web = Some("127.0.0.1:0".to_owned());
            config.projects.get_mut("demo").unwrap().public = true;
        })
        .await;
        let worker = house.worker("anvil").await;
        work(&worker, &list(&[("works", true), ("breaks<here", false)])).await;
        until_read(&house, 1).await;
        let read = async |path: &str| {
            let answer = get(&format!("http://{}", house.web), path, &[]).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            answer.text()
        };
        let job = read("/p/demo/1/t").await;
        let at = |text: &str| job.find(text).unwrap_or_else(|| panic!("{text} is not in {job}"));
        assert!(at("1 of 2 tests failed") < at("class=\"step "), "they stand before the logs");
        assert!(at("left is not right") < at("class=\"step "));
        at("breaks&#60;here");
        let build = read("/p/demo/1").await;
        assert!(build.contains("1 of 2 tests failed"), "{build}");
        let all = read("/p/demo/tests").await;
        assert!(all.contains("2 tests") && all.contains("newly failing"), "{all}");
        let found = read("/p/demo/tests?search=BREAKS&show=failing").await;
        assert!(found.contains("1 test") && !found.contains("works"), "{found}");
        let number =
            house.guild.tests(&TestQuery { project: "demo".to_owned(), ..TestQuery::default() }).await.unwrap();
        let test = read(&format!("/p/demo/tests/{}", number.tests[0].number)).await;
        assert!(test.contains("breaks&#60;here") && test.contains("/p/demo/1/t"), "{test}");
        let missing = get(&format!("http://{}", house.web), "/p/demo/tests/99", &[]).await;
        assert_eq!(missing.status, 404);
    });
}

#[test]
fn a_list_that_cannot_be_read_is_left_out() {
    run(async {
        let house = House::open(PIPELINE).await;
        let worker = house.worker("anvil").await;
        let (_, lease) = worker.take().await;
        lease.accept_request().send().promise.await.unwrap();
        store(&lease, b"no list").await;
        let hash = blake3::hash(b"no list").as_bytes().to_vec();
        end(&lease, TestsReported { list: hash, ..TestsReported::default() }).await;
        assert_eq!(house.guild.outcome("demo", 1).await.unwrap(), Outcome::Succeeded);
        house.guild.run("demo", "main", "").await.unwrap();
        work(&worker, &list(&[("works", true)])).await;
        until_read(&house, 2).await;
        let intake = TestIntake::new(&house.parts);
        assert_eq!(intake.pass().await.unwrap(), IntakeState::Done, "both jobs are read");
        assert_eq!(told(&tests(&house, "").await.tests), [("a.B › works".to_owned(), "passing", 0, 0)]);
    });
}

/// `Fault` is what is wrong with the file of a stored list: it was deleted, it was cut, or it cannot be opened at the moment.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Deleted,
    Cut,
    Looping,
}

/// Damages the file of a stored blob.
fn spoil(state: &Path, bytes: &[u8], fault: Fault) {
    let name = blake3::hash(bytes).to_hex().to_string();
    let file = state.join("blobs/sealed").join(&name[..2]).join(&name);
    assert!(file.is_file(), "{}", file.display());
    std::fs::remove_file(&file).unwrap();
    match fault {
        Fault::Deleted => {}
        Fault::Cut => std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap(),
        // a loop of links may be mended, so the master tries again
        Fault::Looping => std::os::unix::fs::symlink(&file, &file).unwrap(),
    }
}

#[test]
fn a_list_whose_bytes_are_gone_holds_up_no_other() {
    run(async {
        let house = House::open(PIPELINE).await;
        let worker = house.worker("anvil").await;
        for (number, fault) in (1..).zip([Fault::Deleted, Fault::Cut, Fault::Looping]) {
            if number > 1 {
                house.guild.run("demo", "main", "").await.unwrap();
            }
            let (_, lease) = worker.take().await;
            lease.accept_request().send().promise.await.unwrap();
            let lost = list(&[("lost", true), (&format!("{fault:?}"), true)]);
            let bytes = reports::encode(&lost).unwrap();
            store(&lease, &bytes).await;
            spoil(&house.state(), &bytes, fault);
            end(&lease, reported(&lost)).await;
            assert_eq!(house.guild.outcome("demo", number).await.unwrap(), Outcome::Succeeded);
        }
        house.guild.run("demo", "main", "").await.unwrap();
        work(&worker, &list(&[("works", true)])).await;
        until_read(&house, 4).await;
        assert_eq!(told(&tests(&house, "").await.tests), [("a.B › works".to_owned(), "passing", 0, 0)]);
    });
}

const TWO_STEPS: &str = "version = 1\n[job.t]\n[[job.t.step]]\nrun = \"true\"\ncontinue = true\njunit = \"a.xml\"\n\
                         [[job.t.step]]\nrun = \"true\"\njunit = \"b.xml\"\n";

/// The blob that the second step stored, and its report about tests. `None` means that the step was skipped.
type SecondStep<'a> = Option<(&'a [u8], TestsReported)>;

/// Does the next job, which has two steps. The first one has this list, and the second one has this blob and this report.
async fn work_twice(house: &House, worker: &Played, first: &TestList, second: SecondStep<'_>) {
    let (_, lease) = worker.take().await;
    lease.accept_request().send().promise.await.unwrap();
    store_as(&lease, "0", &reports::encode(first).unwrap()).await;
    let mut steps = vec![reported(first)];
    if let Some((bytes, tests)) = second {
        if !bytes.is_empty() {
            store_as(&lease, "1", bytes).await;
        }
        steps.push(tests);
    }
    end_steps(&lease, steps).await;
    house.guild.run("demo", "main", "").await.unwrap();
}

/// A test is gone only if a whole run does not have it. A run is not whole if a step was skipped or its list is lost.
#[test]
fn tests_of_a_step_without_its_list_are_not_gone() {
    run(async {
        let house = House::open(TWO_STEPS).await;
        let worker = house.worker("anvil").await;
        let (all, second) = (list(&[("one", true), ("goes", true)]), list(&[("two", true)]));
        let bytes = reports::encode(&second).unwrap();
        work_twice(&house, &worker, &all, Some((&bytes, reported(&second)))).await;
        let bad = list(&[("one", false)]);
        let lost = TestsReported { trouble: "it was not stored".to_owned(), ..TestsReported::default() };
        let strange = TestsReported { list: blake3::hash(b"no list").as_bytes().to_vec(), ..TestsReported::default() };
        let left_out = ("still-failing", "passing", "passing");
        let cases: [(SecondStep<'_>, _); 4] = [
            (None, ("newly-failing", "passing", "passing")),
            (Some((b"", lost)), left_out),
            (Some((b"no list", strange)), left_out),
            (Some((&bytes, reported(&second))), ("still-failing", "passing", "gone")),
        ];
        for (number, (second, expected)) in (2..).zip(cases) {
            work_twice(&house, &worker, &bad, second).await;
            until_read(&house, number).await;
            let page = tests(&house, "").await;
            let state = |name: &str| {
                let found = page.tests.iter().find(|test| test.name == name);
                found.map_or("", |test| test.state.as_str())
            };
            assert_eq!((state("one"), state("two"), state("goes")), expected, "build {number}");
        }
    });
}

/// Configures a command as the reporter. It keeps each notice that it gets as a line of a file.
fn keep_notices(config: &mut Config) {
    let tell = config.state.with_file_name("tell");
    std::fs::write(&tell, "#!/bin/sh\ncat > part\n{ cat part; echo; } >> notices\n").unwrap();
    std::fs::set_permissions(&tell, std::fs::Permissions::from_mode(0o755)).unwrap();
    let all = || vec!["*".to_owned()];
    let by = Means::Command(vec![tell.to_string_lossy().into_owned()]);
    config.notices = vec![NoticeConfig {
        events: vec![Transition::NewlyFailing],
        by,
        projects: all(),
        branches: all(),
        remind: None,
    }];
}

/// Waits for the first notice, and returns it.
async fn notice(house: &House) -> Value {
    let file = house.state().join("notices");
    until("a notice is told", || {
        let is_there = std::fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n'));
        Promise::from_future(async move { Ok(is_there) })
    })
    .await;
    serde_json::from_str(std::fs::read_to_string(&file).unwrap().lines().next().unwrap()).unwrap()
}

/// A notice names only the tests that fail newly, and not a test that passed and failed with one tree. That test failed in the first
/// build, whose step exited with 0.
#[test]
fn a_notice_names_the_tests_that_fail_newly() {
    run(async {
        let house = House::open_with(PIPELINE, keep_notices).await;
        let worker = house.worker("anvil").await;
        let (_, lease) = worker.take().await;
        lease.accept_request().send().promise.await.unwrap();
        let first = list(&[("works", true), ("old", false), ("wavers", true)]);
        store(&lease, &reports::encode(&first).unwrap()).await;
        end_as(&lease, Outcome::Succeeded, Exit::Code(0), reported(&first)).await;
        until_read(&house, 1).await;
        house.guild.run("demo", "main", "").await.unwrap();
        work(&worker, &list(&[("works", true), ("old", true), ("wavers", true)])).await;
        until_read(&house, 2).await;
        house.repo.commit("file", "2", "second");
        work(&worker, &list(&[("works", false), ("old", false), ("wavers", true)])).await;
        let told = notice(&house).await;
        let known = tests(&house, "").await.tests;
        let number = known.iter().find(|test| test.name == "works").unwrap().number;
        let named = json!([{"number": number, "name": "a.B › works"}]);
        let expected = json!({"newly_failing": named, "newly_failing_count": 1, "still_failing_count": 0,
            "flaky_count": 1});
        assert_eq!(told["jobs"][0]["tests"], expected, "the other one passed and failed in one tree: {told}");
        assert_eq!(told["jobs"][0]["step"]["failing_test_count"], 2);
    });
}

/// If a step does not write its test report, notice, page and command all give that as the reason, and not the exit code 0.
#[test]
fn a_step_that_lacks_its_report_says_so_everywhere() {
    run(async {
        let house = House::open_with(PIPELINE, |config| {
            keep_notices(config);
            config.listen.web = Some("127.0.0.1:0".to_owned());
            config.projects.get_mut("demo").unwrap().public = true;
        })
        .await;
        let worker = house.worker("anvil").await;
        let (_, lease) = worker.take().await;
        lease.accept_request().send().promise.await.unwrap();
        let lacks = "py.xml was not written";
        let tests = TestsReported { trouble: lacks.to_owned(), ..TestsReported::default() };
        end_as(&lease, Outcome::Failed, Exit::Code(0), tests).await;
        assert_eq!(house.guild.outcome("demo", 1).await.unwrap(), Outcome::Failed);
        let view = house.guild.build("demo", 1).await.unwrap();
        assert_eq!(client::words::why(&view.jobs[0]), "step 1 \"t\": py.xml was not written");
        let page = get(&format!("http://{}", house.web), "/p/demo/1/t", &[]).await.text();
        assert!(page.contains(lacks) && !page.contains("exit code 0"), "{page}");
        let told = notice(&house).await;
        assert_eq!((&told["step"]["exit"], &told["jobs"][0]["tests"]), (&json!(lacks), &Value::Null));
        let ended = step_ended(&house).await;
        let expected = Some(TestCounts::default());
        assert!(matches!(&ended, Fact::StepFinished { reason, tests, .. } if reason == lacks && *tests == expected));
    });
}

/// Whoever may see the log of a step can download the reports that its tool wrote, starting from the build.
#[test]
fn the_reports_of_a_step_can_be_had_as_they_are() {
    run(async {
        let house = House::open_with(PIPELINE, |config| {
            config.listen.web = Some("127.0.0.1:0".to_owned());
            config.projects.get_mut("demo").unwrap().public = true;
        })
        .await;
        let worker = house.worker("anvil").await;
        let archive: Vec<u8> = (0..700_000_u32).map(|at| at.to_le_bytes()[usize::from(at % 3 == 0)]).collect();
        let (_, lease) = worker.take().await;
        lease.accept_request().send().promise.await.unwrap();
        store_as(&lease, "tests/0/reports.tar.zst", &archive).await;
        let tests = list(&[("works", true)]);
        store(&lease, &reports::encode(&tests).unwrap()).await;
        end(&lease, reported(&tests)).await;
        house.guild.outcome("demo", 1).await.unwrap();
        let address = |step, job: &str| LogAddress {
            project: "demo".to_owned(),
            build: 1,
            job: job.to_owned(),
            attempt: 0,
            step,
        };
        let mut had = Vec::new();
        let size = client::reports::copy(&house.guild, &address(1, "t"), &mut had).await.unwrap();
        assert!(size == Some(700_000) && had == archive, "{size:?}, {} bytes", had.len());
        for missing in [address(2, "t"), address(1, "nobody")] {
            assert_eq!(client::reports::size(&house.guild, &missing).await.unwrap(), None, "{missing:?}");
        }
        let invalid = client::reports::size(&house.guild, &address(0, "t")).await.unwrap_err();
        assert!(invalid.to_string().contains("counted from 1"), "{invalid}");
        let site = format!("http://{}", house.web);
        let page = get(&site, "/p/demo/1/t/1", &[]).await.text();
        assert!(page.contains("href=\"/p/demo/1/t/1/reports.tar.zst\""), "{page}");
        let file = get(&site, "/p/demo/1/t/1/reports.tar.zst", &[]).await;
        assert!(file.status == 200 && file.body == archive, "{} {}", file.status, file.body.len());
        assert_eq!(get(&site, "/p/demo/1/t/2/reports.tar.zst", &[]).await.status, 404);
    });
}

/// Waits for the first event about the end of a step, and returns its fact.
async fn step_ended(house: &House) -> Fact {
    let filter = Filter { kinds: vec!["stepFinished".to_owned()], ..Filter::default() };
    let mut events = Events::new(&house.guild, filter, Cursor::default());
    loop {
        if let Told::Events { events, .. } = events.next().await.unwrap()
            && let Some(event) = events.first()
        {
            return event.fact.clone();
        }
    }
}
