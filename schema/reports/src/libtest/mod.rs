//! Reads the output of `cargo test`, which is the only form of report that the standard test program of stable Rust has. All other
//! lines are skipped.

mod ending;
mod run;

use crate::TestOutcome;
use crate::collection::{Collection, Flaw};
use crate::lines::Lines;
use crate::noise::part;
use ending::Summary;
use run::CargoRun;
use std::io::Read;

/// The endings of test names that say how a test is run. They do not belong to the identity of the test.
const KINDS: [&str; 3] = [" - should panic", " - compile fail", " - compile"];

pub(crate) fn read(from: impl Read, to: &mut Collection) -> Result<(), Flaw> {
    let mut lines = Lines::new(from);
    let mut printed = Printed { suite: String::new(), announced: None, run: None, has_any: false, first: None, to };
    while let Some(line) = lines.next()? {
        printed.take(&line, lines.number).map_err(|why| Flaw::at(lines.number, why))?;
    }
    printed.end(lines.number)
}

/// The state of reading the output of `cargo test`.
struct Printed<'a> {
    /// The suite of the tests that come next, which is their program.
    suite: String,
    /// The program that a line names while another one runs. It counts only if its tests follow at once.
    announced: Option<String>,
    /// The tests of the program whose output is being read.
    run: Option<CargoRun>,
    has_any: bool,
    /// The error of the first run that is not complete.
    first: Option<Flaw>,
    to: &'a mut Collection,
}

impl Printed<'_> {
    fn take(&mut self, line: &str, number: usize) -> Result<(), String> {
        let is_output = self.run.as_ref().is_some_and(CargoRun::is_within_output);
        match (program(line.trim_start()), count(line)) {
            _ if is_output => {}
            (Some(program), _) if program.has_number || self.run.is_none() => {
                self.close(None, number)?;
                self.suite = program.suite;
                return Ok(());
            }
            (Some(program), _) => self.announced = Some(program.suite),
            (None, Some(count)) => return self.begin(count, number),
            (None, None) if line.is_empty() => {}
            (None, None) => self.announced = None,
        }
        let Some(run) = &mut self.run else { return Ok(()) };
        match Summary::parse(line).filter(|summary| run.ends_with(summary)) {
            Some(summary) => self.close(Some(&summary), number),
            None => {
                run.take(line);
                Ok(())
            }
        }
    }

    fn begin(&mut self, count: usize, number: usize) -> Result<(), String> {
        self.close(None, number)?;
        if let Some(suite) = self.announced.take() {
            self.suite = suite;
        }
        self.has_any = true;
        self.run = Some(CargoRun::new(&self.suite, count));
        Ok(())
    }

    /// Ends the run that is open, and notes the first one that is not complete. `summary` is the last line of the run, if it has one.
    fn close(&mut self, summary: Option<&Summary>, number: usize) -> Result<(), String> {
        let Some(mut run) = self.run.take() else { return Ok(()) };
        run.end(summary);
        if let Some(why) = run.lacks() {
            self.first.get_or_insert(Flaw::at(number, why));
        }
        run.results().into_iter().try_for_each(|result| self.to.push(result))
    }

    fn end(mut self, number: usize) -> Result<(), Flaw> {
        if !self.has_any {
            return Err(Flaw::at(0, "there is no `running … tests` of `cargo test` in it"));
        }
        let is_cut = self.run.is_some();
        self.close(None, number).map_err(|why| Flaw::at(number, why))?;
        match self.first {
            Some(flaw) => Err(flaw),
            None if is_cut => Err(Flaw::at(number, "it ends before the line `test result:`")),
            None => Ok(()),
        }
    }
}

/// A test program that a line of the output names.
#[derive(Debug, PartialEq, Eq)]
struct Program {
    suite: String,
    /// Whether the file of the program has the hash that cargo appends to it. A test hardly prints such a line.
    has_number: bool,
}

