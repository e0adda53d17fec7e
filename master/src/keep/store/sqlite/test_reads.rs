//! The history of tests as people ask for it: the tests of a ref, and one test in all lanes. A run has a byte for each test, so a
//! question reads runs, and names only of the tests that it answers.

use super::tables::Tables;
use crate::decide::test_history::{
    EarlierRuns, Flakiness, RUNS_KEPT, TestResult, TestStanding, TestState, TreeResult, Verdict, flakiness, median,
    standing,
};
use crate::keep::store::test_rows::{
    LaneOfTest, TestFilter, TestHistory, TestLane, TestLine, TestPage, TestPoint, TestRunRow, TestsShown,
};
use rusqlite::params;
use std::collections::{BTreeMap, BTreeSet};

/// The newest runs of a project by which tests are flaky: what was flaky before is long mended, or forgotten.
const FLAKY_RUNS: usize = 500;
/// The newest runs of the lane with which a young one is compared.
const BASE_RUNS: usize = 20;
/// The newest results of a test that a list shows.
const POINTS_SHOWN: usize = 20;
/// The lanes of one test that are shown: those that ran last.
const LANES_SHOWN: usize = 40;

/// A job and the number of a test.
type JobTest = (String, u32);

/// A lane with all that is kept of it.
struct OpenLane {
    lane: TestLane,
    /// The newest one stands first.
    runs: Vec<TestRunRow>,
    /// Those of the lane with which this one is compared, the newest first.
    base: Vec<TestRunRow>,
    earlier: EarlierRuns,
}

impl OpenLane {
    fn standing(&self, test: u32) -> Option<TestStanding> {
        let results = self.runs.iter().chain(&self.base).map(|run| result_of(run, test));
        standing(results, self.earlier.failing.get(&test).copied())
    }

    fn points(&self, test: u32, most: usize) -> Vec<TestPoint> {
        self.runs.iter().take(most).map(|run| point_of(run, test)).collect()
    }

    fn duration_us(&self, test: u32) -> Option<u64> {
        median(self.runs.iter().map(|run| byte_of(&run.durations, test)))
    }

    /// More than the highest number of its tests.
    fn test_end(&self) -> u32 {
        let lengths = self.runs.iter().chain(&self.base).map(|run| run.verdicts.len());
        u32::try_from(lengths.max().unwrap_or(0)).unwrap_or(u32::MAX)
    }
}

impl Tables<'_> {
    pub(crate) fn tests_of_ref(self, filter: &TestFilter) -> rusqlite::Result<TestPage> {
        let lanes = self.open_lanes(filter)?;
        let flaky = self.flaky_tests(&filter.project)?;
        let found = self.numbers_of(&filter.project, &filter.search)?;
        let mut chosen = Vec::new();
        for (at, lane) in lanes.iter().enumerate() {
            for test in (0..lane.test_end()).filter(|test| found.as_ref().is_none_or(|found| found.contains(test))) {
                let Some(standing) = lane.standing(test) else { continue };
                let flakiness = flaky.get(&(lane.lane.job.clone(), test)).copied().unwrap_or_default();
                let duration_us = if filter.shown == TestsShown::Slow { lane.duration_us(test) } else { None };
                if is_shown(filter.shown, standing.state, flakiness, duration_us) {
                    chosen.push((
                        rank(filter.shown, standing.state, flakiness, duration_us),
                        test,
                        at,
                        standing,
                        flakiness,
                    ));
                }
            }
        }
        chosen.sort_by_key(|(rank, test, at, ..)| (*rank, *test, *at));
        let count = u32::try_from(chosen.len()).unwrap_or(u32::MAX);
        let mut lines = Vec::new();
        for (_, test, at, standing, flakiness) in chosen.into_iter().skip(filter.skip).take(filter.limit) {
            let lane = &lanes[at];
            let Some(name) = self.test(&filter.project, test)? else { continue };
            lines.push(TestLine {
                number: test,
                name,
                job: lane.lane.job.clone(),
                standing,
                flakiness,
                duration_us: lane.duration_us(test),
                points: lane.points(test, POINTS_SHOWN),
            });
        }
        Ok(TestPage { lines, count })
    }

    pub(crate) fn test_history(self, project: &str, number: u32) -> rusqlite::Result<Option<TestHistory>> {
        let Some(name) = self.test(project, number)? else { return Ok(None) };
        let recent = self.recent_runs(project)?;
        let mut lanes = Vec::new();
        for lane in distinct_lanes(&recent) {
            let lane = self.open_lane(lane, None)?;
            let Some(standing) = lane.standing(number) else { continue };
            let flakiness = flakiness_of(recent.iter().filter(|run| run.lane.job == lane.lane.job), number);
            let (duration_us, points) = (lane.duration_us(number), lane.points(number, RUNS_KEPT));
            lanes.push(LaneOfTest { lane: lane.lane, standing, flakiness, duration_us, points });
            if lanes.len() == LANES_SHOWN {
                break;
            }
        }
        Ok(Some(TestHistory { number, name, lanes }))
    }

    fn open_lanes(self, filter: &TestFilter) -> rusqlite::Result<Vec<OpenLane>> {
        let jobs = self.tested_jobs(&filter.project, &filter.ref_name)?;
        let jobs = jobs.into_iter().filter(|job| filter.job.is_empty() || filter.job == *job);
        let lane = |job| TestLane { project: filter.project.clone(), ref_name: filter.ref_name.clone(), job };
        jobs.map(|job| self.open_lane(lane(job), Some(filter.base_ref.as_str()))).collect()
    }

    /// A lane that has forgotten nothing yet is young: it is compared with the lane of the same job of another ref.
    fn open_lane(self, lane: TestLane, base_ref: Option<&str>) -> rusqlite::Result<OpenLane> {
        let runs = self.test_runs(&lane, RUNS_KEPT)?;
        let earlier = self.earlier_tests(&lane)?;
        let base_ref =
            base_ref.filter(|base| !base.is_empty() && *base != lane.ref_name && earlier == EarlierRuns::default());
        let base = match base_ref {
            Some(base) => self.test_runs(&TestLane { ref_name: base.to_owned(), ..lane.clone() }, BASE_RUNS)?,
            None => Vec::new(),
        };
        Ok(OpenLane { lane, runs, base, earlier })
    }

    /// The tests of a project that are flaky, by job.
    fn flaky_tests(self, project: &str) -> rusqlite::Result<BTreeMap<JobTest, Flakiness>> {
        let recent = self.recent_runs(project)?;
        let mut by_job: BTreeMap<&str, Vec<&TestRunRow>> = BTreeMap::new();
        recent.iter().for_each(|run| by_job.entry(&run.lane.job).or_default().push(run));
        let mut flaky = BTreeMap::new();
        for (job, runs) in by_job {
            for test in candidates(&runs) {
                let found = flakiness_of(runs.iter().copied(), test);
                if found.flaky > 0 {
                    flaky.insert((job.to_owned(), test), found);
                }
            }
        }
        Ok(flaky)
    }

    /// The newest runs of a project, the newest first.
    fn recent_runs(self, project: &str) -> rusqlite::Result<Vec<TestRunRow>> {
        self.newest_test_runs(project, FLAKY_RUNS)
    }

    /// The tests whose suite, name or parameters have a text. None: there is no text to look for.
    fn numbers_of(self, project: &str, search: &str) -> rusqlite::Result<Option<BTreeSet<u32>>> {
        if search.is_empty() {
            return Ok(None);
        }
        let sql = "select number from tests where project = ?1 \
                   and instr(lower(suite || ' › ' || name || '[' || parameters || ']'), lower(?2)) > 0";
        self.0
            .prepare_cached(sql)?
            .query_map(params![project, search], |row| row.get(0))?
            .collect::<Result<_, _>>()
            .map(Some)
    }
}

