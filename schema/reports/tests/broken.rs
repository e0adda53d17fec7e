//! Reports that are damaged, cut or far too large: no reader panics, whole results are kept, and the list says what is wrong.
#![expect(clippy::unwrap_used, reason = "a test")]

use reports::{Collection, LIST_MAX, RESULTS_MAX, TestList, TestOutcome, decode, encode};
use schema::values::ReportFormat::{self, Junit, Libtest, Subunit, Tap};
use std::io::{self, Read};
use std::time::{Duration, Instant};

const SAMPLES: [(ReportFormat, &str); 11] = [
    (Junit, "pytest.xml"),
    (Junit, "nextest.xml"),
    (Junit, "ctest.xml"),
    (Junit, "node.xml"),
    (Junit, "surefire.xml"),
    (Junit, "gotestsum.xml"),
    (Junit, "jest.xml"),
    (Tap, "node.tap"),
    (Tap, "perl.tap"),
    (Subunit, "python.subunit"),
    (Libtest, "cargo.txt"),
];

fn read(format: ReportFormat, from: impl Read) -> TestList {
    let mut collection = Collection::below("/build", "");
    collection.read(format, "report", from);
    collection.finish()
}

fn samples() -> impl Iterator<Item = (ReportFormat, &'static str, Vec<u8>)> {
    let bytes =
        |name| std::fs::read(format!("{}/{name}", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples"))).unwrap();
    SAMPLES.into_iter().map(move |(format, name)| (format, name, bytes(name)))
}

/// A report that is cut anywhere has only tests of the whole report, and the list says that the report is cut.
#[test]
fn a_report_may_end_anywhere() {
    for (format, name, bytes) in samples() {
        let whole = read(format, bytes.as_slice());
        let ids: Vec<_> = whole.results.iter().map(|result| &result.id.name).collect();
        let end = bytes.trim_ascii_end().len();
        for at in 0..end {
            let list = read(format, &bytes[..at]);
            assert!(list.results.len() <= whole.results.len(), "{name} cut at {at}");
            if format == Junit {
                let known = list.results.iter().all(|result| ids.contains(&&result.id.name));
                assert!(known, "{name} cut at {at}: {list:?}");
            }
            let is_whole = list.results.len() == whole.results.len() && list.counts() == whole.counts();
            let is_in_line = format == Tap || format == Libtest;
            // only the list of tests at the beginning of a stream shows that it was cut between two packets; a cut between
            // two test programs cannot be seen
            let between: &[usize] = if format == Subunit { &[3, 4, 5] } else { &[5, 7] };
            let is_prefix = format != Junit && format != Tap && whole.results.starts_with(&list.results);
            let is_between = is_prefix && between.contains(&list.results.len());
            let may_be_whole = (is_in_line && is_whole) || is_between;
            assert!(!list.trouble.is_empty() || may_be_whole, "{name} cut at {at} is taken for whole");
        }
    }
}

/// Reports are read as far as possible after their bytes were changed, removed, repeated or mixed with other reports. A seed
/// makes the damage, so each run is the same.
#[test]
fn damaged_reports_are_read_as_far_as_they_go() {
    let mut seed = 0x5eed_u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed >> 16).unwrap()
    };
    let all: Vec<_> = samples().collect();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(2) {
        let (format, _, bytes) = &all[next() % all.len()];
        let other = &all[next() % all.len()].2;
        let mut bytes = bytes.clone();
        for _ in 0..1 + next() % 8 {
            let at = next() % bytes.len().max(1);
            let end = (at + next() % 64).min(bytes.len());
            match next() % 5 {
                0 => bytes.truncate(at),
                1 => drop(bytes.drain(at..end)),
                2 => drop(
                    bytes.splice(at..at, other[..other.len().min(next() % 200)].iter().copied()).collect::<Vec<_>>(),
                ),
                3 => bytes.extend_from_within(at..end),
                _ => bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << (next() % 8)),
            }
        }
        let list = read(*format, bytes.as_slice());
        assert_eq!(decode(&encode(&list).unwrap()).unwrap(), list);
    }
}

/// `Endless` makes a text while it is read: a beginning, and then one part again and again.
struct Endless {
    start: Vec<u8>,
    part: Vec<u8>,
    at: usize,
    left: usize,
}

impl Endless {
    fn new(start: &str, part: String, bytes: usize) -> Endless {
        Endless { start: start.into(), part: part.into(), at: 0, left: bytes }
    }
}