/// Reads the line in which cargo names the program that it runs. The hash at the end of the program's name is removed, because it
/// differs between machines.
fn program(line: &str) -> Option<Program> {
    if let Some(krate) = line.strip_prefix("Doc-tests ") {
        return Some(Program { suite: part(&format!("{}/doc", krate.trim())), has_number: false });
    }
    let (source, program) = line.strip_prefix("Running ")?.strip_suffix(')')?.rsplit_once(" (")?;
    let source = source.trim_start_matches("unittests").trim().replace('\\', "/");
    let file = program.rsplit(['/', '\\']).next()?.trim_end_matches(".exe");
    let is_number = |number: &str| number.len() == 16 && number.bytes().all(|byte| byte.is_ascii_hexdigit());
    let numbered = file.rsplit_once('-').filter(|(_, number)| is_number(number));
    let name = numbered.map_or(file, |(name, _)| name);
    let suite = if source.is_empty() { name.to_owned() } else { format!("{name}/{source}") };
    Some(Program { suite: part(&suite), has_number: numbered.is_some() })
}

/// Reads the number of tests in a line like `running 3 tests`.
fn count(line: &str) -> Option<usize> {
    let (count, word) = line.strip_prefix("running ")?.split_once(' ')?;
    matches!(word, "test" | "tests").then(|| count.parse().ok())?
}

/// Returns the name of a test without the ending that says how the test is run.
fn plain_name(name: &str) -> &str {
    KINDS.iter().find_map(|kind| name.strip_suffix(kind)).unwrap_or(name)
}

/// Reads the outcome of a test, the reason why it was ignored, and its time in microseconds. Returns `None` for any other text.
fn verdict(text: &str) -> Option<(TestOutcome, &str, Option<u64>)> {
    let (text, duration_us) = match text.strip_suffix("s>").and_then(|rest| rest.rsplit_once(" <")) {
        Some((before, seconds)) => (before, seconds.parse::<f64>().ok().map(|seconds| (seconds * 1e6).round() as u64)),
        None => (text, None),
    };
    let (word, rest) = text.split_at(text.find([',', ':', ' ']).unwrap_or(text.len()));
    let outcome = match word {
        "ok" | "bench" => TestOutcome::Passed,
        "FAILED" => TestOutcome::Failed,
        "ignored" => TestOutcome::Skipped,
        _ => return None,
    };
    let why = if outcome == TestOutcome::Skipped { rest.trim_start_matches([',', ' ']) } else { "" };
    (word == "bench" || rest.is_empty() || outcome != TestOutcome::Passed).then_some((outcome, why, duration_us))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_has_the_same_name_everywhere() {
        for (line, wanted) in [
            (
                "Running unittests src/lib.rs (target/debug/deps/reports-a35a48c092d3f767)",
                Some(("reports/src/lib.rs", true)),
            ),
            ("Running tests\\cut.rs (target\\debug\\deps\\cut-a35a48c092d3f767.exe)", Some(("cut/tests/cut.rs", true))),
            ("Running unittests (target/debug/deps/old-a35a48c092d3f767)", Some(("old", true))),
            ("Running tests/own.rs (own)", Some(("own/tests/own.rs", false))),
            ("Doc-tests reports", Some(("reports/doc", false))),
            ("Running `rustdoc`", None),
            ("Running all of it", None),
        ] {
            let found = program(line);
            let found = found.as_ref().map(|program| (program.suite.as_str(), program.has_number));
            assert_eq!(found, wanted, "{line}");
        }
    }

    #[test]
    fn verdicts_are_told_from_output() {
        for (text, wanted) in [
            ("ok", Some((TestOutcome::Passed, "", None))),
            ("ok <0.250s>", Some((TestOutcome::Passed, "", Some(250_000)))),
            ("ok then", None),
            ("FAILED", Some((TestOutcome::Failed, "", None))),
            ("ignored, slow", Some((TestOutcome::Skipped, "slow", None))),
            ("bench:       1,234 ns/iter (+/- 5)", Some((TestOutcome::Passed, "", None))),
            ("hello", None),
        ] {
            assert_eq!(verdict(text), wanted, "{text}");
        }
    }
}
