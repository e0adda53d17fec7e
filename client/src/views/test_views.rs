//! Tests as a client sees them: in one step, in one lane, and over builds.

use serde::Serialize;

/// A summary of the tests that the reports of a step name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StepTests {
    /// The number of tests that passed.
    pub passed: u32,
    /// The number of tests that failed.
    pub failed: u32,
    /// The number of tests that could not run as they should, for example because their set-up failed.
    pub errored: u32,
    /// The number of tests that were skipped.
    pub skipped: u32,
    /// The duration of all tests together, in microseconds.
    pub duration_us: u64,
    /// The names of the first tests that failed or errored, at most 20.
    pub failing: Vec<String>,
    /// Why the list of tests is incomplete, with the place in the report; "" if the list is complete.
    pub trouble: String,
    /// The BLAKE3 hash of the whole list, in hexadecimal digits; "" if there is no list.
    pub list: String,
}

impl StepTests {
    /// Returns the number of tests that failed or errored.
    pub fn bad(&self) -> u32 {
        self.failed.saturating_add(self.errored)
    }

    /// Returns the number of all tests.
    pub fn all(&self) -> u32 {
        self.bad().saturating_add(self.passed).saturating_add(self.skipped)
    }
}

/// A test in the lane of one job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TestView {
    /// The number of the test in its project.
    pub number: u32,
    /// The class, module or binary to which the test belongs, as its tool says. It may be "".
    pub suite: String,
    /// The name that the tool gives the test.
    pub name: String,
    /// The parameters that distinguish the test from others of its name; "" if it has no parameters.
    pub parameters: String,
    /// The file that has the test, or "" if its tool does not say.
    pub file: String,
    /// The name of the job with its cell.
    pub job: String,
    /// The state of the test in a word; `perspective.capnp` lists the words.
    pub state: String,
    /// The number of the build in which the test's present failures began, or 0 if the test does not fail.
    pub first_bad: u32,
    /// The number of the newest build before these failures in which the test passed, or 0 if none is known.
    pub last_good: u32,
    /// The number of source trees in which the test both passed and failed.
    pub flaky_trees: u32,
    /// The number of source trees in which the test ran; 0 if it is not flaky.
    pub trees: u32,
    /// The median duration of the test's newest runs, in microseconds, within a tenth; `None` if it is not known.
    pub duration_us: Option<u64>,
    /// The results of the newest runs of the test, the newest first.
    pub results: Vec<TestPoint>,
}

impl TestView {
    /// Returns suite, name and parameters, as a person reads them: `a.B › breaks_here[3]`.
    pub fn title(&self) -> String {
        title(&self.suite, &self.name, &self.parameters)
    }
}

/// A failed test of a job, as its tool reported it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FailedTest {
    /// The class, module or binary to which the test belongs, as its tool says. It may be "".
    pub suite: String,
    /// The name that the tool gives the test.
    pub name: String,
    /// The parameters that distinguish the test from others of its name; "" if it has no parameters.
    pub parameters: String,
    /// The file that has the test, or "" if its tool does not say.
    pub file: String,
    /// The line of the test in its file, or 0 if its tool does not say.
    pub line: u32,
    /// The number of the step that ran the test.
    pub step: u16,
    /// The outcome of the test, which says whether it failed or errored.
    pub outcome: PointOutcome,
    /// The duration of the test in microseconds; `None` if its tool does not say.
    pub duration_us: Option<u64>,
    /// Why the test failed, on a line or two.
    pub message: String,
    /// The output that the test printed, with the place where it failed.
    pub output: String,
}

impl FailedTest {
    /// Returns suite, name and parameters, as a person reads them: `a.B › breaks_here[3]`.
    pub fn title(&self) -> String {
        title(&self.suite, &self.name, &self.parameters)
    }
}

fn title(suite: &str, name: &str, parameters: &str) -> String {
    let suite = if suite.is_empty() { String::new() } else { format!("{suite} › ") };
    let parameters = if parameters.is_empty() { String::new() } else { format!("[{parameters}]") };
    format!("{suite}{name}{parameters}")
}

/// The state of one test in one lane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TestLane {
    /// The full name of the ref.
    #[serde(rename = "ref")]
    pub ref_name: String,
    /// The name of the job with its cell.
    pub job: String,
    /// The state of the test in a word; `perspective.capnp` lists the words.
    pub state: String,
    /// The number of the build in which the test's present failures began, or 0 if the test does not fail.
    pub first_bad: u32,
    /// The number of the newest build before these failures in which the test passed, or 0 if none is known.
    pub last_good: u32,
    /// The number of source trees in which the test both passed and failed.
    pub flaky_trees: u32,
    /// The number of source trees in which the test ran.
    pub trees: u32,
    /// The median duration of the test's newest runs, in microseconds, within a tenth; `None` if it is not known.
    pub duration_us: Option<u64>,
    /// The results of the newest runs of the test, the newest first, at most 100.
    pub results: Vec<TestPoint>,
}

/// The result of one run of a test.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TestPoint {
    /// The number of the build.
    pub build: u32,
    /// The outcome of the test in the build.
    pub outcome: PointOutcome,
    /// The duration of the run in microseconds, within a tenth; `None` if it is not known.
    pub duration_us: Option<u64>,
}

/// The outcome of a test in one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PointOutcome {
    /// The run has no such test, or its outcome is one that this version does not know.
    #[default]
    Absent,
    /// The test passed in this run.
    Passed,
    /// An assertion of the test did not hold.
    Failed,
    /// The test could not run as it should.
    Errored,
    /// The test was skipped in this run.
    Skipped,
    /// The test failed, and passed when its tool ran it again.
    Mixed,
}

impl PointOutcome {
    /// Returns the word of the outcome, as in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            PointOutcome::Absent => "absent",
            PointOutcome::Passed => "passed",
            PointOutcome::Failed => "failed",
            PointOutcome::Errored => "errored",
            PointOutcome::Skipped => "skipped",
            PointOutcome::Mixed => "mixed",
        }
    }

    /// Returns one character that distinguishes the outcomes without colour.
    pub const fn symbol(self) -> &'static str {
        match self {
            PointOutcome::Absent => " ",
            PointOutcome::Passed => "✓",
            PointOutcome::Failed => "✗",
            PointOutcome::Errored => "!",
            PointOutcome::Skipped => "·",
            PointOutcome::Mixed => "~",
        }
    }
}