impl Read for Endless {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let from = match self.at.checked_sub(self.start.len()) {
            None => &self.start[self.at..],
            Some(at) => &self.part[at % self.part.len()..],
        };
        let count = from.len().min(into.len()).min(self.left);
        into[..count].copy_from_slice(&from[..count]);
        self.at += count;
        self.left -= count;
        Ok(count)
    }
}

const GIB: usize = 1 << 30;

#[test]
fn a_report_of_a_gigabyte_keeps_its_first_tests() {
    let case = format!("<testcase name=\"t\"/>{}", " ".repeat(10_000));
    let list = read(Junit, Endless::new("<testsuite>", case, GIB));
    assert!((20_000..30_000).contains(&list.results.len()), "{}", list.results.len());
    assert!(list.trouble.ends_with("it has more than 256 MiB, and the rest is not read"), "{}", list.trouble);
}

#[test]
fn a_text_without_an_end_is_not_held() {
    let list =
        read(Junit, Endless::new("<testsuite><testcase name=\"a\"/><testcase name=\"b\">", "x".repeat(1 << 16), GIB));
    assert_eq!(list.results.len(), 1);
    assert!(list.trouble.ends_with("a tag or a text has more than 64 MiB"), "{}", list.trouble);
    for format in [Tap, Libtest, Subunit] {
        let list = read(format, Endless::new("1..2\nok 1\nrunning 2 tests\ntest a ... ok\n", "x".repeat(1 << 16), GIB));
        assert!(!list.trouble.is_empty(), "{format:?}");
    }
}

#[test]
fn a_million_tests_are_too_many() {
    for (format, start, part) in [
        (Junit, "<testsuite>", "<testcase name=\"t\"/>"),
        (Tap, "", "ok - t\n"),
        (Libtest, "running 1000000 tests\n", "test t ... ok\n"),
    ] {
        let list = read(format, Endless::new(start, part.to_owned(), start.len() + part.len() * 1_000_000));
        assert_eq!(list.results.len(), RESULTS_MAX, "{format:?}");
        assert!(list.trouble.contains("a list has at most 250000 results"), "{}", list.trouble);
        assert_eq!(decode(&encode(&list).unwrap()).unwrap().results.len(), RESULTS_MAX);
    }
}

/// A list stays within its limit even if each character takes six bytes when it is stored, as control characters do.
#[test]
fn a_list_stays_within_its_bytes_and_keeps_the_names_longest() {
    let case = format!("<testcase name=\"t\"><failure message=\"m\">{}</failure></testcase>", "\u{1}".repeat(16_000));
    let list = read(Junit, Endless::new("<testsuite>", case.clone(), case.len() * 5_000));
    let with_output = list.results.iter().filter(|result| !result.output.is_empty()).count();
    assert!(list.results.len() == 4_999 && with_output < 1_000, "{} {with_output}", list.results.len());
    assert!(list.trouble.contains("the outputs of tests have more than 64 MiB"), "{}", list.trouble);
    let size: usize = list.results.iter().map(|result| serde_size(&result.output)).sum();
    assert!(size < LIST_MAX);
    decode(&encode(&list).unwrap()).unwrap();
}

fn serde_size(text: &str) -> usize {
    text.chars().map(|char| if char.is_control() { 6 } else { 1 }).sum()
}

#[test]
fn texts_are_cut_with_a_mark() {
    let long = "é".repeat(40_000);
    let text = format!(
        "<testsuite><testcase name=\"{long}\"><failure message=\"{long}\">{long}</failure></testcase></testsuite>"
    );
    let list = read(Junit, text.as_bytes());
    let result = &list.results[0];
    assert_eq!(result.outcome, TestOutcome::Failed);
    assert!(result.id.name.len() <= 1 << 10 && result.message.len() <= 4 << 10 && result.output.len() <= 16 << 10);
    assert!(result.message.ends_with(" […]") && result.output.ends_with(" […]"));
    assert_eq!(list.trouble, "");
}

/// The first error of the file ends the reading, for example because the time for it is over.
#[test]
fn an_error_of_the_file_is_told() {
    struct Late;
    impl Read for Late {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::new(io::ErrorKind::TimedOut, "the time for reading reports is over"))
        }
    }
    for format in ReportFormat::ALL {
        let start: &[u8] = b"<testsuite><testcase name='a'/>\n1..2\nok 1\n";
        let list = read(format, start.chain(Late));
        assert!(list.trouble.contains("the time for reading reports is over"), "{format:?}: {}", list.trouble);
    }
}
