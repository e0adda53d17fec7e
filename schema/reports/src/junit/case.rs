//! Reads one `testcase`: its attributes and the elements in it.

use super::attribute;
use crate::collection::Collection;
use crate::cut::{Capped, cut, first_line};
use crate::noise::identity;
use crate::{MESSAGE_MAX, OUTPUT_MAX, TestId, TestOutcome, TestResult};
use quick_xml::events::BytesStart;

/// The most further attempts that are kept of one test. Tools repeat a test a few times.
const ATTEMPTS_MAX: usize = 1_000;

/// The most bytes of the path of a file. No system accepts a longer path.
const PATH_MAX: usize = 4 << 10;

/// The kind of an element within a test case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Failure,
    Error,
    Skipped,
    /// A failed attempt before or after the attempt of the test case itself.
    Rerun,
    /// A further attempt that could not run properly.
    RerunError,
    /// The place where an attempt failed.
    Trace,
    /// The output of an attempt.
    Output,
    Other,
}

impl Part {
    pub(super) fn of_element(name: &str) -> Part {
        match name {
            "failure" => Part::Failure,
            "error" => Part::Error,
            "skipped" | "ignored" | "disabled" => Part::Skipped,
            "rerunFailure" | "flakyFailure" => Part::Rerun,
            "rerunError" | "flakyError" => Part::RerunError,
            "stackTrace" => Part::Trace,
            "system-out" | "system-err" => Part::Output,
            _ => Part::Other,
        }
    }

    /// Returns the outcome of an attempt that has this element. `None` means that the element says nothing about it.
    fn outcome(self) -> Option<TestOutcome> {
        match self {
            Part::Failure | Part::Rerun => Some(TestOutcome::Failed),
            Part::Error | Part::RerunError => Some(TestOutcome::Errored),
            Part::Skipped => Some(TestOutcome::Skipped),
            Part::Trace | Part::Output | Part::Other => None,
        }
    }
}

/// The result of one attempt of a test.
#[derive(Default)]
struct Attempt {
    outcome: TestOutcome,
    message: String,
    /// The text of the elements about the outcome.
    detail: Capped,
    output: Capped,
    duration_us: Option<u64>,
}

/// A test case that is being read.
pub(super) struct Case {
    id: TestId,
    file: String,
    line: u32,
    own: Attempt,
    /// The further attempts, in their order.
    others: Vec<Attempt>,
    /// The elements that are open within the test case.
    open: Vec<Part>,
}

