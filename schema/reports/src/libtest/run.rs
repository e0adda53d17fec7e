//! One run of one test program: its tests, and what those that failed printed, which comes after all of them.

use super::verdict;
use crate::cut::{Capped, first_line};
use crate::{LIST_MAX, OUTPUT_MAX, RESULTS_MAX, TestOutcome, TestResult, noise};
use std::collections::BTreeMap;

/// What the names of tests end with that says how the test is run, and not which it is.
const KINDS: [&str; 3] = [" - should panic", " - compile fail", " - compile"];

/// The bytes of all outputs of one run that are held until it ends.
const OUTPUTS_MAX: usize = LIST_MAX / 2;

/// The tests of one program.
pub(super) struct CargoRun {
    suite: String,
    /// How many there are, as the program says.
    count: usize,
    told: Vec<CargoTest>,
    /// The test whose end was not told yet, because it prints.
    pending: Option<String>,
    /// What each test printed, by its name as it is printed.
    outputs: BTreeMap<String, Capped>,
    /// The test whose output is read.
    printing: Option<String>,
    held: usize,
}

/// A test of which the end was told.
struct CargoTest {
    /// As it is printed, without what says how it is run.
    name: String,
    outcome: TestOutcome,
    why: String,
    duration_us: Option<u64>,
}

impl CargoRun {
    pub(super) fn new(suite: &str, count: usize) -> CargoRun {
        let (told, outputs) = (Vec::new(), BTreeMap::new());
        CargoRun { suite: suite.to_owned(), count, told, pending: None, outputs, printing: None, held: 0 }
    }

    pub(super) fn take(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" ----")) {
            self.printing = Some(plain_name(name.trim_end_matches(" stdout")).to_owned());
        } else if matches!(line, "failures:" | "successes:") {
            self.printing = None;
        } else if let Some(name) = &self.printing {
            let room = if self.held < OUTPUTS_MAX { OUTPUT_MAX } else { 0 };
            self.held += line.len().min(OUTPUT_MAX);
            self.outputs.entry(name.clone()).or_default().push_line(line, room);
        } else if let Some((name, rest)) = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... ")) {
            self.pending = Some(plain_name(name).to_owned());
            self.resolve(rest);
        } else {
            self.resolve(line);
        }
    }

    /// Ends the pending test, if that is what the text says. What a test printed may stand before the word, without a blank.
    fn resolve(&mut self, text: &str) {
        let Some(name) = &self.pending else { return };
        let glued = || ["ok", "FAILED"].into_iter().find(|word| text.ends_with(word)).and_then(verdict);
        let Some((outcome, why, duration_us)) = verdict(text).or_else(glued) else { return };
        if self.told.len() <= RESULTS_MAX {
            self.told.push(CargoTest { name: name.clone(), outcome, why: why.to_owned(), duration_us });
        }
        self.pending = None;
    }

    /// What is not told of.
    pub(super) fn lacks(&self) -> Option<String> {
        let (told, count) = (self.told.len(), self.count);
        let suite = if self.suite.is_empty() { "the test program" } else { &self.suite };
        (told < count && told <= RESULTS_MAX).then(|| match told {
            0 => format!("{suite} has {count} tests, and none is told of: with `-q` they have no names"),
            _ => format!("{suite} has {count} tests, and only {told} are told of"),
        })
    }

    pub(super) fn results(mut self) -> Vec<TestResult> {
        let told = std::mem::take(&mut self.told);
        let mut results: Vec<TestResult> = told.into_iter().map(|told| self.result(told)).collect();
        number_twins(&mut results);
        results
    }

    fn result(&mut self, told: CargoTest) -> TestResult {
        let output = self.outputs.get_mut(&told.name).map(Capped::take).unwrap_or_default();
        let panic = Panic::find(&output);
        let (name, line) = without_line(&told.name);
        // a documentation test names its file before its item
        let file = name.split_once(" - ").map(|(file, _)| file).filter(|_| line > 0).unwrap_or_default();
        let message = if told.outcome == TestOutcome::Failed { panic.message } else { told.why };
        let (file, line) = if line > 0 { (file, line) } else { (panic.file, panic.line) };
        TestResult {
            id: noise::identity(&self.suite, name),
            outcome: told.outcome,
            duration_us: told.duration_us,
            file: file.to_owned(),
            line,
            message,
            output,
            ..TestResult::default()
        }
    }
}

fn plain_name(name: &str) -> &str {
    KINDS.iter().find_map(|kind| name.strip_suffix(kind)).unwrap_or(name)
}

/// `src/lib.rs - f (line 5)` without its line, which is no part of its identity.
fn without_line(name: &str) -> (&str, u32) {
    let found = name.strip_suffix(')').and_then(|rest| rest.rsplit_once(" (line "));
    found.and_then(|(name, line)| Some((name, line.parse().ok()?))).unwrap_or((name, 0))
}

/// Several documentation tests of one item are told apart by their order in the file.
fn number_twins(results: &mut [TestResult]) {
    let mut twins: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (at, result) in results.iter().enumerate().filter(|(_, result)| result.line > 0 && !result.file.is_empty()) {
        if result.id.name.starts_with(&format!("{} - ", result.file)) {
            twins.entry(result.id.clone()).or_default().push(at);
        }
    }
    for mut twins in twins.into_values().filter(|twins| twins.len() > 1) {
        twins.sort_by_key(|at| results[*at].line);
        for (at, number) in twins.into_iter().zip(1..) {
            results[at].id.parameters = number.to_string();
        }
    }
}

/// Where a test panicked, and what it said.
#[derive(Default)]
struct Panic<'a> {
    file: &'a str,
    line: u32,
    message: String,
}

impl Panic<'_> {
    fn find(output: &str) -> Panic<'_> {
        let mut lines = output.lines();
        let found = lines.find_map(|line| Some(line.split_once(" panicked at ")?.1));
        let Some(place) = found else {
            return Panic { message: first_line(output).to_owned(), ..Panic::default() };
        };
        // up to Rust 1.72 the message stood before the place
        if let Some((message, place)) = place.strip_prefix('\'').and_then(|rest| rest.rsplit_once("', ")) {
            let (file, line) = file_and_line(place);
            return Panic { file, line, message: message.to_owned() };
        }
        let (file, line) = file_and_line(place.trim_end_matches(':'));
        let is_end =
            |line: &&str| line.is_empty() || line.starts_with("stack backtrace:") || line.starts_with("note: ");
        let message: Vec<&str> = lines.take_while(|line| !is_end(line)).collect();
        Panic { file, line, message: message.join("\n") }
    }
}

/// The file and the line of a place like `src/lib.rs:11:39`.
fn file_and_line(place: &str) -> (&str, u32) {
    let found = place.rsplit_once(':').and_then(|(rest, _)| rest.rsplit_once(':'));
    found.and_then(|(file, line)| Some((file, line.parse().ok()?))).unwrap_or_default()
}
