//! Reads the binary stream of subunit, version 2. Its packets report the progress of tests, and any other bytes may be between them.
//! The form is described in <https://github.com/testing-cabal/subunit>, "Version 2".

mod packet;
mod stream;

use crate::collection::{Collection, Flaw};
use crate::cut::{Capped, first_line, last_line};
use crate::{LIST_MAX, OUTPUT_MAX, RESULTS_MAX, TestId, TestOutcome, TestResult, noise};
use packet::Packet;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use stream::Packets;

/// The bytes of held tests, which have not ended, from which further output is dropped. If they take twice as many by their names
/// alone, the reading ends.
const HELD_MAX: usize = LIST_MAX / 2;

pub(crate) fn read(from: impl Read, to: &mut Collection) -> Result<(), Flaw> {
    let mut stream = Packets::new(from);
    let mut tests = OpenTests { open: BTreeMap::new(), listed: BTreeSet::new(), held: 0, has_any: false, to };
    let mut damaged = None;
    while let Some(found) = stream.next().map_err(|why| Flaw::at(0, why))? {
        let parse = |bytes: Vec<u8>| Packet::parse(&bytes).ok_or_else(|| "a packet is not understood".to_owned());
        match found.and_then(parse) {
            Ok(packet) => tests.take(packet).map_err(|why| Flaw::at(0, why))?,
            Err(why) => {
                damaged.get_or_insert(why);
            }
        }
    }
    let ended = tests.end();
    damaged.map_or(ended, Err).map_err(|why| Flaw::at(0, why))
}

/// The tests that have begun and have not ended.
struct OpenTests<'a> {
    open: BTreeMap<(String, String), OpenTest>,
    /// The names of the tests that the stream lists and that have not ended.
    listed: BTreeSet<String>,
    /// The bytes that the open and the listed tests take.
    held: usize,
    has_any: bool,
    to: &'a mut Collection,
}

/// A test that has not ended, as far as the packets describe it.
#[derive(Default)]
struct OpenTest {
    began: Option<u64>,
    is_begun: bool,
    output: Capped,
    reason: Capped,
}

impl OpenTests<'_> {
    fn take(&mut self, packet: Packet) -> Result<(), String> {
        self.has_any = true;
        let Some(test) = packet.test else { return Ok(()) };
        let key = (packet.route, test);
        match packet.status {
            1 => self.list(&key.1),
            2 => self.open(&key, |open| {
                open.began = packet.time;
                open.is_begun = true;
            }),
            _ => {}
        }
        if let Some((name, bytes)) = packet.file.filter(|_| packet.is_text && self.held < HELD_MAX) {
            self.open(&key, |open| {
                let into = if name == "reason" { &mut open.reason } else { &mut open.output };
                into.push(&String::from_utf8_lossy(&bytes), OUTPUT_MAX);
            });
        }
        if packet.status >= 3 {
            return self.close(&key, packet.status, packet.time);
        }
        let count = self.open.len().max(self.listed.len());
        if count > RESULTS_MAX || self.held > 2 * HELD_MAX {
            return Err(format!("{count} tests have begun or are listed, and have not ended: the rest is not read"));
        }
        Ok(())
    }

    fn list(&mut self, test: &str) {
        if self.listed.insert(test.to_owned()) {
            self.held += bytes_of_listed(test);
        }
    }

    /// Changes the entry of a test that has not ended. Makes the entry if there is none.
    fn open(&mut self, key: &(String, String), change: impl FnOnce(&mut OpenTest)) {
        let before = self.open.get(key).map_or(0, |open| open.bytes(key));
        let open = self.open.entry(key.clone()).or_default();
        change(open);
        self.held = self.held.saturating_sub(before) + open.bytes(key);
    }

    fn close(&mut self, key: &(String, String), status: u16, time: Option<u64>) -> Result<(), String> {
        let open = self.open.remove(key).unwrap_or_default();
        self.held = self.held.saturating_sub(open.bytes(key));
        if self.listed.remove(&key.1) {
            self.held = self.held.saturating_sub(bytes_of_listed(&key.1));
        }
        let duration_us = time.zip(open.began).map(|(end, start)| end.saturating_sub(start));
        self.to.push(TestResult { duration_us, ..result(&key.1, status, open) })
    }

    fn end(mut self) -> Result<(), String> {
        if !self.has_any {
            return Err("there is no packet of subunit, version 2, in it".to_owned());
        }
        let open: Vec<_> = self.open.into_iter().filter(|(_, open)| open.is_begun).collect();
        let count = open.len();
        for ((_, test), open) in open {
            self.listed.remove(&test);
            self.to.push(result(&test, 0, open))?;
        }
        match (count, self.listed.len()) {
            (0, 0) => Ok(()),
            (0, listed) => Err(format!("the stream lists {listed} tests that did not run")),
            (count, _) => Err(format!("the stream ends before {count} tests do")),
        }
    }
}