impl Case {
    /// Begins a test case. `suites` is the path of the suites around it, and `file` the file of the innermost suite.
    pub(super) fn new(start: &BytesStart<'_>, suites: &str, file: &str) -> Case {
        let attribute = |name| attribute(start, name).unwrap_or_default();
        let (name, class, status) = (attribute("name"), attribute("classname"), attribute("status"));
        // ctest writes the name also as the class, and its suite is the platform; Jest and Node name no class
        let is_of_ctest = class == name && ["run", "fail", "notrun", "disabled"].contains(&status.as_str());
        let says_nothing = class.is_empty() || class == name || ["test", "suite"].contains(&class.as_str());
        let suite = match () {
            () if is_of_ctest => "",
            () if says_nothing => suites,
            () => &class,
        };
        let name =
            [name.as_str(), &class, "(no name)"].into_iter().find(|name| !name.trim().is_empty()).unwrap_or_default();
        let own_file = bounded(attribute("file"));
        let is_off = status == "disabled" || status == "skipped" || (status == "notrun" && !is_of_ctest);
        let own = Attempt {
            outcome: if is_off { TestOutcome::Skipped } else { TestOutcome::Passed },
            duration_us: micros(&attribute("time")),
            ..Attempt::default()
        };
        Case {
            id: identity(suite, name),
            file: if own_file.is_empty() { file.to_owned() } else { own_file },
            line: attribute("line").parse().unwrap_or(0),
            own,
            others: Vec::new(),
            open: Vec::new(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.id.name
    }

    pub(super) fn begin(&mut self, part: Part, start: &BytesStart<'_>) {
        self.open.push(part);
        if part == Part::Output {
            self.text("\n");
        }
        let is_other = matches!(part, Part::Rerun | Part::RerunError);
        if is_other && self.others.len() < ATTEMPTS_MAX {
            let duration_us = attribute(start, "time").and_then(|time| micros(&time));
            self.others.push(Attempt { duration_us, ..Attempt::default() });
        }
        if let Some(outcome) = part.outcome() {
            let run = if is_other { self.others.last_mut().unwrap_or(&mut self.own) } else { &mut self.own };
            run.says(outcome, start);
        }
    }

    pub(super) fn close(&mut self, part: Part) {
        if self.open.last() == Some(&part) {
            self.open.pop();
        }
    }

    pub(super) fn text(&mut self, text: &str) {
        let is_other = self.open.iter().any(|part| matches!(part, Part::Rerun | Part::RerunError));
        let run = if is_other { self.others.last_mut().unwrap_or(&mut self.own) } else { &mut self.own };
        match self.open.last() {
            Some(Part::Output) => run.output.push(text, OUTPUT_MAX),
            Some(Part::Other) | None => {}
            Some(_) => run.detail.push(text, OUTPUT_MAX),
        }
    }

    /// Adds one result for each attempt. A test case that passed was the last attempt, and one that failed was the first.
    pub(super) fn finish(self, to: &mut Collection) -> Result<(), String> {
        let Case { id, file, line, own, others, .. } = self;
        let passed_at_last = own.outcome == TestOutcome::Passed;
        let runs = match passed_at_last {
            true => others.into_iter().chain([own]).collect::<Vec<_>>(),
            false => [own].into_iter().chain(others).collect(),
        };
        for (run, attempt) in runs.into_iter().zip(1..) {
            to.push(TestResult { id: id.clone(), file: file.clone(), line, attempt, ..run.result() })?;
        }
        Ok(())
    }
}

impl Attempt {
    fn says(&mut self, outcome: TestOutcome, start: &BytesStart<'_>) {
        let attribute = |name| attribute(start, name).filter(|text| !text.trim().is_empty());
        let mut message = attribute("message").unwrap_or_default().trim().to_owned();
        cut(&mut message, MESSAGE_MAX);
        // nobody wanted to skip a test whose program is missing, so it counts as errored
        let cannot_run = outcome == TestOutcome::Skipped && message.starts_with("Unable to find executable");
        let outcome = if cannot_run { TestOutcome::Errored } else { outcome };
        if message == "true" {
            message.clear();
        }
        if weight(outcome) > weight(self.outcome) {
            self.outcome = outcome;
            self.message = message;
        } else if self.message.is_empty() {
            self.message = message;
        }
        self.detail.push("\n", OUTPUT_MAX);
    }

    fn result(mut self) -> TestResult {
        let (detail, printed) = (self.detail.take(), self.output.take());
        let is_bad = matches!(self.outcome, TestOutcome::Failed | TestOutcome::Errored);
        let message = if self.message.trim().is_empty() { first_line(&detail).to_owned() } else { self.message };
        let output = match (detail.is_empty(), printed.is_empty()) {
            (true, _) => printed,
            (false, true) => detail,
            (false, false) => format!("{detail}\n\n{printed}"),
        };
        let output = if is_bad { output } else { String::new() };
        TestResult {
            outcome: self.outcome,
            message: message.trim().to_owned(),
            output,
            duration_us: self.duration_us,
            ..TestResult::default()
        }
    }
}

/// Returns the path of a file, or an empty text if it is longer than any path.
pub(super) fn bounded(path: String) -> String {
    if path.len() > PATH_MAX { String::new() } else { path }
}

/// Returns the weight of an outcome. If a test case has elements for several outcomes, the heaviest counts.
fn weight(outcome: TestOutcome) -> u8 {
    match outcome {
        TestOutcome::Passed => 0,
        TestOutcome::Skipped => 1,
        TestOutcome::Errored => 2,
        TestOutcome::Failed => 3,
    }
}

/// Reads seconds as tools write them, and returns microseconds. It also reads `1,234.5`, and `0,5` of tools that follow the user's
/// language.
fn micros(time: &str) -> Option<u64> {
    let time = time.trim();
    let is_grouped = |(whole, rest): (&str, &str)| rest.contains('.') || (rest.len() == 3 && whole != "0");
    let plain = match time.split_once(',') {
        Some(parts) if is_grouped(parts) => time.replace(',', ""),
        Some(_) => time.replacen(',', ".", 1),
        None => time.to_owned(),
    };
    let seconds = plain.parse::<f64>().ok().filter(|seconds| seconds.is_finite() && *seconds >= 0.0)?;
    // a larger number becomes the largest `u64`
    Some((seconds * 1e6).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_tools_write_them() {
        for (time, wanted) in [
            ("0.25", Some(250_000)),
            ("1,234.5", Some(1_234_500_000)),
            ("1,234,567.5", Some(1_234_567_500_000)),
            ("2,345", Some(2_345_000_000)),
            ("0,345", Some(345_000)),
            ("0,5", Some(500_000)),
            ("1e-05", Some(10)),
            ("-1", None),
            ("NaN", None),
            ("", None),
            ("soon", None),
        ] {
            assert_eq!(micros(time), wanted, "{time}");
        }
    }
}