fn byte_of(bytes: &[u8], test: u32) -> u8 {
    bytes.get(test as usize).copied().unwrap_or(0)
}

fn result_of(run: &TestRunRow, test: u32) -> TestResult {
    let verdict = Verdict::of_code(byte_of(&run.verdicts, test));
    TestResult { build: run.order.1, verdict, is_whole: run.is_whole }
}

fn point_of(run: &TestRunRow, test: u32) -> TestPoint {
    let duration_us = crate::decide::test_history::duration_of_code(byte_of(&run.durations, test));
    TestPoint { build: run.order.1, verdict: Verdict::of_code(byte_of(&run.verdicts, test)), duration_us }
}

fn flakiness_of<'a>(runs: impl Iterator<Item = &'a TestRunRow>, test: u32) -> Flakiness {
    flakiness(runs.map(|run| TreeResult {
        tree: &run.tree,
        verdict: Verdict::of_code(byte_of(&run.verdicts, test)),
        is_together: run.is_together,
    }))
}

/// The tests of a job that can be flaky. They failed in a tree that has several runs, or passed when they were tried again.
fn candidates(runs: &[&TestRunRow]) -> BTreeSet<u32> {
    let mut of_tree: BTreeMap<&str, u32> = BTreeMap::new();
    runs.iter().for_each(|run| *of_tree.entry(&run.tree).or_default() += 1);
    let repeated = runs.iter().filter(|run| of_tree.get(run.tree.as_str()).is_some_and(|count| *count > 1));
    let failed = repeated.flat_map(|run| tests_with(run, Verdict::is_bad));
    let mixed = runs.iter().flat_map(|run| tests_with(run, |verdict| verdict == Verdict::Mixed));
    failed.chain(mixed).collect()
}

fn tests_with(run: &TestRunRow, is: impl Fn(Verdict) -> bool) -> impl Iterator<Item = u32> {
    (0..).zip(&run.verdicts).filter(move |(_, code)| is(Verdict::of_code(**code))).map(|(test, _)| test)
}

fn distinct_lanes(runs: &[TestRunRow]) -> Vec<TestLane> {
    let mut seen = BTreeSet::new();
    runs.iter().filter(|run| seen.insert(&run.lane)).map(|run| run.lane.clone()).collect()
}

fn is_shown(shown: TestsShown, state: TestState, flakiness: Flakiness, duration_us: Option<u64>) -> bool {
    match shown {
        TestsShown::All => true,
        TestsShown::Failing => state.is_bad(),
        TestsShown::New => state == TestState::NewlyFailing,
        TestsShown::Flaky => flakiness.flaky > 0,
        TestsShown::Slow => duration_us.is_some() && state != TestState::Gone,
    }
}

/// Where a test stands in a list: the lowest first.
fn rank(shown: TestsShown, state: TestState, flakiness: Flakiness, duration_us: Option<u64>) -> (u64, TestState) {
    let most_first = match shown {
        TestsShown::All | TestsShown::Failing | TestsShown::New => 0,
        TestsShown::Flaky => u64::from(flakiness.flaky),
        TestsShown::Slow => duration_us.unwrap_or(0),
    };
    (u64::MAX - most_first, state)
}
