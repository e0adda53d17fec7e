//! One run of one test program: its tests, and the outputs of the failed ones, which come after all tests. A test can print any
//! line, so a line counts only where the program itself can have written it.

use super::ending::{NameSection, Summary};
use super::{plain_name, verdict};
use crate::cut::{Capped, cut, cut_name, first_line};
use crate::{LIST_MAX, MESSAGE_MAX, NAME_MAX, OUTPUT_MAX, RESULTS_MAX, TestOutcome, TestResult, noise};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// The most bytes of the outputs of one run, which are held until the run ends.
const OUTPUTS_MAX: usize = LIST_MAX / 2;

/// One run of a test program, as far as its output was read.
#[derive(Default)]
pub(super) struct CargoRun {
    suite: String,
    /// The number of tests that the program announced.
    count: usize,
    told: Vec<CargoTest>,
    told_bytes: usize,
    /// The names of the tests whose results were printed.
    names: BTreeSet<Rc<str>>,
    /// The last named test, whose result may still follow because the test prints.
    pending: Option<Pending>,
    /// The output of each test, by the printed name of the test.
    outputs: BTreeMap<Rc<str>, Capped>,
    /// The test whose output is being read.
    printing: Option<Rc<str>>,
    /// The list of names that is being read. It may be a part of an output.
    section: Option<NameSection>,
    has_section: bool,
    /// The tests that failed according to the newest list.
    failures: Vec<Rc<str>>,
    held: usize,
}

/// A test whose result was read.
struct CargoTest {
    /// The printed name, without the words that say how the test is run.
    name: Rc<str>,
    outcome: TestOutcome,
    why: String,
    duration_us: Option<u64>,
}

/// A test whose name was read.
struct Pending {
    name: Rc<str>,
    /// The index in `told` of its result, if a line has looked like one.
    guess: Option<usize>,
}

impl CargoRun {
    pub(super) fn new(suite: &str, count: usize) -> CargoRun {
        CargoRun { suite: suite.to_owned(), count, ..CargoRun::default() }
    }

    /// Whether the next line belongs to the output of a test, whatever it says, because the failures are not listed yet.
    pub(super) fn is_within_output(&self) -> bool {
        self.printing.is_some() && self.section.is_none() && self.failures.is_empty()
    }

    /// Whether the counts can belong to this run, and not to another run whose output a test prints.
    pub(super) fn ends_with(&self, summary: &Summary) -> bool {
        let failures: Vec<Rc<str>> = self.section.iter().flat_map(NameSection::failures).map(bounded).collect();
        let is_right = summary.failed.is_none_or(|failed| failed == failures.len());
        let is_known = self.told.len() < self.count || failures.iter().all(|name| self.names.contains(name));
        let is_listed = failures.is_empty() || (is_right && is_known);
        let is_of_all = |ran| ran == self.count || (self.told.len() <= ran && ran <= self.count);
        !self.is_within_output() && is_listed && summary.ran.is_none_or(is_of_all)
    }

