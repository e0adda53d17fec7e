//! The binary stream of subunit, version 2: packets that say how tests go, amid which anything else may stand.
//! Its form: <https://github.com/testing-cabal/subunit>, "Version 2".

use crate::collection::{Collection, Flaw};
use crate::cut::{Capped, first_line, last_line};
use crate::{LIST_MAX, OUTPUT_MAX, TestId, TestOutcome, TestResult, noise};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};

const SIGNATURE: u8 = 0xb3;
/// The least bytes of a packet: signature, flags, length and sum.
const PACKET_MIN: usize = 8;
/// The most bytes of a packet, as the protocol has it.
const PACKET_MAX: usize = 4 << 20;
/// The bytes of all that is held of tests that have not ended.
const HELD_MAX: usize = LIST_MAX / 2;

pub(crate) fn read(from: impl Read, to: &mut Collection) -> Result<(), Flaw> {
    let mut stream = Packets { from: BufReader::with_capacity(64 << 10, from), at: 0 };
    let mut tests = OpenTests { open: BTreeMap::new(), listed: BTreeSet::new(), held: 0, has_any: false, to };
    let mut damaged = None;
    while let Some(found) = stream.next().map_err(|why| Flaw::at(0, why))? {
        let taken = found.and_then(|bytes| Packet::parse(&bytes).ok_or("is not understood"));
        match taken {
            Ok(packet) => tests.take(packet).map_err(|why| Flaw::at(0, why))?,
            Err(why) => {
                damaged.get_or_insert_with(|| format!("the packet before byte {} {why}", stream.at));
            }
        }
    }
    let ended = tests.end();
    damaged.map_or(ended, Err).map_err(|why| Flaw::at(0, why))
}

/// The packets of a stream.
struct Packets<R> {
    from: BufReader<R>,
    at: u64,
}

impl<R: Read> Packets<R> {
    /// The next packet without its sum, or what is wrong with it. None: there is none.
    fn next(&mut self) -> Result<Option<Result<Vec<u8>, &'static str>>, String> {
        if !self.find()? {
            return Ok(None);
        }
        let mut packet = Vec::new();
        self.take(4, &mut packet)?;
        if packet.len() < 4 {
            return Ok(Some(Err("is cut")));
        }
        let more = usize::from(packet[3] >> 6);
        self.take(more, &mut packet)?;
        let Some((length, _)) = number(packet.get(3..).unwrap_or_default()) else { return Ok(Some(Err("is cut"))) };
        if packet[1] >> 4 != 2 || !(PACKET_MIN..=PACKET_MAX).contains(&length) {
            return Ok(Some(Err("is not of version 2")));
        }
        self.take(length.saturating_sub(packet.len()), &mut packet)?;
        if packet.len() < length {
            return Ok(Some(Err("is cut")));
        }
        let sum = packet.split_off(packet.len() - 4);
        let is_right = sum == crc32(&packet).to_be_bytes();
        Ok(Some(is_right.then_some(packet).ok_or("is damaged")))
    }

    /// Goes on to the next signature.
    fn find(&mut self) -> Result<bool, String> {
        loop {
            let found = self.from.fill_buf().map_err(|error| error.to_string())?;
            if found.is_empty() {
                return Ok(false);
            }
            let start = found.iter().position(|byte| *byte == SIGNATURE);
            let passed = start.unwrap_or(found.len());
            self.from.consume(passed);
            self.at += passed as u64;
            if start.is_some() {
                return Ok(true);
            }
        }
    }

    /// Appends so many bytes, or those that are left.
    fn take(&mut self, count: usize, to: &mut Vec<u8>) -> Result<(), String> {
        let taken = self.from.by_ref().take(count as u64).read_to_end(to).map_err(|error| error.to_string())?;
        self.at += taken as u64;
        Ok(())
    }
}

