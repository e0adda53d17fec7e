//! Reads the failed tests of a job, with their messages, from the lists that its steps stored.

use super::viewer_access::ViewerAccess;
use super::{Holder, broken};
use crate::decide::coordinator::record::{JobRow, StepRow};
use crate::keep::store::Reading;
use capnp::struct_list;
use reports::{TestOutcome, TestResult};
use schema::limits::{FAILED_TESTS, TEST_MESSAGE, TEST_OUTPUT, TEST_TEXT};
use schema::perspective_capnp::{failed_test, test_point};

/// The most bytes of one stored list. A longer list is left out, because it is read into memory as a whole.
const STORED_MAX: u64 = 64 << 20;

/// A failed test, after the number of its step.
pub(super) type Failed = (u16, TestResult);

/// A `FailedPart` is a part of a job's failed tests, and their number. It holds only the tests that it returns, whatever the lists hold.
struct FailedPart {
    /// The number of failed tests before the part.
    skip: usize,
    /// The most tests that the part has.
    most: usize,
    tests: Vec<Failed>,
    count: usize,
}

/// Returns the failed tests of a job from the `skip`-th on, and the number of all its failed tests.
pub(super) async fn of_job(
    access: &ViewerAccess,
    holder: &Holder,
    job: &JobRow,
    skip: usize,
) -> capnp::Result<(Vec<Failed>, u32)> {
    let reading = access.history(holder);
    let mut all = FailedPart::new(skip, FAILED_TESTS.most);
    for step in reading.steps(job.key, job.attempt).await.map_err(broken)? {
        if let Some(found) = of_step(access, holder, &reading, &step, all.rest()).await? {
            all.add(found);
        }
    }
    Ok((all.tests, u32::try_from(all.count).unwrap_or(u32::MAX)))
}

/// Returns the failed tests of one step. `None` means that the step has no list that can be read.
async fn of_step(
    access: &ViewerAccess,
    holder: &Holder,
    reading: &Reading,
    step: &StepRow,
    part: FailedPart,
) -> capnp::Result<Option<FailedPart>> {
    let list = step.tests.as_ref().filter(|tests| tests.counts.bad() > 0).map(|tests| tests.list.as_slice());
    let Some(hash) = list.and_then(|list| <[u8; 32]>::try_from(list).ok()) else { return Ok(None) };
    let seal = reading.blob_of(step.key.job.build, hash).await.map_err(broken)?;
    let Some(seal) = seal.filter(|seal| seal.size <= STORED_MAX) else { return Ok(None) };
    let number = step.key.step.saturating_add(1);
    access.whole_blob(holder, seal, move |bytes| failed(&bytes, number, part)).await
}

/// Reads the failed tests of one list. Only the last attempt of each test counts.
fn failed(bytes: &[u8], step: u16, mut part: FailedPart) -> FailedPart {
    let results = reports::decode(bytes).map(|list| list.results).unwrap_or_default();
    let mut results = results.into_iter().peekable();
    while let Some(result) = results.next() {
        let is_tried_again = results.peek().is_some_and(|next| next.id == result.id && next.attempt > result.attempt);
        if !is_tried_again && matches!(result.outcome, TestOutcome::Failed | TestOutcome::Errored) {
            part.take((step, result));
        }
    }
    part
}

impl FailedPart {
    fn new(skip: usize, most: usize) -> FailedPart {
        FailedPart { skip, most, tests: Vec::new(), count: 0 }
    }

    /// Returns the part that the next list must fill, after what was found so far.
    fn rest(&self) -> FailedPart {
        FailedPart::new(self.skip.saturating_sub(self.count), self.most.saturating_sub(self.tests.len()))
    }

    /// Counts the next test, and keeps it if it belongs to the part.
    fn take(&mut self, test: Failed) {
        if self.count >= self.skip && self.tests.len() < self.most {
            self.tests.push(test);
        }
        self.count += 1;
    }

    fn add(&mut self, next: FailedPart) {
        self.tests.extend(next.tests);
        self.count += next.count;
    }
}

pub(super) fn write(mut list: struct_list::Builder<'_, failed_test::Owned>, tests: &[Failed]) {
    for (index, (step, test)) in (0..).zip(tests) {
        let mut to = list.reborrow().get(index);
        to.set_suite(TEST_TEXT.cut(&test.id.suite));
        to.set_name(TEST_TEXT.cut(&test.id.name));
        to.set_parameters(TEST_TEXT.cut(&test.id.parameters));
        to.set_file(TEST_TEXT.cut(&test.file));
        to.set_line(test.line);
        to.set_step(*step);
        to.set_outcome(match test.outcome {
            TestOutcome::Errored => test_point::TestOutcome::Errored,
            TestOutcome::Failed | TestOutcome::Passed | TestOutcome::Skipped => test_point::TestOutcome::Failed,
        });
        to.set_duration(test.duration_us.unwrap_or(0));
        to.set_message(TEST_MESSAGE.cut(&test.message));
        to.set_output(TEST_OUTPUT.cut(&test.output));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reports::{TestId, TestList};

    /// Makes a list with this many failed tests, numbered from `from`, and with a test that passed on its second try.
    fn list(from: usize, count: usize) -> Vec<u8> {
        let result = |name: String, outcome, attempt| TestResult {
            id: TestId { name, ..TestId::default() },
            outcome,
            attempt,
            ..TestResult::default()
        };
        let again = [(TestOutcome::Failed, 1), (TestOutcome::Passed, 2)];
        let again = again.map(|(outcome, attempt)| result("again".to_owned(), outcome, attempt));
        let failed = (from..from + count).map(|number| result(number.to_string(), TestOutcome::Failed, 1));
        reports::encode(&TestList { results: again.into_iter().chain(failed).collect(), trouble: String::new() })
            .unwrap()
    }

    #[test]
    fn all_are_counted_and_only_a_part_is_held() {
        let lists = [list(0, 3), list(3, 4), list(7, 3)];
        for (skip, expected) in [(0, "0 1 2 3"), (2, "2 3 4 5"), (3, "3 4 5 6"), (6, "6 7 8 9"), (9, "9"), (10, "")] {
            let mut all = FailedPart::new(skip, 4);
            for (step, bytes) in (1..).zip(&lists) {
                let part = failed(bytes, step, all.rest());
                assert!(part.tests.len() <= 4 - all.tests.len(), "no more is held than has room");
                all.add(part);
            }
            let names: Vec<&str> = all.tests.iter().map(|(_, test)| test.id.name.as_str()).collect();
            assert_eq!((names.join(" ").as_str(), all.count), (expected, 10), "from the {skip}-th on");
        }
    }
}
