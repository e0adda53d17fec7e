//! One test, and how it ended.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What makes a test the same test, whichever shard, worker or platform ran it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct TestId {
    /// Where it belongs, as the tool says: a class, a module, a binary, or several of them, with `/` between them. May be empty.
    pub suite: String,
    pub name: String,
    /// The parameters as the tool writes them, without brackets around them. Empty: it has none.
    pub parameters: String,
}

impl fmt::Display for TestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.suite.is_empty() {
            write!(f, "{} › ", self.suite)?;
        }
        f.write_str(&self.name)?;
        if self.parameters.is_empty() { Ok(()) } else { write!(f, "[{}]", self.parameters) }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TestOutcome {
    #[default]
    Passed,
    /// What it asserts does not hold.
    Failed,
    /// It could not run as it should, as where its set-up failed.
    Errored,
    Skipped,
}

/// One run of one test.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TestResult {
    #[serde(flatten)]
    pub id: TestId,
    pub outcome: TestOutcome,
    /// The time of the test in microseconds. None: the tool does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_us: Option<u64>,
    /// Relative to the checkout where the tool says so; empty: it does not say.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// The number of the line, from 1; 0: the tool does not say.
    #[serde(skip_serializing_if = "is_zero")]
    pub line: u32,
    /// Why it did not pass, on a line or two.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What it printed, and where it failed, as far as the tool says it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub output: String,
    /// The number of the run, from 1: a test that the tool ran again within the same run has several, and the last one counts.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub attempt: u16,
}

fn is_zero(line: &u32) -> bool {
    *line == 0
}

fn first() -> u16 {
    1
}

fn is_first(attempt: &u16) -> bool {
    *attempt == 1
}
