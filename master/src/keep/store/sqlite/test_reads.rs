//! Answers questions about the history of tests: the tests of a ref, and one test in all lanes. A run has a byte for each test,
//! so a question reads runs first, and names only for the tests that it returns.

use super::tables::Tables;
use super::tables::test_runs::RunHead;
use crate::decide::coordinator::record::JobKey;
use crate::decide::test_history::flakiness::{Flakiness, FlakinessOfJob, TreeResult, flakiness};
use crate::decide::test_history::{
    DURATIONS_KEPT, EarlierRuns, RUNS_KEPT, TestResult, TestStanding, TestState, Verdict, median, standing,
};
use crate::keep::store::test_rows::{
    FailuresOfRun, LaneOfTest, SortedFailures, TestFilter, TestHistory, TestLane, TestLine, TestName, TestPage,
    TestPoint, TestRunRow, TestsShown,
};
use rusqlite::params;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// The number of newest runs of a project that decide whether a test is flaky. Older runs say little about the tests of today.
const FLAKY_RUNS: usize = 500;
/// The number of newest results of a test that a list shows. As many durations are kept.
const POINTS_SHOWN: usize = DURATIONS_KEPT;
/// The number of lanes that are opened for one test: those that ran last.
const LANES_SHOWN: usize = 40;

/// A lane with all runs that are kept of it.
struct OpenLane {
    lane: TestLane,
    /// The runs of the lane, the newest first.
    runs: Vec<TestRunRow>,
    /// The runs of the lane with which this young lane is compared, the newest first: only those that came before this lane began.
    base: Vec<TestRunRow>,
    /// The tests that failed at the end of all earlier runs, each with the build in which that began.
    failing: BTreeMap<u32, u32>,
}

impl OpenLane {
    fn standing(&self, test: u32) -> Option<TestStanding> {
        let results = self.runs.iter().chain(&self.base).map(|run| result_of(run, test));
        standing(results, self.failing.get(&test).copied())
    }

    /// Returns one more than the highest number of its tests.
    fn test_end(&self) -> u32 {
        let lengths = self.runs.iter().chain(&self.base).map(|run| run.verdicts.len());
        u32::try_from(lengths.max().unwrap_or(0)).unwrap_or(u32::MAX)
    }
}

/// A test in a lane that a list may show as a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ChosenTest {
    /// The rank of the test in the list: the lowest comes first.
    rank: (u64, TestState),
    number: u32,
    /// The index of its lane among the lanes of the ref.
    lane: usize,
    standing: TestStanding,
    flakiness: Flakiness,
}

/// The first tests of a list. The tests behind them are only counted, because all lanes of a ref may have a great many.
struct FirstTests {
    most: usize,
    first: BinaryHeap<ChosenTest>,
    count: u32,
}

impl FirstTests {
    fn new(most: usize) -> FirstTests {
        FirstTests { most, first: BinaryHeap::new(), count: 0 }
    }

    fn add(&mut self, test: ChosenTest) {
        self.count = self.count.saturating_add(1);
        self.first.push(test);
        if self.first.len() > self.most {
            self.first.pop();
        }
    }
}

