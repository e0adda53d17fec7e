//! A test of TAP with its details. Its subtests come before its line, and comments and YAML about its failure come after it.

use super::line::{Directive, Point};
use crate::cut::{Capped, cut};
use crate::noise::{identity, part};
use crate::{LIST_MAX, MESSAGE_MAX, OUTPUT_MAX, TestId, TestOutcome, TestResult};
use std::rc::Rc;

/// The plan of a report or of a subtest, and the results so far.
#[derive(Default)]
pub(super) struct Level {
    pub planned: Option<u64>,
    pub seen: u64,
    /// Whether the newest test itself counts, and not only its subtests. It is then the last one of `told`.
    pub has_own: bool,
    pub told: Vec<TapTest>,
}

impl Level {
    /// Returns a sentence if the number of tests differs from the plan.
    pub(super) fn lacks(&self) -> Option<String> {
        let planned = self.planned.filter(|planned| *planned != self.seen)?;
        Some(format!("the plan announces {planned} tests, but the report has {}", self.seen))
    }
}

/// A test whose result was read.
#[derive(Default)]
pub(super) struct TapTest {
    /// The descriptions of the tests around this subtest, the outermost last. All subtests of one test share its description.
    suites: Vec<Rc<str>>,
    /// The identity of the test, without a suite.
    id: TestId,
    outcome: TestOutcome,
    duration_us: Option<u64>,
    message: String,
    output: Capped,
}

impl TapTest {
    fn is_bad(&self) -> bool {
        self.outcome == TestOutcome::Failed
    }

    /// Takes a comment after the test. Tools write such comments to say why a test failed.
    pub(super) fn comment(&mut self, said: &str) {
        if self.is_bad() && !said.starts_with("Subtest") {
            if self.message.is_empty() {
                self.message = message_of(said);
            }
            self.output.push_line(said, OUTPUT_MAX);
        }
    }

    pub(super) fn result(mut self, file: &str) -> TestResult {
        let first = (!file.is_empty()).then_some(file);
        let suites: Vec<&str> = first.into_iter().chain(self.suites.iter().rev().map(|suite| &**suite)).collect();
        TestResult {
            id: TestId { suite: part(&suites.join("/")), ..self.id },
            outcome: self.outcome,
            duration_us: self.duration_us,
            message: self.message,
            output: self.output.take(),
            ..TestResult::default()
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let names = self.id.name.len() + self.id.parameters.len() + self.suites.capacity() * size_of::<Rc<str>>();
        size_of::<TapTest>() + names + self.message.len() + self.output.len()
    }
}

/// Returns the bytes of tests in memory, without the descriptions that they share.
pub(super) fn bytes_of(told: &[TapTest]) -> usize {
    told.iter().map(TapTest::bytes).sum()
}

/// Returns a message that is cut to its bound.
fn message_of(said: &str) -> String {
    let mut message = said.to_owned();
    cut(&mut message, MESSAGE_MAX);
    message
}

/// Returns the results of a test. Its subtests count in its place, except if the test failed and no subtest did. Then the test
/// itself is added as the last result. The returned flag says whether the test itself counts.
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
    let suite: Rc<str> = part(&name).into();
    for told in &mut all {
        told.suites.push(Rc::clone(&suite));
    }
    let (id, message, duration_us) = (identity("", &name), message_of(message), point.duration_us);
    all.extend(counts.then(|| TapTest { id, outcome, message, duration_us, ..TapTest::default() }));
    (all, counts)
}

/// The bytes of held tests, which may be subtests of a test whose line has not come yet.
#[derive(Default)]
pub(super) struct Held(usize);

impl Held {
    pub(super) fn of(told: &[TapTest]) -> Held {
        Held(bytes_of(told))
    }

    /// Replaces `before` bytes of the held tests by `now` bytes. Fails if the tests then have more than [`LIST_MAX`].
    pub(super) fn change(&mut self, before: usize, now: usize) -> Result<(), String> {
        self.0 = (self.0 + now).saturating_sub(before);
        if self.0 > LIST_MAX {
            return Err(format!("a test has subtests of more than {} MiB", LIST_MAX >> 20));
        }
        Ok(())
    }
}

/// A block of YAML after the line of a test.
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

    /// Takes a line of the block. Returns `true` if the line ends the block.
    pub(super) fn take(&mut self, line: &str) -> bool {
        if line.trim() == "..." {
            return true;
        }
        let start = line.find(|char| char != ' ').unwrap_or(line.len()).min(self.indent);
        let line = &line[start..];
        self.text.push_line(line, OUTPUT_MAX);
        match line.split_once(':') {
            Some(("message" | "error", value)) if self.message.is_empty() => self.message = message_of(&scalar(value)),
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

/// Reads a text of YAML on one line, which may be quoted. It is empty if the text has several lines, which follow this one.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NAME_MAX;

    fn point(description: &str) -> Point<'_> {
        Point { ok: true, description: description.to_owned(), ..Point::default() }
    }

    /// A report of 256 MiB can have a million subtests within fifty tests, each with a name of 64 KiB.
    #[test]
    fn subtests_share_the_name_of_their_test_and_count_its_place() {
        let mut below: Vec<TapTest> = (0..100).flat_map(|number| told(&point("s"), number, Vec::new()).0).collect();
        let alone = bytes_of(&below);
        for _ in 0..50 {
            below = told(&point(&"n".repeat(60_000)), 1, below).0;
        }
        let names: std::collections::BTreeSet<*const u8> =
            below.iter().flat_map(|told| &told.suites).map(|name| name.as_ptr()).collect();
        assert_eq!(names.len(), 50, "each name is held once");
        assert!(below.iter().flat_map(|told| &told.suites).all(|name| name.len() <= NAME_MAX));
        assert!(bytes_of(&below) >= alone + 100 * 50 * size_of::<Rc<str>>(), "each place in a list counts");
    }

    #[test]
    fn what_is_said_of_a_test_is_cut_before_it_is_held() {
        let long = "m".repeat(60_000);
        let mut test = told(&Point { ok: false, ..point("t") }, 1, Vec::new()).0.remove(0);
        test.comment(&long);
        assert!(test.message.len() <= MESSAGE_MAX && test.bytes() <= MESSAGE_MAX + OUTPUT_MAX + 1_000);
        let mut yaml = Yaml::new(0);
        yaml.take(&format!("message: {long}"));
        assert!(yaml.message.len() <= MESSAGE_MAX);
        let skipped = told(&Point { directive: Directive::Skip(&long), ..point("t") }, 1, Vec::new()).0;
        assert!(bytes_of(&skipped) <= MESSAGE_MAX + 1_000);
    }
}