    pub(super) fn take(&mut self, line: &str) {
        if let Some(section) = &mut self.section {
            if section.take(line) {
                return;
            }
            self.end_section();
        }
        if let Some(section) = NameSection::begin(line) {
            (self.section, self.has_section) = (Some(section), true);
        } else if let Some(name) = self.heading(line) {
            (self.printing, self.pending) = (Some(name), None);
        } else if self.printing.is_some() {
            self.print(line);
        } else if let Some((name, rest)) = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... ")) {
            self.pending = Some(Pending { name: bounded(name), guess: None });
            self.resolve(rest);
            // if the line has a result, nothing more is pending: a test that prints does so before its result
            self.pending = self.pending.take().filter(|_| verdict(rest).is_none());
        } else {
            self.resolve(line);
        }
    }

    /// Reads the heading before the output of a test, and returns the name of the test. Within an output, it counts only if it names a
    /// test of this run.
    fn heading(&self, line: &str) -> Option<Rc<str>> {
        let name = line.strip_prefix("---- ")?.strip_suffix(" ----")?;
        let name = bounded(name.trim_end_matches(" stdout"));
        (self.has_section && (self.printing.is_none() || self.names.contains(&name))).then_some(name)
    }

    fn print(&mut self, line: &str) {
        let Some(name) = &self.printing else { return };
        let room = if self.held < OUTPUTS_MAX { OUTPUT_MAX } else { 0 };
        self.held += line.len().min(OUTPUT_MAX);
        self.outputs.entry(Rc::clone(name)).or_default().push_line(line, room);
    }

    /// Ends the pending test if `text` is a result. The test's output may come before the result, without a blank. A later result
    /// replaces an earlier one, because a test can print such a text itself.
    fn resolve(&mut self, text: &str) {
        let Some(pending) = &mut self.pending else { return };
        let glued = || ["ok", "FAILED"].into_iter().find(|word| text.ends_with(word)).and_then(verdict);
        let Some((outcome, why, duration_us)) = verdict(text).or_else(glued) else { return };
        let mut why = why.to_owned();
        cut(&mut why, MESSAGE_MAX);
        let test = CargoTest { name: Rc::clone(&pending.name), outcome, why, duration_us };
        let at = *pending.guess.get_or_insert(self.told.len());
        match self.told.get_mut(at) {
            Some(guessed) => *guessed = test,
            None => self.tell(test),
        }
    }

    fn tell(&mut self, test: CargoTest) {
        if self.told.len() <= RESULTS_MAX && self.told_bytes <= LIST_MAX {
            self.told_bytes += size_of::<CargoTest>() + test.name.len() + test.why.len();
            self.names.insert(Rc::clone(&test.name));
            self.told.push(test);
        }
    }

    /// Ends a list of names that other lines follow, so that it may be a part of an output.
    fn end_section(&mut self) {
        let Some(section) = self.section.take() else { return };
        let failures: Vec<Rc<str>> = section.failures().map(bounded).collect();
        if !failures.is_empty() && failures.iter().all(|name| self.names.contains(name)) {
            self.failures = failures;
        }
        section.lines.iter().for_each(|line| self.print(line));
    }

    /// Ends the run. `summary` has the counts of its last line, or is `None` if there is no such line.
    pub(super) fn end(&mut self, summary: Option<&Summary>) {
        let Some(summary) = summary else { return self.end_section() };
        if let Some(section) = self.section.take() {
            self.failures = section.failures().map(bounded).collect();
        }
        if summary.failed == Some(self.failures.len()) {
            self.decide();
        }
    }

    /// Corrects the outcomes by the list of failures, because a test can print a text that looks like its result.
    fn decide(&mut self) {
        let failures: BTreeSet<Rc<str>> = self.failures.drain(..).collect();
        let is_known = failures.is_subset(&self.names);
        for told in &mut self.told {
            if failures.contains(&told.name) {
                told.outcome = TestOutcome::Failed;
            } else if told.outcome == TestOutcome::Failed && is_known {
                told.outcome = TestOutcome::Passed;
            }
        }
        for name in failures {
            if self.told.len() < self.count && !self.names.contains(&name) {
                self.tell(CargoTest { name, outcome: TestOutcome::Failed, why: String::new(), duration_us: None });
            }
        }
    }

    /// Returns a sentence that says how many results are missing, or `None` if none is.
    pub(super) fn lacks(&self) -> Option<String> {
        let (told, count) = (self.told.len(), self.count);
        let suite = if self.suite.is_empty() { "the test program" } else { &self.suite };
        (told < count && told <= RESULTS_MAX).then(|| match told {
            0 => format!("{suite} has {count} tests, but with `-q` the output does not name them: run it without `-q`"),
            _ => format!("{suite} has {count} tests, but its output has results for only {told}"),
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

/// Returns a name within its bound, without the ending that says how the test is run.
fn bounded(name: &str) -> Rc<str> {
    let mut name = plain_name(name).to_owned();
    cut_name(&mut name, NAME_MAX);
    name.into()
}

/// Splits a name such as `src/lib.rs - f (line 5)` into the name without its line, which is not a part of the identity, and the line.
fn without_line(name: &str) -> (&str, u32) {
    let found = name.strip_suffix(')').and_then(|rest| rest.rsplit_once(" (line "));
    found.and_then(|(name, line)| Some((name, line.parse().ok()?))).unwrap_or((name, 0))
}

/// Numbers the documentation tests of the same item by their order in the file, so that they have different identities.
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

/// The place and the message of a test's panic.
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
        // up to Rust 1.72 the message came before the place
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

/// Reads the file and the line of a place like `src/lib.rs:11:39`.
fn file_and_line(place: &str) -> (&str, u32) {
    let found = place.rsplit_once(':').and_then(|(rest, _)| rest.rsplit_once(':'));
    found.and_then(|(file, line)| Some((file, line.parse().ok()?))).unwrap_or_default()
}