impl OpenTest {
    fn bytes(&self, key: &(String, String)) -> usize {
        size_of::<OpenTest>() + key.0.len() + key.1.len() + self.output.len() + self.reason.len()
    }
}

fn bytes_of_listed(test: &str) -> usize {
    size_of::<String>() + test.len()
}

/// Returns the result of a test with this last status. The status 0 means that the test did not end.
fn result(test: &str, status: u16, mut open: OpenTest) -> TestResult {
    let (outcome, usual) = match status {
        3 => (TestOutcome::Passed, ""),
        4 => (TestOutcome::Failed, "it passed, and was expected to fail"),
        5 => (TestOutcome::Skipped, ""),
        6 => (TestOutcome::Failed, ""),
        7 => (TestOutcome::Skipped, "it failed, as was expected"),
        _ => (TestOutcome::Errored, "it did not end"),
    };
    let (output, reason) = (open.output.take(), open.reason.take());
    let found = if reason.is_empty() && usual.is_empty() { last_line(&output) } else { first_line(&reason) };
    let message = if found.is_empty() { usual } else { found };
    let message = if outcome == TestOutcome::Passed { String::new() } else { message.to_owned() };
    TestResult { id: id_of(test), outcome, message, output, ..TestResult::default() }
}

/// Makes the identity of a test such as `a.b.C.test_d(scenario)`. The suite is the text before the last dot, and the scenario becomes
/// the parameters.
fn id_of(test: &str) -> TestId {
    let (path, scenario) = match test.strip_suffix(')').and_then(|inner| inner.split_once('(')) {
        Some((path, scenario)) if !path.is_empty() => (path, scenario),
        _ => (test, ""),
    };
    let is_dotted = !path.contains(char::is_whitespace);
    let (suite, name) = path.rsplit_once('.').filter(|_| is_dotted).unwrap_or(("", path));
    let name = if scenario.is_empty() { name.to_owned() } else { format!("{name}[{scenario}]") };
    noise::identity(suite, &name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open_tests(to: &mut Collection) -> OpenTests<'_> {
        OpenTests { open: BTreeMap::new(), listed: BTreeSet::new(), held: 0, has_any: false, to }
    }

    /// Takes packets until one is refused, and returns how many were accepted.
    fn taken(status: u16, name_bytes: usize, tests: &mut OpenTests<'_>) -> usize {
        let name = "n".repeat(name_bytes);
        let packet = |number: usize| Packet { status, test: Some(format!("{name}{number}")), ..Packet::default() };
        let refused = (0..=RESULTS_MAX).position(|number| tests.take(packet(number)).is_err());
        refused.expect("an end")
    }

    #[test]
    fn tests_that_do_not_end_are_not_held_without_a_bound() {
        for status in [1, 2] {
            let mut collection = Collection::default();
            assert_eq!(taken(status, 1, &mut open_tests(&mut collection)), RESULTS_MAX);
            let many = taken(status, 1 << 20, &mut open_tests(&mut collection));
            assert!(many << 20 <= 2 * HELD_MAX, "{many} names of a MiB are held");
        }
    }

    #[test]
    fn what_is_held_of_a_test_is_given_back_at_its_end() {
        let mut collection = Collection::default();
        let mut tests = open_tests(&mut collection);
        for status in [1, 2, 3] {
            tests.take(Packet { status, test: Some("t".to_owned()), ..Packet::default() }).unwrap();
        }
        assert_eq!((tests.held, tests.open.len(), tests.listed.len()), (0, 0, 0));
    }

    #[test]
    fn a_test_is_named_by_its_path() {
        for (test, wanted) in [
            ("a.B.test_c", "a.B › test_c"),
            ("a.B.test_c(x.y)", "a.B › test_c[x.y]"),
            ("says e.g. this", "says e.g. this"),
            ("alone", "alone"),
        ] {
            assert_eq!(id_of(test).to_string(), wanted);
        }
    }
}
