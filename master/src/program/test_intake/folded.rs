//! Folds the lists of one job into one, in which each test appears once. It is pure.

use crate::decide::test_history::{Verdict, duration_code};
use crate::keep::store::{TestIdentity, TestName};
use reports::{TestId, TestList, TestOutcome};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// The most bytes that the tests of one job take in memory. As many tests as a project may have fit, if their names have at most 300
/// characters.
pub(super) const FOLDED_MAX: usize = 256 << 20;

/// `FoldedTests` holds all tests that a job ran.
#[derive(Debug, Default)]
pub(super) struct FoldedTests {
    /// Whether each list was read, was whole and had room. Otherwise a test that is missing here may still exist.
    pub(super) is_whole: bool,
    /// The bytes that the tests take in memory.
    bytes: usize,
    tests: BTreeMap<TestIdentity, FoldedTest>,
}

#[derive(Debug)]
struct FoldedTest {
    id: TestId,
    file: String,
    verdict: Verdict,
    duration_us: Option<u64>,
}

/// Folds one list. Tests beyond `most` bytes are left out.
pub(super) fn fold(list: TestList, most: usize) -> FoldedTests {
    let mut folded = FoldedTests { is_whole: list.trouble.is_empty(), ..FoldedTests::default() };
    let mut results = list.results.into_iter().peekable();
    let mut failed_before = false;
    while let Some(result) = results.next() {
        let is_tried_again = results.peek().is_some_and(|next| next.id == result.id && next.attempt > result.attempt);
        let verdict = verdict(result.outcome, failed_before);
        failed_before = is_tried_again && (failed_before || verdict.is_bad());
        if !is_tried_again {
            let test = FoldedTest { id: result.id, file: result.file, verdict, duration_us: result.duration_us };
            folded.add(identity(&test.id), test, most);
        }
    }
    folded
}

fn verdict(outcome: TestOutcome, failed_before: bool) -> Verdict {
    match outcome {
        TestOutcome::Passed if failed_before => Verdict::Mixed,
        TestOutcome::Passed => Verdict::Passed,
        TestOutcome::Failed => Verdict::Failed,
        TestOutcome::Errored => Verdict::Errored,
        TestOutcome::Skipped => Verdict::Skipped,
    }
}

impl FoldedTest {
    fn size(&self) -> usize {
        let TestId { suite, name, parameters } = &self.id;
        size_of::<(TestIdentity, FoldedTest)>() + suite.len() + name.len() + parameters.len() + self.file.len()
    }
}

impl FoldedTests {
    /// Joins this list with another one. Tests beyond `most` bytes together are left out.
    pub(super) fn joined(mut self, other: FoldedTests, most: usize) -> FoldedTests {
        self.is_whole &= other.is_whole;
        for (identity, test) in other.tests {
            self.add(identity, test, most);
        }
        self
    }

    /// Adds a test. A test that appears several times has the worst of its verdicts and the sum of its durations.
    fn add(&mut self, identity: TestIdentity, test: FoldedTest, most: usize) {
        let bytes = self.bytes + test.size();
        match self.tests.entry(identity) {
            Entry::Vacant(_) if bytes > most => self.is_whole = false,
            Entry::Vacant(free) => {
                free.insert(test);
                self.bytes = bytes;
            }
            Entry::Occupied(mut taken) => {
                let known = taken.get_mut();
                known.verdict = known.verdict.max(test.verdict);
                known.duration_us = match (known.duration_us, test.duration_us) {
                    (Some(one), Some(other)) => Some(one.saturating_add(other)),
                    (one, other) => one.or(other),
                };
            }
        }
    }

    /// Returns the tests that have no number yet.
    pub(super) fn unknown(&self, numbers: &BTreeMap<TestIdentity, u32>) -> Vec<TestName> {
        let unknown = self.tests.iter().filter(|(identity, _)| !numbers.contains_key(*identity));
        unknown.map(|(identity, test)| name_of(*identity, test)).collect()
    }