impl Tables<'_> {
    /// Answers a question for the tests of a ref. It opens one lane at a time, so that its memory does not grow with their
    /// number.
    pub(crate) fn tests_of_ref(self, filter: &TestFilter) -> rusqlite::Result<TestPage> {
        let found = self.numbers_of(&filter.project, &filter.search)?;
        let recent = self.newest_run_heads(&filter.project, FLAKY_RUNS)?;
        let lanes = self.lanes_of(filter)?;
        let mut tests = FirstTests::new(filter.skip.saturating_add(filter.limit));
        for (at, lane) in lanes.iter().enumerate() {
            let flaky = self.flaky_tests(&recent, &lane.job)?;
            let lane = self.open_lane(lane.clone(), &filter.base_ref)?;
            for test in (0..lane.test_end()).filter(|test| found.as_ref().is_none_or(|found| found.contains(test))) {
                let flakiness = flaky.get(&test).copied().unwrap_or_default();
                chosen(filter.shown, &lane, at, test, flakiness).into_iter().for_each(|test| tests.add(test));
            }
        }
        let shown: Vec<ChosenTest> = tests.first.into_sorted_vec().into_iter().skip(filter.skip).collect();
        Ok(TestPage { lines: self.lines(filter, &lanes, &shown)?, count: tests.count })
    }

    /// Returns the lines of the chosen tests, in their order. It opens one lane at a time.
    fn lines(self, filter: &TestFilter, lanes: &[TestLane], shown: &[ChosenTest]) -> rusqlite::Result<Vec<TestLine>> {
        let mut lines = Vec::new();
        for at in shown.iter().map(|test| test.lane).collect::<BTreeSet<_>>() {
            let runs = self.test_runs(&lanes[at], POINTS_SHOWN)?;
            for (place, test) in shown.iter().enumerate().filter(|(_, test)| test.lane == at) {
                let Some(name) = self.test(&filter.project, test.number)? else { continue };
                lines.push((place, line_of(test, name, &lanes[at], &runs)));
            }
        }
        lines.sort_by_key(|(place, _)| *place);
        Ok(lines.into_iter().map(|(_, line)| line).collect())
    }

    pub(crate) fn test_history(
        self,
        project: &str,
        number: u32,
        base_ref: &str,
    ) -> rusqlite::Result<Option<TestHistory>> {
        let Some(name) = self.test(project, number)? else { return Ok(None) };
        let recent = self.newest_run_heads(project, FLAKY_RUNS)?;
        let verdict = |run| Ok(Verdict::of_code(byte_of(&self.run_verdicts(run)?, number)));
        let verdicts: Vec<Verdict> = recent.iter().map(verdict).collect::<rusqlite::Result<_>>()?;
        let mut lanes = Vec::new();
        for lane in lanes_to_open(recent.iter().map(|run| &run.lane).zip(verdicts.iter().copied())) {
            let lane = self.open_lane(lane.clone(), base_ref)?;
            let Some(standing) = lane.standing(number) else { continue };
            let of_job = recent.iter().zip(&verdicts).filter(|(run, _)| run.lane.job == lane.lane.job);
            let of_job = of_job.map(|(run, verdict)| tree_result(run, *verdict));
            lanes.push(LaneOfTest {
                standing,
                flakiness: flakiness(of_job),
                duration_us: duration_us(&lane.runs, number),
                points: points(&lane.runs, number, RUNS_KEPT),
                lane: lane.lane,
            });
        }
        Ok(Some(TestHistory { number, name, lanes }))
    }

    /// Sorts the failed tests of a run by their states in the lane, as these were when the run was the newest one.
    pub(crate) fn failures_of_run(
        self,
        (lane, key): (TestLane, JobKey),
        base_ref: &str,
        limit: usize,
    ) -> rusqlite::Result<FailuresOfRun> {
        if self.is_unread(key)? {
            return Ok(FailuresOfRun::Unread);
        }
        let mut lane = self.open_lane(lane, base_ref)?;
        let Some(place) = lane.runs.iter().position(|run| run.key == key) else { return Ok(FailuresOfRun::Unknown) };
        lane.runs.drain(..place);
        let recent = self.newest_run_heads(&lane.lane.project, FLAKY_RUNS)?;
        let flaky = self.flaky_tests(&recent, &lane.lane.job)?;
        let mut sorted = SortedFailures::default();
        for (test, code) in (0..).zip(&lane.runs[0].verdicts) {
            if !Verdict::of_code(*code).is_bad() {
                continue;
            }
            let is_new = lane.standing(test).is_some_and(|it| it.state == TestState::NewlyFailing);
            match (is_new, flaky.contains_key(&test)) {
                (false, _) => sorted.known_count += 1,
                (true, true) => sorted.flaky_count += 1,
                (true, false) => {
                    sorted.new_count += 1;
                    let name = if sorted.new.len() < limit { self.test(&lane.lane.project, test)? } else { None };
                    sorted.new.extend(name.map(|name| (test, name)));
                }
            }
        }
        Ok(FailuresOfRun::Known(sorted))
    }

    /// Returns the lanes of a ref that a filter asks for.
    fn lanes_of(self, filter: &TestFilter) -> rusqlite::Result<Vec<TestLane>> {
        let jobs = self.tested_jobs(&filter.project, &filter.ref_name)?;
        let jobs = jobs.into_iter().filter(|job| filter.job.is_empty() || filter.job == *job);
        let lane = |job| TestLane { project: filter.project.clone(), ref_name: filter.ref_name.clone(), job };
        Ok(jobs.map(lane).collect())
    }

    /// Opens a lane. A lane that has forgotten no run yet is young, and is compared with the lane of the same job of
    /// `base_ref`. Only what that lane had when the young one began counts.
    fn open_lane(self, lane: TestLane, base_ref: &str) -> rusqlite::Result<OpenLane> {
        let runs = self.test_runs(&lane, RUNS_KEPT)?;
        let earlier = self.earlier_tests(&lane)?;
        let is_compared = !base_ref.is_empty() && base_ref != lane.ref_name && earlier == EarlierRuns::default();
        let first = runs.iter().map(|run| run.order.1).min();
        let Some(first) = first.filter(|_| is_compared) else {
            return Ok(OpenLane { lane, runs, base: Vec::new(), failing: earlier.failing });
        };
        let base_lane = TestLane { ref_name: base_ref.to_owned(), ..lane.clone() };
        let mut failing = self.earlier_tests(&base_lane)?.failing;
        // the base lane may have forgotten runs that are newer than the young lane
        failing.retain(|_, since| *since < first);
        Ok(OpenLane { lane, runs, base: self.test_runs_before(&base_lane, first)?, failing })
    }

    /// Returns the flaky tests of a job, by their numbers.
    fn flaky_tests(self, recent: &[RunHead], job: &str) -> rusqlite::Result<BTreeMap<u32, Flakiness>> {
        let mut runs: Vec<&RunHead> = recent.iter().filter(|run| run.lane.job == job).collect();
        runs.sort_by_key(|run| &run.tree);
        let mut tests = FlakinessOfJob::default();
        for run in runs {
            tests.add(&run.tree, run.is_together, &self.run_verdicts(run)?);
        }
        Ok(tests.flaky())
    }

    /// Returns the numbers of the tests whose suite, name or parameters contain a text; `None` means that there is no text to
    /// search for.
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

