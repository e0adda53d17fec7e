//! The list of a step's tests in its stored form: JSON lines, compressed with zstd. The first line holds the version and the trouble of
//! the list, and each other line is a [`TestResult`]. A version ignores fields that it does not know.

use crate::{LIST_MAX, RESULTS_MAX, TestOutcome, TestResult};
use schema::values::{TestCounts, TestsReported};
use serde::{Deserialize, Serialize};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};

/// The list of all tests of one step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestList {
    pub results: Vec<TestResult>,
    /// The reason why the list is not complete, with its place. Empty means that the list is complete.
    pub trouble: String,
}

impl TestList {
    /// Returns the numbers of tests by their outcome. A test with several attempts, which follow each other in the list, counts once, by
    /// its last attempt.
    pub fn counts(&self) -> TestCounts {
        let mut counts = TestCounts::default();
        for result in self.last_attempts() {
            let count = match result.outcome {
                TestOutcome::Passed => &mut counts.passed,
                TestOutcome::Failed => &mut counts.failed,
                TestOutcome::Errored => &mut counts.errored,
                TestOutcome::Skipped => &mut counts.skipped,
            };
            *count += 1;
        }
        counts
    }

    /// Returns the last attempt of each test, which is the one that counts.
    fn last_attempts(&self) -> impl Iterator<Item = &TestResult> {
        self.results.iter().enumerate().filter_map(|(index, result)| {
            let next = self.results.get(index + 1);
            let is_tried_again = next.is_some_and(|next| next.id == result.id && next.attempt > result.attempt);
            (!is_tried_again).then_some(result)
        })
    }

    /// Returns the summary of the list. The caller adds the hash under which the list is stored.
    pub fn in_short(&self) -> TestsReported {
        let bad = |result: &&TestResult| matches!(result.outcome, TestOutcome::Failed | TestOutcome::Errored);
        let failing = self.last_attempts().filter(bad).map(|result| result.id.to_string());
        let durations = self.results.iter().filter_map(|result| result.duration_us);
        TestsReported {
            list: Vec::new(),
            counts: self.counts(),
            duration_us: durations.fold(0, u64::saturating_add),
            failing: failing.take(TestsReported::FAILING_MAX).collect(),
            trouble: self.trouble.clone(),
        }
    }
}

/// The reason why the bytes of a blob are not a list of tests. Its text is for a person.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableList {
    #[error("the list of tests is damaged: {0}")]
    Damaged(#[from] std::io::Error),
    #[error("line {line} of the list of tests is not understood: {error}")]
    Strange { line: usize, error: serde_json::Error },
    #[error("the list of tests is of version {0}, and this program knows version 1: upgrade it")]
    Newer(u16),
    #[error("the list of tests has more than {RESULTS_MAX} results or {LIST_MAX} bytes")]
    TooLarge,
}

/// The first line of the list.
#[derive(Serialize, Deserialize)]
struct Head {
    version: u16,
    #[serde(default)]
    trouble: String,
}

/// The newest version of the form that this program knows, and the one that it writes.
const VERSION: u16 = 1;
/// The level of zstd. It is as fast as a disk and reduces the names of a suite to a tenth of their size.
const LEVEL: i32 = 3;

/// Returns the bytes of a list in its stored form.
pub fn encode(list: &TestList) -> std::io::Result<Vec<u8>> {
    let mut to = zstd::Encoder::new(Vec::new(), LEVEL)?;
    serde_json::to_writer(&mut to, &Head { version: VERSION, trouble: list.trouble.clone() })?;
    to.write_all(b"\n")?;
    for result in &list.results {
        serde_json::to_writer(&mut to, result)?;
        to.write_all(b"\n")?;
    }
    to.finish()
}

/// Reads the bytes that [`encode`] made, also in another version of Guild. They come from a worker, so their decompressed size is
/// bounded.
pub fn decode(bytes: &[u8]) -> Result<TestList, UnreadableList> {
    // one byte more than allowed is read, to find lists that are too large
    let bounded = zstd::Decoder::new(bytes)?.take(LIST_MAX as u64 + 1);
    let mut lines = BufReader::new(bounded);
    let mut text = String::new();
    let mut read = lines.read_line(&mut text)?;
    let head: Head = parse(&text, 1)?;
    if head.version > VERSION {
        return Err(UnreadableList::Newer(head.version));
    }
    let mut list = TestList { results: Vec::new(), trouble: head.trouble };
    for line in 2.. {
        text.clear();
        let length = lines.read_line(&mut text)?;
        if length == 0 {
            break;
        }
        read += length;
        if read > LIST_MAX || list.results.len() == RESULTS_MAX {
            return Err(UnreadableList::TooLarge);
        }
        list.results.push(parse(&text, line)?);
    }
    Ok(list)
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str, line: usize) -> Result<T, UnreadableList> {
    serde_json::from_str(text).map_err(|error| UnreadableList::Strange { line, error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TestId;

    fn result(name: &str, outcome: TestOutcome, attempt: u16) -> TestResult {
        let id = TestId { suite: "a.B".to_owned(), name: name.to_owned(), parameters: "1-x".to_owned() };
        TestResult { id, outcome, attempt, ..TestResult::default() }
    }

    #[test]
    fn a_list_comes_back_as_it_was() {
        let mut one = result("breaks", TestOutcome::Failed, 1);
        one.message = "left is not right\nat all".to_owned();
        one.duration_us = Some(1_500);
        let list = TestList { results: vec![result("works", TestOutcome::Passed, 1), one], trouble: "cut".to_owned() };
        assert_eq!(decode(&encode(&list).unwrap()).unwrap(), list);
    }

    #[test]
    fn a_test_that_was_tried_again_counts_by_its_last_attempt() {
        let results = vec![result("t", TestOutcome::Failed, 1), result("t", TestOutcome::Passed, 2)];
        let counts = TestList { results, trouble: String::new() }.counts();
        assert_eq!(counts, TestCounts { passed: 1, ..TestCounts::default() });
    }

    #[test]
    fn what_is_no_list_is_refused() {
        assert!(matches!(decode(b"junk"), Err(UnreadableList::Damaged(_))));
        let newer = zstd::encode_all(&b"{\"version\":2}\n"[..], 1).unwrap();
        assert!(matches!(decode(&newer), Err(UnreadableList::Newer(2))));
        let cut = zstd::encode_all(&b"{\"version\":1}\n{\"name\":"[..], 1).unwrap();
        assert!(matches!(decode(&cut), Err(UnreadableList::Strange { line: 2, .. })));
    }

    #[test]
    fn a_bomb_is_refused_before_it_takes_memory() {
        let mut to = zstd::Encoder::new(Vec::new(), 1).unwrap();
        to.write_all(b"{\"version\":1}\n").unwrap();
        let line = format!("{{\"name\":\"{}\"}}\n", "x".repeat(1 << 20));
        for _ in 0..200 {
            to.write_all(line.as_bytes()).unwrap();
        }
        assert!(matches!(decode(&to.finish().unwrap()), Err(UnreadableList::TooLarge)));
    }
}
