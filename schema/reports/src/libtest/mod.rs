//! What `cargo test` prints, which is the only form of the standard test program that stable Rust has. Lines that are none of it
//! are passed over.

mod run;

use crate::TestOutcome;
use crate::collection::{Collection, Flaw};
use crate::lines::Lines;
use run::CargoRun;
use std::io::Read;

pub(crate) fn read(from: impl Read, to: &mut Collection) -> Result<(), Flaw> {
    let mut lines = Lines::new(from);
    let mut printed = Printed { suite: String::new(), run: None, has_any: false, first: None, to };
    while let Some(line) = lines.next()? {
        printed.take(&line, lines.number).map_err(|why| Flaw::at(lines.number, why))?;
    }
    printed.end(lines.number)
}

/// What was printed, as far as it was read.
struct Printed<'a> {
    /// The program of the tests that come next.
    suite: String,
    /// The tests of one program, while it runs.
    run: Option<CargoRun>,
    has_any: bool,
    /// The first run of which not all was told.
    first: Option<Flaw>,
    to: &'a mut Collection,
}

impl Printed<'_> {
    fn take(&mut self, line: &str, number: usize) -> Result<(), String> {
        if let Some(suite) = suite(line.trim_start()) {
            self.close(number)?;
            self.suite = suite;
            return Ok(());
        }
        if let Some(count) = count(line) {
            self.close(number)?;
            self.has_any = true;
            self.run = Some(CargoRun::new(&self.suite, count));
            return Ok(());
        }
        let Some(run) = &mut self.run else { return Ok(()) };
        if line.starts_with("test result: ") {
            return self.close(number);
        }
        run.take(line);
        Ok(())
    }

    /// Ends the run that is open, and notes the first that is not whole.
    fn close(&mut self, number: usize) -> Result<(), String> {
        let Some(run) = self.run.take() else { return Ok(()) };
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
        self.close(number).map_err(|why| Flaw::at(number, why))?;
        match self.first {
            Some(flaw) => Err(flaw),
            None if is_cut => Err(Flaw::at(number, "it ends before the line `test result:`")),
            None => Ok(()),
        }
    }
}

/// The program that cargo says it runs. Its name has a number at its end that differs between machines.
fn suite(line: &str) -> Option<String> {
    if let Some(krate) = line.strip_prefix("Doc-tests ") {
        return Some(format!("{}/doc", krate.trim()));
    }
    let (source, program) = line.strip_prefix("Running ")?.strip_suffix(')')?.rsplit_once(" (")?;
    let source = source.trim_start_matches("unittests").trim().replace('\\', "/");
    let file = program.rsplit(['/', '\\']).next()?.trim_end_matches(".exe");
    let is_number = |number: &str| number.len() == 16 && number.bytes().all(|byte| byte.is_ascii_hexdigit());
    let name = file.rsplit_once('-').filter(|(_, number)| is_number(number)).map_or(file, |(name, _)| name);
    Some(if source.is_empty() { name.to_owned() } else { format!("{name}/{source}") })
}

/// A line like `running 3 tests`.
fn count(line: &str) -> Option<usize> {
    let (count, word) = line.strip_prefix("running ")?.split_once(' ')?;
    matches!(word, "test" | "tests").then(|| count.parse().ok())?
}

/// How a test ended, with the reason where it was left out, and how long it took. None: the text is no such end.
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
            ("Running unittests src/lib.rs (target/debug/deps/reports-a35a48c092d3f767)", Some("reports/src/lib.rs")),
            ("Running tests\\cut.rs (target\\debug\\deps\\cut-a35a48c092d3f767.exe)", Some("cut/tests/cut.rs")),
            ("Running unittests (target/debug/deps/old-a35a48c092d3f767)", Some("old")),
            ("Doc-tests reports", Some("reports/doc")),
            ("Running `rustdoc`", None),
            ("Running all of it", None),
        ] {
            assert_eq!(suite(line).as_deref(), wanted, "{line}");
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
