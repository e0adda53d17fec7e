//! What a step is to report of its tests, and what it reported, in short. The list itself is a blob: see the crate `reports`.

use serde::{Deserialize, Serialize};

/// A form of report that the worker can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReportFormat {
    /// The XML that JUnit's runner for Ant began, and most tools write in some form.
    Junit,
    /// The Test Anything Protocol, of the versions 12 to 14.
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

    /// Its name in pipelines and on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            ReportFormat::Junit => "junit",
            ReportFormat::Tap => "tap",
            ReportFormat::Subunit => "subunit",
            ReportFormat::Libtest => "libtest",
        }
    }

    /// The form of this name. `None` means that this version does not know it.
    pub fn of_word(word: &str) -> Option<ReportFormat> {
        ReportFormat::ALL.into_iter().find(|format| format.word() == word)
    }
}

/// One report of a step: where it is, and in which form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportPlan {
    /// A word of [`ReportFormat`], or one that only a newer version knows.
    pub format: String,
    /// A pattern, relative to the step's directory; empty means what the step prints.
    pub path: String,
}

/// How many tests ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestCounts {
    /// How many of them passed.
    pub passed: u32,
    /// How many of them failed.
    pub failed: u32,
    /// How many tests could not run as they should, as where their set-up failed.
    pub errored: u32,
    /// How many tests were left out.
    pub skipped: u32,
}

impl TestCounts {
    /// How many tests there are in all.
    pub fn all(self) -> u32 {
        self.passed.saturating_add(self.bad()).saturating_add(self.skipped)
    }

    /// Those that failed or errored.
    pub fn bad(self) -> u32 {
        self.failed.saturating_add(self.errored)
    }
}

/// The name within its attempt of what the tools of a step wrote of its tests. The worker stores it, and the master finds it.
pub fn originals_name(step: u16) -> String {
    format!("tests/{step}/reports.tar.zst")
}

/// What the reports of one step say of its tests, in short.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TestsReported {
    /// The BLAKE3 of the blob with the whole list; empty means that there is none, and `trouble` says why.
    pub list: Vec<u8>,
    /// How many tests ended in which way.
    pub counts: TestCounts,
    /// The time of all tests together, in microseconds.
    pub duration_us: u64,
    /// The names of the first tests that failed or errored, at most [`TestsReported::FAILING_MAX`].
    pub failing: Vec<String>,
    /// Why the list is not whole, with the place; empty means that it is whole.
    pub trouble: String,
}

impl TestsReported {
    /// So many names fit into a mail or a terminal; the list has the rest.
    pub const FAILING_MAX: usize = 20;
}
