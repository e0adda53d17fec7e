//! The rows of the history of tests, and the questions about it.

use crate::decide::coordinator::record::{JobKey, JobRow};
use crate::decide::test_history::flakiness::Flakiness;
use crate::decide::test_history::{RunOrder, TestStanding, Verdict};

/// The number of tests that a project may have. Without this bound, a suite that makes new names in each build would fill the
/// store.
pub const TESTS_MAX: u32 = 500_000;

/// The identity of a test in its project: 16 bytes of a BLAKE3 of its suite, its name and its parameters.
pub type TestIdentity = [u8; 16];

/// A test by its name. The store knows it by a number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestName {
    pub identity: TestIdentity,
    pub suite: String,
    pub name: String,
    pub parameters: String,
    /// The file in which the test was last found; empty means that its tool does not report files.
    pub file: String,
}

/// A lane of tests: a project, the full name of a ref, and a job with its cell.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TestLane {
    pub project: String,
    pub ref_name: String,
    pub job: String,
}

/// The run of one job of one build that reported its tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestRunRow {
    pub lane: TestLane,
    pub order: RunOrder,
    pub key: JobKey,
    /// The id of the source tree; empty means that it is not known.
    pub tree: String,
    pub is_whole: bool,
    pub is_together: bool,
    /// The byte of a [`Verdict`] for each test, by the test's number.
    pub verdicts: Vec<u8>,
    /// The byte of a duration for each test, by the test's number; empty in older runs, whose durations are not kept.
    pub durations: Vec<u8>,
}

impl TestRunRow {
    pub fn has_mixed(&self) -> bool {
        self.verdicts.contains(&Verdict::Mixed.code())
    }
}

/// A part of a job's test results, which is written in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TestPiece {
    /// Tests that are new in their project, or whose file has changed.
    Names { project: String, names: Vec<TestName> },
    /// The whole run. Writing it also marks the job as read.
    Run(Box<TestRunRow>),
    /// The job has no results for a lane. Writing this marks the job as read.
    Nothing(JobKey),
}

/// A finished job whose lists of tests are not read yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadTests {
    pub key: JobKey,
    /// The job; `None` means that its build no longer exists.
    pub found: Option<UnreadJob>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadJob {
    pub lane: TestLane,
    pub order: RunOrder,
    pub revision: String,
    pub row: JobRow,
}

/// The tests that a list shows, and their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TestsShown {
    #[default]
    All,
    Failing,
    /// Tests that fail now and did not fail in their previous run.
    New,
    /// Flaky tests, the flakiest first.
    Flaky,
    /// Tests with a known duration, the slowest first.
    Slow,
}

impl TestsShown {
    /// Returns the list for its word on the wire and in web addresses.
    pub fn of_word(word: &str) -> Option<TestsShown> {
        match word {
            "" => Some(TestsShown::All),
            "failing" => Some(TestsShown::Failing),
            "newly-failing" => Some(TestsShown::New),
            "flaky" => Some(TestsShown::Flaky),
            "slow" => Some(TestsShown::Slow),
            _ => None,
        }
    }
}

/// A question for the tests of a ref.
#[derive(Clone, Debug, Default)]
pub struct TestFilter {
    pub project: String,
    /// The full name of the ref.
    pub ref_name: String,
    /// The ref with which a young lane is compared; empty means none.
    pub base_ref: String,
    /// A job with its cell; empty means all.
    pub job: String,
    /// A part of the suite, the name or the parameters, in upper or lower case; empty means all tests.
    pub search: String,
    pub shown: TestsShown,
    pub skip: usize,
    pub limit: usize,
}

/// A part of a list of tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestPage {
    pub lines: Vec<TestLine>,
    /// The number of tests that match, on all pages.
    pub count: u32,
}

/// A test in a lane, as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestLine {
    pub number: u32,
    pub name: TestName,
    pub job: String,
    pub standing: TestStanding,
    /// The flakiness of the test in all lanes of the job.
    pub flakiness: Flakiness,
    /// The median duration of the newest runs; `None` means that it is not known.
    pub duration_us: Option<u64>,
    /// The results of its newest runs, the newest first.
    pub points: Vec<TestPoint>,
}

/// The result of a test in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestPoint {
    /// The number of the build.
    pub build: u32,
    pub verdict: Verdict,
    pub duration_us: Option<u64>,
}

/// One test in the lanes that ran last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestHistory {
    pub number: u32,
    pub name: TestName,
    pub lanes: Vec<LaneOfTest>,
}

/// One test in one lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneOfTest {
    pub lane: TestLane,
    pub standing: TestStanding,
    pub flakiness: Flakiness,
    pub duration_us: Option<u64>,
    /// The results of its newest runs, the newest first.
    pub points: Vec<TestPoint>,
}

/// What a lane knows about the tests that failed in one of its runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailuresOfRun {
    /// The lists of tests of the run are not read yet.
    Unread,
    /// The run left no list that can be read, or is no longer kept.
    Unknown,
    Known(SortedFailures),
}

/// The tests that failed in a run, sorted by their results in earlier runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SortedFailures {
    /// The first tests that newly fail and are not flaky, each with its number.
    pub new: Vec<(u32, TestName)>,
    /// The number of tests that newly fail and are not flaky.
    pub new_count: u32,
    /// The number of failing tests that also failed in their previous run.
    pub known_count: u32,
    /// The number of tests that newly fail and are flaky.
    pub flaky_count: u32,
}
