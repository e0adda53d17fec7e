//! One test, and the result of one run of it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The identity of a test. It is the same whichever shard, worker or platform ran the test.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct TestId {
    /// The suite as the tool names it: a class, a module, a program, or several of them with `/` between. It may be empty.
    pub suite: String,
    pub name: String,
    /// The parameters as the tool writes them, without brackets around them. Empty means that the test has none.
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
    /// An assertion of the test does not hold.
    Failed,
    /// The test could not run properly, for example because its set-up failed.
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
    /// The time of the test in microseconds. `None` means that the tool does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_us: Option<u64>,
    /// The file of the test, relative to the checkout. Empty means that the tool does not say, or that the file is elsewhere.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// The number of the line in the file, from 1. 0 means that the tool does not say.
    #[serde(skip_serializing_if = "is_zero")]
    pub line: u32,
    /// The reason why the test did not pass, usually on a line or two.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The output of the test and the place of its failure, as far as the tool reports them.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub output: String,
    /// The number of the attempt, from 1. If the tool repeated the test within one run, it has several attempts, and the last counts.
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
