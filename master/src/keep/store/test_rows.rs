//! The history of tests, as it is written and read.

use crate::decide::coordinator::record::{JobKey, JobRow};
use crate::decide::test_history::flakiness::Flakiness;
use crate::decide::test_history::{RunOrder, TestStanding, Verdict};

/// A project has at most this many tests. A suite that makes new names in each build would else fill the store.
pub const TESTS_MAX: u32 = 500_000;

/// What names a test in its project: 16 bytes of a BLAKE3 of its suite, its name and its parameters.
pub type TestIdentity = [u8; 16];

/// A test, as it is known by its number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestName {
    pub identity: TestIdentity,
    pub suite: String,
    pub name: String,
    pub parameters: String,
    /// Where it was last seen to stand; empty means that its tool does not say.
    pub file: String,
}

/// A lane of tests: a project, the full name of a ref, and a job with its cell.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TestLane {
    pub project: String,
    pub ref_name: String,
    pub job: String,
}

/// One job of one build that reported its tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestRunRow {
    pub lane: TestLane,
    pub order: RunOrder,
    pub key: JobKey,
    /// The name of the source tree; empty means that it is not known.
    pub tree: String,
    pub is_whole: bool,
    pub is_together: bool,
    /// The byte of a [`Verdict`] for each test, by its number.
    pub verdicts: Vec<u8>,
    /// The byte of a duration for each test, by its number; empty means that it is an older run.
    pub durations: Vec<u8>,
}

impl TestRunRow {
    pub fn has_mixed(&self) -> bool {
        self.verdicts.contains(&Verdict::Mixed.code())
    }
}

/// A part of what is to be written of one job, in a transaction of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TestPiece {
    /// Tests that are new to their project, or that stand in another file than before.
    Names { project: String, names: Vec<TestName> },
    /// The run, which is all of it: the job is read.
    Run(Box<TestRunRow>),
    /// The job says nothing of a lane: it is read.
    Nothing(JobKey),
}

/// A finished job whose lists of tests are to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadTests {
    pub key: JobKey,
    /// `None` means that the build is gone.
    pub found: Option<UnreadJob>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadJob {
    pub lane: TestLane,
    pub order: RunOrder,
    pub revision: String,
    pub row: JobRow,
}

/// Which tests a list shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TestsShown {
    #[default]
    All,
    Failing,
    /// Those that fail and did not before.
    New,
    /// The flakiest test stands first.
    Flaky,
    /// The slowest test stands first.
    Slow,
}

impl TestsShown {
    /// Its word on the wire and in addresses.
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

/// Which tests of a ref are asked for.
#[derive(Clone, Debug, Default)]
pub struct TestFilter {
    pub project: String,
    /// The full name of the ref.
    pub ref_name: String,
    /// The ref with which a young lane is compared; empty means none.
    pub base_ref: String,
    /// A job with its cell; empty means all.
    pub job: String,
    /// A part of the suite, the name or the parameters, whatever the case of its letters; empty means all.
    pub search: String,
    pub shown: TestsShown,
    pub skip: usize,
    pub limit: usize,
}

/// A part of a list of tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestPage {
    pub lines: Vec<TestLine>,
    /// How many there are in all.
    pub count: u32,
}

/// A test in a lane, as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestLine {
    pub number: u32,
    pub name: TestName,
    pub job: String,
    pub standing: TestStanding,
    /// In all lanes of the job.
    pub flakiness: Flakiness,
    /// The median of the newest runs. `None` means that it is not known.
    pub duration_us: Option<u64>,
    /// The newest one stands first.
    pub points: Vec<TestPoint>,
}

/// What one run says of a test.
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
    /// The newest one stands first.
    pub points: Vec<TestPoint>,
}

/// What a lane says of the tests that failed in one of its runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailuresOfRun {
    /// The lists of the run are not read yet.
    Unread,
    /// The run left no list that can be read, or is no longer kept.
    Unknown,
    Known(SortedFailures),
}

/// The tests that failed in a run, sorted by what the runs before it say of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SortedFailures {
    /// The first tests that fail newly and are not flaky, each by its number.
    pub new: Vec<(u32, TestName)>,
    /// How many tests fail newly and are not flaky.
    pub new_count: u32,
    /// How many tests failed before.
    pub known_count: u32,
    /// How many tests fail newly and are flaky.
    pub flaky_count: u32,
}
