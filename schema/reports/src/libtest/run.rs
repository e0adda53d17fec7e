//! One run of one test program: its tests, and what those that failed printed, which comes after all of them. A test can print
//! anything, so a line counts only where the program itself can have written it.

use super::ending::{NameSection, Summary};
use super::{plain_name, verdict};
use crate::cut::{Capped, cut, cut_name, first_line};
use crate::{LIST_MAX, MESSAGE_MAX, NAME_MAX, OUTPUT_MAX, RESULTS_MAX, TestOutcome, TestResult, noise};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// The bytes of all outputs of one run that are held until it ends.
const OUTPUTS_MAX: usize = LIST_MAX / 2;

/// The tests of one program.
#[derive(Default)]
pub(super) struct CargoRun {
    suite: String,
    /// How many there are, as the program says.
    count: usize,
    told: Vec<CargoTest>,
    told_bytes: usize,
    /// The names of the tests whose results were printed.
    names: BTreeSet<Rc<str>>,
    /// The test that is named and may not have ended yet, because it prints.
    pending: Option<Pending>,
    /// What each test printed, by its name as it is printed.
    outputs: BTreeMap<Rc<str>, Capped>,
    /// The test whose output is read.
    printing: Option<Rc<str>>,
    /// The list of names that is read, which may be a part of an output.
    section: Option<NameSection>,
    has_section: bool,
    /// The tests that failed, as the newest list says.
    failures: Vec<Rc<str>>,
    held: usize,
}

/// A test of which the end was told.
struct CargoTest {
    /// The name as it is printed, without the words that say how the test is run.
    name: Rc<str>,
    outcome: TestOutcome,
    why: String,
    duration_us: Option<u64>,
}

/// A test that was named.
struct Pending {
    name: Rc<str>,
    /// The place in `told` of its end, where a line looked like it.
    guess: Option<usize>,
}

impl CargoRun {
    pub(super) fn new(suite: &str, count: usize) -> CargoRun {
        CargoRun { suite: suite.to_owned(), count, ..CargoRun::default() }
    }

    /// Whether the next line belongs to what a test printed, whatever it says: the failures are not listed yet.
    pub(super) fn is_within_output(&self) -> bool {
        self.printing.is_some() && self.section.is_none() && self.failures.is_empty()
    }

    /// Whether the counts can be those of this run, and not those of another run that a test prints.
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
            // a test that prints does so before the word
            self.pending = self.pending.take().filter(|_| verdict(rest).is_none());
        } else {
            self.resolve(line);
        }
    }

    /// The test whose output follows. Within an output only a test of this run has such a line.
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

    /// Ends the pending test, if that is what the text says. What a test printed may stand before the word, without a blank. A
    /// later text has precedence, because a test can print such a text itself.
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

    /// Ends a list behind which something else stands, and which so may be a part of an output.
    fn end_section(&mut self) {
        let Some(section) = self.section.take() else { return };
        let failures: Vec<Rc<str>> = section.failures().map(bounded).collect();
        if !failures.is_empty() && failures.iter().all(|name| self.names.contains(name)) {
            self.failures = failures;
        }
        section.lines.iter().for_each(|line| self.print(line));
    }

    /// Ends the run with the counts that its last line has. None: there is no such line.
    pub(super) fn end(&mut self, summary: Option<&Summary>) {
        let Some(summary) = summary else { return self.end_section() };
        if let Some(section) = self.section.take() {
            self.failures = section.failures().map(bounded).collect();
        }
        if summary.failed == Some(self.failures.len()) {
            self.decide();
        }
    }

    /// Takes the list of the failures for true, because a test can print what looks like its end.
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

    /// The sentence that says which results are missing. `None` means that none is.
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

/// A name as it is held, without what says how the test is run.
fn bounded(name: &str) -> Rc<str> {
    let mut name = plain_name(name).to_owned();
    cut_name(&mut name, NAME_MAX);
    name.into()
}

/// `src/lib.rs - f (line 5)` without its line, which is not a part of its identity.
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