/// Returns the entry of a test in a list; `None` means that the list does not show it.
fn chosen(shown: TestsShown, lane: &OpenLane, at: usize, test: u32, flakiness: Flakiness) -> Option<ChosenTest> {
    let standing = lane.standing(test)?;
    let duration_us = if shown == TestsShown::Slow { duration_us(&lane.runs, test) } else { None };
    is_shown(shown, standing.state, flakiness, duration_us).then(|| ChosenTest {
        rank: rank(shown, standing.state, flakiness, duration_us),
        number: test,
        lane: at,
        standing,
        flakiness,
    })
}

/// Returns the line of a test. `runs` are the newest runs of the lane, and include all runs that have durations.
fn line_of(test: &ChosenTest, name: TestName, lane: &TestLane, runs: &[TestRunRow]) -> TestLine {
    TestLine {
        number: test.number,
        name,
        job: lane.job.clone(),
        standing: test.standing,
        flakiness: test.flakiness,
        duration_us: duration_us(runs, test.number),
        points: points(runs, test.number, POINTS_SHOWN),
    }
}

fn points(runs: &[TestRunRow], test: u32, most: usize) -> Vec<TestPoint> {
    runs.iter().take(most).map(|run| point_of(run, test)).collect()
}

fn duration_us(runs: &[TestRunRow], test: u32) -> Option<u64> {
    median(runs.iter().map(|run| byte_of(&run.durations, test)))
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

fn tree_result(run: &RunHead, verdict: Verdict) -> TreeResult<'_> {
    TreeResult { tree: &run.tree, verdict, is_together: run.is_together }
}

/// Returns the lanes to open for one test, those with the newest runs first. If there are too many, lanes whose recent runs
/// have the test are chosen before the others.
fn lanes_to_open<'a>(recent: impl Iterator<Item = (&'a TestLane, Verdict)>) -> Vec<&'a TestLane> {
    let mut lanes: Vec<(&TestLane, bool)> = Vec::new();
    for (lane, verdict) in recent {
        let has_it = verdict != Verdict::Absent;
        match lanes.iter_mut().find(|(known, _)| *known == lane) {
            Some((_, had_it)) => *had_it |= has_it,
            None => lanes.push((lane, has_it)),
        }
    }
    let mut order: Vec<usize> = (0..lanes.len()).collect();
    order.sort_by_key(|at| !lanes[*at].1);
    order.truncate(LANES_SHOWN);
    order.sort_unstable();
    order.into_iter().map(|at| lanes[at].0).collect()
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

/// Returns the rank of a test in a list: the lowest comes first.
fn rank(shown: TestsShown, state: TestState, flakiness: Flakiness, duration_us: Option<u64>) -> (u64, TestState) {
    let most_first = match shown {
        TestsShown::All | TestsShown::Failing | TestsShown::New => 0,
        TestsShown::Flaky => u64::from(flakiness.flaky),
        TestsShown::Slow => duration_us.unwrap_or(0),
    };
    (u64::MAX - most_first, state)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(number: usize) -> TestLane {
        TestLane { ref_name: format!("refs/heads/{number}"), ..TestLane::default() }
    }

    #[test]
    fn a_list_holds_no_more_than_it_may_show() {
        let standing = TestStanding { state: TestState::Passing, first_bad: 0, last_good: 1 };
        let test = |number: u32| ChosenTest {
            rank: (0, TestState::Passing),
            number,
            lane: 0,
            standing,
            flakiness: Flakiness::default(),
        };
        let mut tests = FirstTests::new(3);
        for number in [5, 9, 1, 8, 0, 7] {
            tests.add(test(number));
            assert!(tests.first.len() <= 3);
        }
        let numbers: Vec<u32> = tests.first.into_sorted_vec().iter().map(|test| test.number).collect();
        assert_eq!((numbers, tests.count), (vec![0, 1, 5], 6));
    }

    #[test]
    fn the_lanes_that_are_opened_are_few() {
        let lanes: Vec<TestLane> = (0..100).map(lane).collect();
        let opened = |has_it: &dyn Fn(usize) -> bool| {
            let verdict = |at: usize| if has_it(at) { Verdict::Passed } else { Verdict::Absent };
            // the newest run of each lane lacks the test, and the older one may have it
            let recent = lanes.iter().enumerate().flat_map(|(at, lane)| [(lane, Verdict::Absent), (lane, verdict(at))]);
            lanes_to_open(recent).into_iter().cloned().collect::<Vec<_>>()
        };
        assert_eq!(opened(&|_| true), lanes[..LANES_SHOWN]);
        assert_eq!(opened(&|_| false), lanes[..LANES_SHOWN], "they may have had it before");
        let wanted: Vec<TestLane> = (0..LANES_SHOWN - 1).chain([99]).map(lane).collect();
        assert_eq!(opened(&|at| at == 99), wanted, "the one that has it is among them");
    }
}
