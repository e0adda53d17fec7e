//! The tests of a job that failed, with their messages, from the lists that its steps stored.

use super::viewer_access::ViewerAccess;
use super::{Holder, broken};
use crate::decide::coordinator::record::{JobRow, StepRow};
use crate::keep::store::Reading;
use capnp::struct_list;
use reports::{TestOutcome, TestResult};
use schema::limits::{FAILED_TESTS, TEST_MESSAGE, TEST_OUTPUT, TEST_TEXT};
use schema::perspective_capnp::{failed_test, test_point};

/// The most bytes of one list as it is stored.
const STORED_MAX: u64 = 64 << 20;

/// A failed test, and the number of its step.
pub(super) type Failed = (u16, TestResult);

/// Those of a job from the `skip`-th on, and how many there are in all.
pub(super) async fn of_job(
    access: &ViewerAccess,
    holder: &Holder,
    job: &JobRow,
    skip: usize,
) -> capnp::Result<(Vec<Failed>, u32)> {
    let reading = access.history(holder);
    let mut all = Vec::new();
    for step in reading.steps(job.key, job.attempt).await.map_err(broken)? {
        all.extend(of_step(access, holder, &reading, &step).await?);
    }
    let count = u32::try_from(all.len()).unwrap_or(u32::MAX);
    Ok((all.into_iter().skip(skip).take(FAILED_TESTS.most).collect(), count))
}

/// None where the list is gone, or is not a list.
async fn of_step(
    access: &ViewerAccess,
    holder: &Holder,
    reading: &Reading,
    step: &StepRow,
) -> capnp::Result<Vec<Failed>> {
    let list = step.tests.as_ref().filter(|tests| tests.counts.bad() > 0).map(|tests| tests.list.as_slice());
    let Some(hash) = list.and_then(|list| <[u8; 32]>::try_from(list).ok()) else { return Ok(Vec::new()) };
    let seal = reading.blob_of(step.key.job.build, hash).await.map_err(broken)?;
    let Some(seal) = seal.filter(|seal| seal.size <= STORED_MAX) else { return Ok(Vec::new()) };
    let number = step.key.step.saturating_add(1);
    let found = access.whole_blob(holder, seal, move |bytes| failed(&bytes, number)).await?;
    Ok(found.unwrap_or_default())
}

/// The last attempt of each test counts.
fn failed(bytes: &[u8], step: u16) -> Vec<Failed> {
    let results = reports::decode(bytes).map(|list| list.results).unwrap_or_default();
    let mut kept: Vec<Failed> = Vec::new();
    let mut results = results.into_iter().peekable();
    while let Some(result) = results.next() {
        let is_tried_again = results.peek().is_some_and(|next| next.id == result.id && next.attempt > result.attempt);
        if !is_tried_again && matches!(result.outcome, TestOutcome::Failed | TestOutcome::Errored) {
            kept.push((step, result));
        }
    }
    kept
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