    /// Returns the numbered tests that name a file other than the recorded one.
    pub(super) fn moved(
        &self,
        numbers: &BTreeMap<TestIdentity, u32>,
        files: &BTreeMap<TestIdentity, String>,
    ) -> Vec<TestName> {
        let told =
            self.tests.iter().filter(|(identity, test)| !test.file.is_empty() && numbers.contains_key(*identity));
        let moved = told.filter(|(identity, test)| files.get(*identity).is_none_or(|file| *file != cut(&test.file)));
        moved.map(|(identity, test)| name_of(*identity, test)).collect()
    }

    /// Returns the bytes of the verdicts and of the durations, each at the number of its test. A test without a number is left out,
    /// because its project has reached its limit of tests.
    pub(super) fn columns(&self, numbers: &BTreeMap<TestIdentity, u32>) -> (Vec<u8>, Vec<u8>) {
        let numbered = self.tests.iter().filter_map(|(identity, test)| Some((*numbers.get(identity)? as usize, test)));
        let numbered: Vec<_> = numbered.collect();
        let length = numbered.iter().map(|(number, _)| number + 1).max().unwrap_or(0);
        let (mut verdicts, mut durations) = (vec![0; length], vec![0; length]);
        for (number, test) in numbered {
            verdicts[number] = test.verdict.code();
            durations[number] = if test.verdict.has_run() { duration_code(test.duration_us) } else { 0 };
        }
        (verdicts, durations)
    }
}

/// The longest text of a test's name or file that is kept, in bytes. It fills a few lines on a page.
const TEXT_MAX: usize = 1024;

fn name_of(identity: TestIdentity, test: &FoldedTest) -> TestName {
    TestName {
        identity,
        suite: cut(&test.id.suite).into_owned(),
        name: cut(&test.id.name).into_owned(),
        parameters: cut(&test.id.parameters).into_owned(),
        file: cut(&test.file).into_owned(),
    }
}

fn cut(text: &str) -> Cow<'_, str> {
    schema::limits::cut(text, TEXT_MAX)
}

