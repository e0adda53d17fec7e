//! The history of tests: the state of each test in its lane, by the lane's runs. This file is the definition for pages, commands and
//! notices. [`flakiness`] defines which tests are flaky. Pure.
//!
//! A run is one job of one build that reported its tests. Runs have the order of a lane's results: by the update of the ref, and within
//! an update by the build's number. So neither the order in which builds finish nor the order in which their lists are read makes a
//! difference.

pub mod flakiness;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The number of a lane's newest runs that are kept. A person looks at a few dozen. Older runs are kept as a summary, in
/// [`EarlierRuns`].
pub const RUNS_KEPT: usize = 100;
/// The number of a lane's newest runs whose durations are kept. It is enough for a median that one slow run does not move.
pub const DURATIONS_KEPT: usize = 20;
/// If more than this percentage of a run's tests failed, the failures have one cause, such as a service, a disk or a build.
const TOGETHER_PERCENT: usize = 20;
/// The least number of failed tests that can have one cause in common, because one failed test has nothing in common with others.
const TOGETHER_MIN: usize = 2;

/// The result of one test in one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The run has no such test.
    #[default]
    Absent,
    Skipped,
    Passed,
    /// The test failed, and then passed when its tool ran it again.
    Mixed,
    /// The test could not run as it should.
    Errored,
    Failed,
}

impl Verdict {
    /// The byte that stands for this verdict in the store.
    pub const fn code(self) -> u8 {
        match self {
            Verdict::Absent => 0,
            Verdict::Passed => 1,
            Verdict::Failed => 2,
            Verdict::Errored => 3,
            Verdict::Skipped => 4,
            Verdict::Mixed => 5,
        }
    }

    /// The verdict of a byte. A byte that only a newer version knows counts as absent.
    pub fn of_code(code: u8) -> Verdict {
        match code {
            1 => Verdict::Passed,
            2 => Verdict::Failed,
            3 => Verdict::Errored,
            4 => Verdict::Skipped,
            5 => Verdict::Mixed,
            _ => Verdict::Absent,
        }
    }

    pub const fn is_bad(self) -> bool {
        matches!(self, Verdict::Failed | Verdict::Errored)
    }

    pub const fn is_good(self) -> bool {
        matches!(self, Verdict::Passed | Verdict::Mixed)
    }

    /// Whether the test ran at all.
    pub const fn has_run(self) -> bool {
        self.is_bad() || self.is_good()
    }
}

/// The place of a run in its lane: the update of the ref, and the number of the build.
pub type RunOrder = (u32, u32);

/// A `TestResult` is what one run says about one test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestResult {
    /// The number of the build.
    pub build: u32,
    pub verdict: Verdict,
    /// Whether the report of the run is whole. If the report was cut, the absence of a test means nothing.
    pub is_whole: bool,
}

impl TestResult {
    /// Whether this result says anything about the test.
    fn says(&self) -> bool {
        self.verdict != Verdict::Absent || self.is_whole
    }
}

/// The state of a test in a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TestState {
    /// The test fails, and did not fail in its previous run.
    NewlyFailing,
    StillFailing,
    /// The test passes, and failed in its previous run.
    Fixed,
    /// The test passes, and the earlier runs did not have it.
    New,
    /// The test passes, and did not fail in its previous run.
    Passing,
    Skipped,
    /// The newest run no longer has the test.
    Gone,
}

impl TestState {
    pub const ALL: [TestState; 7] = [
        TestState::NewlyFailing,
        TestState::StillFailing,
        TestState::Fixed,
        TestState::New,
        TestState::Passing,
        TestState::Skipped,
        TestState::Gone,
    ];

    /// The word for this state on the wire and on pages.
    pub const fn word(self) -> &'static str {
        match self {
            TestState::NewlyFailing => "newly-failing",
            TestState::StillFailing => "still-failing",
            TestState::Fixed => "fixed",
            TestState::New => "new",
            TestState::Passing => "passing",
            TestState::Skipped => "skipped",
            TestState::Gone => "gone",
        }
    }

    pub const fn is_bad(self) -> bool {
        matches!(self, TestState::NewlyFailing | TestState::StillFailing)
    }
}

/// The state of a test in a lane, and the builds at which it changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TestStanding {
    pub state: TestState,
    /// The build in which the present series of failures began. 0 means that the test does not fail.
    pub first_bad: u32,
    /// The newest build in which the test passed. 0 means that none is known, or that the test is skipped or gone.
    pub last_good: u32,
}

/// The state of a test by the results of its lane, the newest first. `failing_since` is the build in which its failures began, if it
/// was failing at the end of the runs before these. If a lane is young, the results of another lane follow its own, so that it is
/// compared with that one. `None` means that no run has the test.
pub fn standing(results: impl Iterator<Item = TestResult>, failing_since: Option<u32>) -> Option<TestStanding> {
    let mut telling = results.filter(TestResult::says);
    let newest = telling.next()?;
    let without_marks = |state| TestStanding { state, first_bad: 0, last_good: 0 };
    match newest.verdict {
        Verdict::Absent => {
            let was_there = failing_since.is_some() || telling.any(|result| result.verdict != Verdict::Absent);
            was_there.then(|| without_marks(TestState::Gone))
        }
        Verdict::Skipped => Some(without_marks(TestState::Skipped)),
        Verdict::Failed | Verdict::Errored => Some(failing(newest.build, telling, failing_since)),
        Verdict::Passed | Verdict::Mixed => {
            Some(TestStanding { last_good: newest.build, ..without_marks(passing(telling, failing_since)) })
        }
    }
}

