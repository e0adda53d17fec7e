//! What a worker tells of the tests of a step, from its word to what people see: the view of a build, the history of a lane,
//! lists. The worker is played by hand, so that it can say anything.

use capnp::capability::Promise;
use client::views::TestView;
use client::{TestQuery, TestsPage};
use master::program::test_intake::{IntakeState, TestIntake};
use reports::{TestId, TestList, TestOutcome, TestResult};
use schema::values::{Outcome, TestsReported};
use support::guild::{House, run, until};
use support::http::get;
use support::tested::{end, store, work};

const PIPELINE: &str = "version = 1\n[job.t]\nrun = \"true\"\n";

/// A list with these tests, each of which passed or failed.
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

/// Waits until the lists of this many builds were read.
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
        // the same commit again: what differs then is flaky
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