/// Hashes the parts of a name with their lengths, so that two different tests have different identities.
pub(super) fn identity(id: &TestId) -> TestIdentity {
    let mut hash = blake3::Hasher::new();
    for part in [&id.suite, &id.name, &id.parameters] {
        hash.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    let mut identity = TestIdentity::default();
    identity.copy_from_slice(&hash.finalize().as_bytes()[..16]);
    identity
}

#[cfg(test)]
mod tests {
    use super::*;
    use reports::TestResult;

    fn list(results: &[(&str, TestOutcome, u16)], trouble: &str) -> TestList {
        let result = |(name, outcome, attempt): &(&str, TestOutcome, u16)| TestResult {
            id: TestId { suite: "s".to_owned(), name: (*name).to_owned(), parameters: String::new() },
            outcome: *outcome,
            attempt: *attempt,
            duration_us: Some(1_000),
            ..TestResult::default()
        };
        TestList { results: results.iter().map(result).collect(), trouble: trouble.to_owned() }
    }

    fn verdict_of(folded: &FoldedTests, name: &str) -> Verdict {
        let id = TestId { suite: "s".to_owned(), name: name.to_owned(), parameters: String::new() };
        folded.tests[&identity(&id)].verdict
    }

    #[test]
    fn each_test_counts_once() {
        use TestOutcome::{Failed, Passed, Skipped};
        let first =
            list(&[("a", Failed, 1), ("a", Passed, 2), ("b", Failed, 1), ("b", Failed, 2), ("c", Passed, 1)], "");
        let second = list(&[("c", Failed, 1), ("d", Skipped, 1), ("e", Passed, 1), ("e", Failed, 1)], "");
        let folded = fold(first, FOLDED_MAX).joined(fold(second, FOLDED_MAX), FOLDED_MAX);
        let verdicts = ["a", "b", "c", "d", "e"].map(|name| verdict_of(&folded, name));
        use Verdict::{Failed as Bad, Mixed, Skipped as Left};
        assert_eq!(verdicts, [Mixed, Bad, Bad, Left, Bad]);
        assert!(folded.is_whole);
        let cut = fold(list(&[], "cut"), FOLDED_MAX);
        assert!(!cut.is_whole && !folded.joined(cut, FOLDED_MAX).is_whole);
    }

    #[test]
    fn many_lists_take_no_more_room_than_one() {
        let names: Vec<String> = (0..50).map(|number| format!("test {number:020}")).collect();
        let lists = names.chunks(10).map(|names| {
            list(&names.iter().map(|name| (name.as_str(), TestOutcome::Passed, 1)).collect::<Vec<_>>(), "")
        });
        let one = fold(lists.clone().next().unwrap(), FOLDED_MAX);
        let (most, count) = (2 * one.bytes, one.tests.len());
        let all = lists.fold(one, |all, list| all.joined(fold(list, most), most));
        assert_eq!((count, all.tests.len(), all.bytes, all.is_whole), (10, 20, most, false));
        let again = list(&[(names[0].as_str(), TestOutcome::Failed, 1)], "");
        let all = FoldedTests { is_whole: true, ..all }.joined(fold(again, most), most);
        assert!(all.is_whole, "a test that is known needs no room");
        assert_eq!(verdict_of(&all, &names[0]), Verdict::Failed);
        assert!(!fold(list(&[("large", TestOutcome::Passed, 1)], ""), 10).is_whole);
    }

    #[test]
    fn columns_stand_at_the_numbers_of_the_tests() {
        let folded = fold(list(&[("a", TestOutcome::Failed, 1), ("b", TestOutcome::Skipped, 1)], ""), FOLDED_MAX);
        let new = folded.unknown(&BTreeMap::new());
        assert_eq!(new.len(), 2);
        let number_of = |name: &str| new.iter().find(|it| it.name == name).unwrap().identity;
        let numbers = BTreeMap::from([(number_of("a"), 2), (number_of("b"), 0)]);
        assert!(folded.unknown(&numbers).is_empty());
        let (verdicts, durations) = folded.columns(&numbers);
        assert_eq!(verdicts, [Verdict::Skipped.code(), 0, Verdict::Failed.code()]);
        assert_eq!(durations, [0, 0, duration_code(Some(1_000))]);
    }

    #[test]
    fn a_test_that_moved_is_found() {
        let at = |files: &[(&str, &str)]| {
            let result = |(name, file): &(&str, &str)| TestResult {
                id: TestId { suite: "s".to_owned(), name: (*name).to_owned(), parameters: String::new() },
                file: (*file).to_owned(),
                ..TestResult::default()
            };
            fold(TestList { results: files.iter().map(result).collect(), trouble: String::new() }, FOLDED_MAX)
        };
        let long = "x".repeat(TEXT_MAX + 1);
        let before =
            at(&[("stays", "a.py"), ("moves", "a.py"), ("untold", "a.py"), ("first told", ""), ("long", &long)]);
        let known = before.unknown(&BTreeMap::new());
        let numbers = (0..).zip(&known).map(|(number, name)| (name.identity, number)).collect();
        let files = known.into_iter().map(|it| (it.identity, it.file)).filter(|(_, file)| !file.is_empty()).collect();
        assert_eq!(before.moved(&numbers, &files), []);
        let after =
            at(&[("stays", "a.py"), ("moves", "b.py"), ("untold", ""), ("first told", "b.py"), ("new", "b.py")]);
        let mut moved: Vec<_> = after.moved(&numbers, &files).into_iter().map(|it| (it.name, it.file)).collect();
        moved.sort_unstable();
        assert_eq!(
            moved,
            [("first told", "b.py"), ("moves", "b.py")].map(|(name, file)| (name.to_owned(), file.to_owned()))
        );
    }

    #[test]
    fn what_stands_where_makes_another_test() {
        let id = |suite: &str, name: &str, parameters: &str| {
            identity(&TestId { suite: suite.to_owned(), name: name.to_owned(), parameters: parameters.to_owned() })
        };
        assert_ne!(id("a", "b", ""), id("ab", "", ""));
        assert_ne!(id("a", "b", "c"), id("a", "bc", ""));
        assert_eq!(id("a", "b", "c"), id("a", "b", "c"));
    }
}
