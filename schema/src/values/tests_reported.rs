//! The reports that a step's plan names, and a summary of the tests in them. The whole list of tests is a blob; see the crate `reports`.

use serde::{Deserialize, Serialize};

/// A form of test report that the worker can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReportFormat {
    /// The XML of JUnit's runner for Ant, which most tools can write in some form.
    Junit,
    /// The Test Anything Protocol, in the versions 12 to 14.
    Tap,
    /// The binary stream of subunit, version 2.
    Subunit,
    /// The text that `cargo test` prints.
    Libtest,
}

impl ReportFormat {
    /// The forms that this version knows.
    pub const ALL: [ReportFormat; 4] =
        [ReportFormat::Junit, ReportFormat::Tap, ReportFormat::Subunit, ReportFormat::Libtest];

    /// Returns the word for the form in pipelines and on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            ReportFormat::Junit => "junit",
            ReportFormat::Tap => "tap",
            ReportFormat::Subunit => "subunit",
            ReportFormat::Libtest => "libtest",
        }
    }

    /// Returns the form of this word. `None` means that this version does not know it.
    pub fn of_word(word: &str) -> Option<ReportFormat> {
        ReportFormat::ALL.into_iter().find(|format| format.word() == word)
    }
}

/// A report that a step writes: its form and its place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportPlan {
    /// The form of the report: a word of [`ReportFormat`], or one that only a newer version knows.
    pub format: String,
    /// A pattern for the report's files, relative to the step's directory. Empty means the output of the step.
    pub path: String,
}

/// The numbers of tests by their result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestCounts {
    /// The number of tests that passed.
    pub passed: u32,
    /// The number of tests that failed.
    pub failed: u32,
    /// The number of tests that could not run properly, for example because their set-up failed.
    pub errored: u32,
    /// The number of tests that were left out.
    pub skipped: u32,
}

impl TestCounts {
    /// Returns the number of all tests.
    pub fn all(self) -> u32 {
        self.passed.saturating_add(self.bad()).saturating_add(self.skipped)
    }

    /// Returns the number of tests that failed or errored.
    pub fn bad(self) -> u32 {
        self.failed.saturating_add(self.errored)
    }
}

/// Returns the name, within its attempt, of the archive of a step's original reports. The worker stores the archive under this name,
/// and the master finds it there.
pub fn originals_name(step: u16) -> String {
    format!("tests/{step}/reports.tar.zst")
}

/// A summary of the tests in the reports of one step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TestsReported {
    /// The BLAKE3 hash of the blob with the whole list. It is empty if there is no list, and `trouble` then says why.
    pub list: Vec<u8>,
    /// The numbers of tests by their result.
    pub counts: TestCounts,
    /// The time of all tests together, in microseconds.
    pub duration_us: u64,
    /// The names of the first tests that failed or errored, at most [`TestsReported::FAILING_MAX`].
    pub failing: Vec<String>,
    /// The reason why the list is not complete, with its place in the reports. Empty means that the list is complete.
    pub trouble: String,
}

impl TestsReported {
    /// The most names in [`TestsReported::failing`]. A mail or a terminal has room for them, and the list has all tests.
    pub const FAILING_MAX: usize = 20;
}
