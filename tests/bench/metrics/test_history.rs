//! The cost of a job with many tests: the time until they can be listed, the time of another client's commits meanwhile, and the time
//! of lists of tests. One list is of a branch with many jobs. The master, a played worker and the clients share this process, so
//! the figures include the time that they wait for each other.

use super::Bench;
use crate::figures::{at, sorted};
use crate::proc::peak_kib;
use client::{Guild, TestQuery};
use reports::{TestId, TestList, TestOutcome, TestResult};
use rusqlite::Connection;
use serde_json::json;
use std::time::{Duration, Instant};
use support::guild::House;
use support::tested::work;

/// The pipeline: a job with a test report, which each push builds. Only the played worker takes it.
const PIPELINE: &str = "version = 1\n[defaults]\nsource = \"none\"\n[job.t]\nrun = \"true\"\njunit = \"a.xml\"\n";
/// The name of the project of a [`House`].
const PROJECT: &str = "demo";
/// The pause between two commits of the other client.
const APART: Duration = Duration::from_millis(5);

pub async fn measure(bench: &Bench<'_>) {
    let house = House::open(PIPELINE).await;
    let worker = house.worker("tests").await;
    let other = house.worker("other").await;
    let guild = house.another_guild().await;
    guild.drain("other", true).await.expect("the worker is drained");
    let tests = bench.size(20_000, 100_000);
    let before = commits(&guild, Duration::from_secs(if bench.quick { 5 } else { 60 })).await;
    for (name, list) in [("first", list(tests, 0)), ("again", list(tests, 7))] {
        if name == "again" {
            house.guild.run(PROJECT, "main", "").await.expect("a build is asked for");
        }
        work(&worker, &list).await;
        let began = Instant::now();
        let (read, during) =
            tokio::join!(until_read(&house.guild, name, began), commits(&guild, Duration::from_secs(2)));
        let note = "from the end of the job until its tests are in the list";
        bench.figures.tell(&format!("tests_ingest_{name}"), read, "s", tests, json!({"tests": tests, "note": note}));
        tell_commits(bench, &format!("tests_commit_while_{name}"), during);
    }
    tell_commits(bench, "tests_commit_before", before);
    lists(bench, &house.guild).await;
    many_lanes(bench, &house).await;
    drop(other);
}

/// Returns a list of `count` tests with names of the usual length. One in 200 fails: those whose number modulo 200 is `failing`.
fn list(count: usize, failing: usize) -> TestList {
    let result = |number: usize| TestResult {
        id: TestId {
            suite: format!("pkg.module_{}.TestClass{}", number / 500, number / 50),
            name: format!("test_something_of_interest_{number}"),
            parameters: if number.is_multiple_of(3) { format!("{}-utf8", number % 7) } else { String::new() },
        },
        outcome: if number % 200 == failing { TestOutcome::Failed } else { TestOutcome::Passed },
        duration_us: Some(500 + (number as u64 * 7_919) % 90_000),
        file: format!("tests/module_{}.py", number / 500),
        ..TestResult::default()
    };
    TestList { results: (0..count).map(result).collect(), trouble: String::new() }
}

/// Waits until the tests of the job are in the list of failing tests. Returns the seconds since `began`.
async fn until_read(guild: &Guild, name: &str, began: Instant) -> f64 {
    let builds = if name == "first" { 1 } else { 2 };
    let query = TestQuery { project: PROJECT.to_owned(), shown: "failing".to_owned(), ..TestQuery::default() };
    loop {
        let page = guild.tests(&query).await.expect("a list of tests");
        let newest = page.tests.first().map_or(0, |test| test.results.len());
        if newest >= builds {
            return began.elapsed().as_secs_f64();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Makes the master commit something small again and again for this long. Returns the seconds of each call.
async fn commits(guild: &Guild, length: Duration) -> Vec<f64> {
    let (began, mut times, mut on) = (Instant::now(), Vec::new(), true);
    while began.elapsed() < length {
        let asked = Instant::now();
        guild.hold("other", if on { "measured" } else { "measured again" }).await.expect("the worker is held");
        times.push(asked.elapsed().as_secs_f64());
        on = !on;
        tokio::time::sleep(APART).await;
    }
    times
}

fn tell_commits(bench: &Bench<'_>, name: &str, times: Vec<f64>) {
    let times = sorted(times);
    let note = "a commit of another client, from asking to its answer";
    bench.figures.tell(&format!("{name}_p99"), 1e3 * at(&times, 0.99), "ms", times.len(), json!({"note": note}));
    bench.figures.tell_ms(name, &times, &json!({"note": note}));
}

async fn lists(bench: &Bench<'_>, guild: &Guild) {
    for (shown, search) in [("", ""), ("failing", ""), ("flaky", ""), ("slow", ""), ("", "interest_777")] {
        let query = TestQuery {
            project: PROJECT.to_owned(),
            shown: shown.to_owned(),
            search: search.to_owned(),
            ..TestQuery::default()
        };
        let mut times = Vec::new();
        for _ in 0..bench.size(5, 20) {
            let began = Instant::now();
            guild.tests(&query).await.expect("a list of tests");
            times.push(began.elapsed().as_secs_f64());
        }
        let name = match (shown, search) {
            ("", "") => "all",
            ("", _) => "search",
            (shown, _) => shown,
        };
        bench.figures.tell_ms(&format!("tests_list_{name}"), &times, &json!({"note": "100 tests, by RPC"}));
    }
}

/// Measures the time and the memory of the list of a branch with many jobs, each with as many tests. Their lanes are copies of the
/// lane of the job that ran.
async fn many_lanes(bench: &Bench<'_>, house: &House) {
    let lanes = bench.size(10, 40);
    let store = Connection::open(house.state().join("guild.db")).expect("the store opens");
    let copies = "with recursive run (n) as (select 1 union all select n + 1 from run where n < 100), \
                  lane (n) as (select 1 union all select n + 1 from lane where n < ?1) \
                  insert into test_runs (project, ref, job, ref_update, number, build, idx, tree, is_whole, is_together, \
                  has_mixed, verdicts, durations) \
                  select project, ref, job || lane.n, ref_update, 1000 + run.n, build, lane.n, tree, is_whole, is_together, \
                  has_mixed, verdicts, case when run.n > 80 then durations end \
                  from (select * from test_runs order by build desc limit 1), run, lane";
    store.execute(copies, [i64::try_from(lanes).expect("there are few lanes")]).expect("lanes are copied");
    // this resets the peak of the memory that the kernel reports
    std::fs::write("/proc/self/clear_refs", "5").expect("the peak is reset");
    let (own, mut times) = (std::process::id(), Vec::new());
    let before = peak_kib(own);
    for _ in 0..bench.size(3, 10) {
        let began = Instant::now();
        let query = TestQuery { project: PROJECT.to_owned(), ..TestQuery::default() };
        let page = house.guild.tests(&query).await.expect("a list of tests");
        assert!(page.count as usize > lanes, "the lanes are in the list");
        times.push(began.elapsed().as_secs_f64());
    }
    let detail = json!({"lanes": lanes, "runs": 100, "note": "what the lists of all lanes take more than before them"});
    bench.figures.tell("tests_lanes_peak", (peak_kib(own) - before) / 1024.0, "MiB", lanes, detail);
    bench.figures.tell_ms("tests_lanes_list", &times, &json!({"lanes": lanes, "runs": 100}));
}