fn failing(newest: u32, past: impl Iterator<Item = TestResult>, since: Option<u32>) -> TestStanding {
    let mut standing = TestStanding { state: TestState::NewlyFailing, first_bad: newest, last_good: 0 };
    for result in past.filter(|result| result.verdict.has_run()) {
        if result.verdict.is_good() {
            return TestStanding { last_good: result.build, ..standing };
        }
        standing = TestStanding { state: TestState::StillFailing, first_bad: result.build, last_good: 0 };
    }
    since.map_or(standing, |first_bad| TestStanding { state: TestState::StillFailing, first_bad, last_good: 0 })
}

fn passing(past: impl Iterator<Item = TestResult>, failing_since: Option<u32>) -> TestState {
    let (mut is_first, mut was_there) = (true, false);
    for result in past {
        match result.verdict {
            Verdict::Failed | Verdict::Errored => return TestState::Fixed,
            Verdict::Passed | Verdict::Mixed => return TestState::Passing,
            Verdict::Absent | Verdict::Skipped => {}
        }
        (is_first, was_there) = (false, was_there || result.verdict == Verdict::Skipped);
    }
    match (failing_since, is_first || was_there) {
        (Some(_), _) => TestState::Fixed,
        // In the first run of a lane, every test would be new.
        (None, true) => TestState::Passing,
        (None, false) => TestState::New,
    }
}

/// A summary of the runs of a lane that are no longer kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EarlierRuns {
    /// The newest run in this summary. If a run arrives later that is older than this, it is left out.
    pub until: RunOrder,
    /// The tests that were failing in the end, by number, each with the build in which its failures began.
    pub failing: BTreeMap<u32, u32>,
}

impl EarlierRuns {
    /// Adds the verdicts of the oldest kept run, which is no longer kept from now on.
    pub fn add(&mut self, order: RunOrder, verdicts: &[u8]) {
        self.until = order;
        for (test, code) in (0..).zip(verdicts) {
            let verdict = Verdict::of_code(*code);
            if verdict.is_good() {
                self.failing.remove(&test);
            } else if verdict.is_bad() {
                self.failing.entry(test).or_insert(order.1);
            }
        }
    }
}

/// Whether so many tests of a run failed that they have one cause, so that they do not count as flaky.
pub fn fails_together(verdicts: &[u8]) -> bool {
    let ran = verdicts.iter().filter(|code| Verdict::of_code(**code).has_run()).count();
    let bad = verdicts.iter().filter(|code| Verdict::of_code(**code).is_bad()).count();
    bad >= TOGETHER_MIN && bad * 100 > ran * TOGETHER_PERCENT
}

/// The number of codes for each doubling of a duration. Each code is about 9 % more than the last one, so that one byte reaches from a
/// microsecond to an hour.
const DURATION_STEPS: f64 = 8.0;

/// The byte that stands for a duration. 0 means that the duration is not known.
pub fn duration_code(microseconds: Option<u64>) -> u8 {
    let Some(microseconds) = microseconds else { return 0 };
    #[expect(clippy::cast_precision_loss, reason = "a byte holds three digits of it")]
    let steps = ((microseconds.saturating_add(1)) as f64).log2() * DURATION_STEPS;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 1 and 255")]
    let code = (1.0 + steps.floor()).clamp(1.0, 255.0) as u8;
    code
}

/// The duration in microseconds, rounded. `None` if it is not known.
pub fn duration_of_code(code: u8) -> Option<u64> {
    let steps = f64::from(code.checked_sub(1)?);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is at least 0, and far below 2^63")]
    let microseconds = ((steps + 0.5) / DURATION_STEPS).exp2() as u64;
    Some(if code == 1 { 0 } else { microseconds.saturating_sub(1) })
}