/// What one packet says of a test.
#[derive(Default)]
struct Packet {
    status: u16,
    /// The moment that it is of, in microseconds since 1970.
    time: Option<u64>,
    test: Option<String>,
    is_text: bool,
    file: Option<(String, Vec<u8>)>,
    /// Which of several processes says it.
    route: String,
}

impl Packet {
    fn parse(bytes: &[u8]) -> Option<Packet> {
        let flags = u16::from_be_bytes([*bytes.get(1)?, *bytes.get(2)?]);
        let (_, start) = number(bytes.get(3..)?)?;
        let mut fields = Fields(bytes.get(3 + start..)?);
        let has = |flag: u16| flags & flag != 0;
        let mut packet = Packet { status: flags & 7, ..Packet::default() };
        if has(0x0200) {
            packet.time = Some(fields.time()?);
        }
        if has(0x0800) {
            packet.test = Some(fields.text()?);
        }
        if has(0x0080) {
            for _ in 0..fields.number()? {
                fields.text()?;
            }
        }
        packet.is_text = if has(0x0020) { fields.text()?.starts_with("text/") } else { true };
        if has(0x0040) {
            packet.file = Some((fields.text()?, fields.bytes()?.to_vec()));
        }
        if has(0x0400) {
            packet.route = fields.text()?;
        }
        Some(packet)
    }
}

/// What is left of a packet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> Option<usize> {
        let (number, length) = number(self.0)?;
        self.0 = &self.0[length..];
        Some(number)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = self.number()?;
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<String> {
        self.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    fn time(&mut self) -> Option<u64> {
        let (seconds, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from(u32::from_be_bytes(*seconds)) * 1_000_000 + self.number()? as u64 / 1_000)
    }
}

/// A number whose first two bits say how many bytes follow the first, and how many bytes it has.
fn number(bytes: &[u8]) -> Option<(usize, usize)> {
    let length = usize::from(*bytes.first()? >> 6) + 1;
    let all = bytes.get(..length)?;
    let first = usize::from(all[0] & 0x3f);
    Some((all[1..].iter().fold(first, |sum, byte| sum << 8 | usize::from(*byte)), length))
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| TABLE[usize::from(sum as u8 ^ byte)] ^ sum >> 8)
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let (mut sum, mut bit) = (at as u32, 0);
        while bit < 8 {
            sum = if sum & 1 == 1 { 0xedb8_8320 ^ sum >> 1 } else { sum >> 1 };
            bit += 1;
        }
        table[at] = sum;
        at += 1;
    }
    table
};

/// The tests that have begun and have not ended.
struct OpenTests<'a> {
    open: BTreeMap<(String, String), OpenTest>,
    /// Those that the stream lists and that have not ended.
    listed: BTreeSet<String>,
    /// The bytes of all that is known of them.
    held: usize,
    has_any: bool,
    to: &'a mut Collection,
}

/// What is known of a test that has not ended.
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
            1 => drop(self.listed.insert(key.1.clone())),
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
        if packet.status < 3 { Ok(()) } else { self.close(&key, packet.status, packet.time) }
    }

    /// Changes what is known of a test that goes on.
    fn open(&mut self, key: &(String, String), change: impl FnOnce(&mut OpenTest)) {
        let before = self.open.get(key).map_or(0, |open| open.bytes(key));
        let open = self.open.entry(key.clone()).or_default();
        change(open);
        self.held = self.held.saturating_sub(before) + open.bytes(key);
    }

    fn close(&mut self, key: &(String, String), status: u16, time: Option<u64>) -> Result<(), String> {
        let open = self.open.remove(key).unwrap_or_default();
        self.held = self.held.saturating_sub(open.bytes(key));
        self.listed.remove(&key.1);
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

/// The result of a test whose last status is this; 0: it has none.
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

/// `a.b.C.test_d(scenario)`: the suite is what stands before the last dot, and scenarios are parameters.
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

    #[test]
    fn the_sum_is_that_of_zip() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
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
