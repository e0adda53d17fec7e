//! A test of TAP with what is said of it, which comes before it where it has subtests, and behind it where it failed.

use super::line::{Directive, Point};
use crate::cut::Capped;
use crate::noise::identity;
use crate::{LIST_MAX, OUTPUT_MAX, TestOutcome, TestResult};

/// The plan of a report or of a subtest, and the results so far.
#[derive(Default)]
pub(super) struct Level {
    pub planned: Option<u64>,
    pub seen: u64,
    /// Whether the newest test counts itself, and so is the last one of `told`.
    pub has_own: bool,
    pub told: Vec<TapTest>,
}

impl Level {
    /// What the plan says that did not come, or that came and is not planned.
    pub(super) fn lacks(&self) -> Option<String> {
        let planned = self.planned.filter(|planned| *planned != self.seen)?;
        Some(format!("the plan says {planned} tests, and {} were told of", self.seen))
    }
}

/// A test that was told of.
#[derive(Default)]
pub(super) struct TapTest {
    /// The descriptions of the tests of which it is a subtest, the outermost first.
    suites: Vec<String>,
    name: String,
    outcome: TestOutcome,
    duration_us: Option<u64>,
    message: String,
    output: Capped,
}

impl TapTest {
    fn is_bad(&self) -> bool {
        self.outcome == TestOutcome::Failed
    }

    /// What a comment behind the test says, which tools write to say why it failed.
    pub(super) fn comment(&mut self, said: &str) {
        if self.is_bad() && !said.starts_with("Subtest") {
            if self.message.is_empty() {
                said.clone_into(&mut self.message);
            }
            self.output.push_line(said, OUTPUT_MAX);
        }
    }

    pub(super) fn result(mut self, file: &str) -> TestResult {
        let first = (!file.is_empty()).then(|| file.to_owned());
        let suites: Vec<String> = first.into_iter().chain(self.suites).collect();
        TestResult {
            id: identity(&suites.join("/"), &self.name),
            outcome: self.outcome,
            duration_us: self.duration_us,
            message: self.message,
            output: self.output.take(),
            ..TestResult::default()
        }
    }

    fn bytes(&self) -> usize {
        size_of::<TapTest>() + self.name.len() + self.message.len() + self.output.len()
    }
}

/// The results of a test with its subtests, which then count in its place. It counts itself where it failed and they did not,
/// and is the last one then, which the second answer says.
pub(super) fn told(point: &Point<'_>, number: u64, below: Vec<TapTest>) -> (Vec<TapTest>, bool) {
    let name = if point.description.is_empty() { format!("test {number}") } else { point.description.clone() };
    let (outcome, message) = match point.directive {
        Directive::Skip(why) => (TestOutcome::Skipped, why),
        Directive::Todo(why) if !point.ok => (TestOutcome::Skipped, if why.is_empty() { "TODO" } else { why }),
        Directive::None | Directive::Todo(_) if point.ok => (TestOutcome::Passed, ""),
        Directive::None | Directive::Todo(_) => (TestOutcome::Failed, ""),
    };
    let counts = below.is_empty() || (outcome == TestOutcome::Failed && !below.iter().any(TapTest::is_bad));
    let mut all = below;
    for told in &mut all {
        told.suites.insert(0, name.clone());
    }
    let (message, duration_us) = (message.to_owned(), point.duration_us);
    all.extend(counts.then(|| TapTest { name, outcome, message, duration_us, ..TapTest::default() }));
    (all, counts)
}

/// The bytes of tests that wait for the test of which they are subtests.
#[derive(Default)]
pub(super) struct Held(usize);

impl Held {
    pub(super) fn count(&mut self, told: &[TapTest]) -> Result<(), String> {
        self.0 += told.last().map_or(0, TapTest::bytes);
        if self.0 > LIST_MAX {
            return Err(format!("a test has subtests of more than {} MiB", LIST_MAX >> 20));
        }
        Ok(())
    }

    pub(super) fn give(&mut self, told: &TapTest) {
        self.0 = self.0.saturating_sub(told.bytes());
    }
}

/// A block of YAML behind a test.
#[derive(Default)]
pub(super) struct Yaml {
    indent: usize,
    message: String,
    duration_us: Option<u64>,
    text: Capped,
}

impl Yaml {
    pub(super) fn new(indent: usize) -> Yaml {
        Yaml { indent, ..Yaml::default() }
    }

    /// True: this line ended the block.
    pub(super) fn take(&mut self, line: &str) -> bool {
        if line.trim() == "..." {
            return true;
        }
        let start = line.find(|char| char != ' ').unwrap_or(line.len()).min(self.indent);
        let line = &line[start..];
        self.text.push_line(line, OUTPUT_MAX);
        match line.split_once(':') {
            Some(("message" | "error", value)) if self.message.is_empty() => self.message = scalar(value),
            Some(("duration_ms", value)) => self.duration_us = millis(value),
            _ => {}
        }
        false
    }

    pub(super) fn tell(mut self, told: &mut TapTest) {
        told.duration_us = told.duration_us.or(self.duration_us);
        if told.is_bad() {
            told.output.push_line(&self.text.take(), OUTPUT_MAX);
            if told.message.is_empty() {
                told.message = self.message;
            }
        }
    }
}

fn millis(value: &str) -> Option<u64> {
    let ms = value.trim().parse::<f64>().ok().filter(|ms| ms.is_finite() && *ms >= 0.0)?;
    Some((ms * 1e3).round() as u64)
}

/// A text on one line, as YAML quotes it. One of several lines has only its sign there.
fn scalar(value: &str) -> String {
    let value = value.trim();
    if value.starts_with(['|', '>']) {
        return String::new();
    }
    let quoted = |mark: char| value.strip_prefix(mark).and_then(|rest| rest.strip_suffix(mark));
    match (quoted('\''), quoted('"')) {
        (Some(text), _) => text.replace("''", "'"),
        (None, Some(text)) => text.replace("\\\"", "\"").replace("\\n", "\n").replace("\\\\", "\\"),
        (None, None) => value.to_owned(),
    }
}