/// The median of the known durations. `None` means that none is known.
pub fn median(codes: impl Iterator<Item = u8>) -> Option<u64> {
    let mut known: Vec<u8> = codes.filter(|code| *code > 0).collect();
    known.sort_unstable();
    duration_of_code(*known.get(known.len() / 2)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The results that a text stands for: `P` passed, `F` failed, `E` errored, `S` skipped, `M` mixed, `-` absent, `?` absent in a
    /// report that was cut. The newest is first, and the builds count down to 1.
    fn results(text: &str) -> impl Iterator<Item = TestResult> + '_ {
        let count = u32::try_from(text.len()).unwrap();
        text.chars().enumerate().map(move |(at, letter)| TestResult {
            build: count - u32::try_from(at).unwrap(),
            verdict: match letter {
                'P' => Verdict::Passed,
                'F' => Verdict::Failed,
                'E' => Verdict::Errored,
                'S' => Verdict::Skipped,
                'M' => Verdict::Mixed,
                _ => Verdict::Absent,
            },
            is_whole: letter != '?',
        })
    }

    #[test]
    fn the_states() {
        let table = [
            // The results of a lane, then the state, the first bad build and the last good build.
            ("P", "passing", 0, 1),
            ("PP", "passing", 0, 2),
            ("PS", "passing", 0, 2),
            ("PSF", "fixed", 0, 3),
            ("P-S", "passing", 0, 3),
            ("P-", "new", 0, 2),
            ("P?", "passing", 0, 2),
            ("P-P", "passing", 0, 3),
            ("PF", "fixed", 0, 2),
            ("P-F", "fixed", 0, 3),
            ("MF", "fixed", 0, 2),
            ("F", "newly-failing", 1, 0),
            ("F-", "newly-failing", 2, 0),
            ("FP", "newly-failing", 2, 1),
            ("E-SP", "newly-failing", 4, 1),
            ("FM", "newly-failing", 2, 1),
            ("FE", "still-failing", 1, 0),
            ("F-?EP", "still-failing", 2, 1),
            ("FSFPF", "still-failing", 3, 2),
            ("S", "skipped", 0, 0),
            ("SF", "skipped", 0, 0),
            ("-P", "gone", 0, 0),
            ("--S", "gone", 0, 0),
            ("?F", "newly-failing", 1, 0),
            ("?P", "passing", 0, 1),
        ];
        for (lane, word, first_bad, last_good) in table {
            let it = standing(results(lane), None).unwrap_or_else(|| panic!("{lane} has no state"));
            assert_eq!((it.state.word(), it.first_bad, it.last_good), (word, first_bad, last_good), "{lane}");
        }
        for lane in ["", "-", "--", "?"] {
            assert_eq!(standing(results(lane), None), None, "{lane} has no such test");
        }
    }

    #[test]
    fn what_was_before_the_runs_that_are_kept_counts() {
        let state = |lane| standing(results(lane), Some(7)).map(|it| (it.state.word(), it.first_bad, it.last_good));
        assert_eq!(state("F"), Some(("still-failing", 7, 0)));
        assert_eq!(state("F--"), Some(("still-failing", 7, 0)));
        assert_eq!(state("FP"), Some(("newly-failing", 2, 1)));
        assert_eq!(state("P"), Some(("fixed", 0, 1)));
        assert_eq!(state("-"), Some(("gone", 0, 0)));
    }

    #[test]
    fn runs_that_go_are_remembered_where_they_failed() {
        let mut earlier = EarlierRuns::default();
        let code = |verdict: Verdict| verdict.code();
        earlier.add((1, 1), &[code(Verdict::Failed), code(Verdict::Passed)]);
        earlier.add((2, 2), &[code(Verdict::Errored), code(Verdict::Failed), code(Verdict::Skipped)]);
        let failures: Vec<_> = earlier.failing.iter().map(|(test, since)| (*test, *since)).collect();
        assert_eq!((failures, earlier.until), (vec![(0, 1), (1, 2)], (2, 2)));
        earlier.add((3, 3), &[code(Verdict::Mixed), code(Verdict::Absent)]);
        assert_eq!(earlier.failing.keys().copied().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn tests_fail_together() {
        let run = |good: usize, bad: usize| {
            let mut codes = vec![Verdict::Passed.code(); good];
            codes.resize(good + bad, Verdict::Failed.code());
            codes.push(Verdict::Absent.code());
            fails_together(&codes)
        };
        let table = [(0, 0, false), (0, 1, false), (0, 2, true), (8, 2, false), (79, 21, true), (80, 20, false)];
        for (good, bad, together) in table {
            assert_eq!(run(good, bad), together, "{good} passed, {bad} failed");
        }
    }

    #[test]
    fn a_duration_is_kept_within_a_tenth() {
        assert_eq!(
            (duration_code(None), duration_of_code(0), duration_of_code(duration_code(Some(0)))),
            (0, None, Some(0))
        );
        for exact in [10_u64, 999, 1_500, 1_000_000, 61_234_567, 3_600_000_000] {
            let kept = duration_of_code(duration_code(Some(exact))).unwrap();
            assert!(kept.abs_diff(exact) * 10 <= exact, "{exact} became {kept}");
        }
        assert_eq!(duration_code(Some(u64::MAX)), 255);
        assert_eq!(median([0, 9, 80, 10].into_iter()), duration_of_code(10));
    }

    #[test]
    fn a_verdict_has_one_code() {
        use Verdict::{Absent, Errored, Failed, Mixed, Passed, Skipped};
        let all = [Absent, Skipped, Passed, Mixed, Errored, Failed];
        let codes: BTreeSet<u8> = all.iter().map(|verdict| verdict.code()).collect();
        assert_eq!(codes.len(), all.len());
        assert!(all.iter().all(|verdict| Verdict::of_code(verdict.code()) == *verdict));
        assert_eq!(Verdict::of_code(200), Verdict::Absent);
    }
}
