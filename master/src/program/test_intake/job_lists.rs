//! Reads the lists of tests that the steps of one job stored. It reads one list after the other, so that only one is in memory. A list
//! that cannot be read is left out and its reason is logged, so it holds up no other list. Only an error of the store reaches the caller.

use super::folded::{FOLDED_MAX, FoldedTests, fold};
use crate::decide::coordinator::record::{BuildId, StepRow};
use crate::keep::blobs::Blobs;
use crate::keep::store::{Reading, StoreError, UnreadJob};
use schema::values::{Plan, TestsReported};
use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

/// The most bytes of a stored list. A list with the most results that are allowed has fewer.
const STORED_MAX: u64 = 64 << 20;
/// The pause before bytes that could not be read are read once more. A trouble that passes by itself, such as too many open files, has
/// mostly passed by then.
const AGAIN: Duration = Duration::from_secs(1);

/// `JobLists` has the readers with which the lists of jobs are found and read.
pub(super) struct JobLists<'a> {
    pub(super) readers: &'a Reading,
    pub(super) blobs: &'a Blobs,
}

impl JobLists<'_> {
    /// Returns the lists of the steps of the job's last attempt as one. `None` means that no list could be read.
    pub(super) async fn read(&self, job: &UnreadJob) -> Result<Option<FoldedTests>, StoreError> {
        let mut unread = self.reporting_steps(job).await?;
        let mut found: Option<FoldedTests> = None;
        let mut is_complete = true;
        for step in self.readers.steps(job.row.key, job.row.attempt).await? {
            let Some(tests) = &step.tests else { continue };
            let list = match self.list(job.row.key.build, tests).await? {
                Ok(list) => join(found.take(), list).await,
                Err(why) => Err(why),
            };
            match list {
                Ok(joined) => {
                    found = Some(joined);
                    if let Some(unread) = &mut unread {
                        unread.remove(&step.key.step);
                    }
                }
                Err(why) => {
                    is_complete = false;
                    tell(job, &step, &why);
                }
            }
        }
        is_complete &= unread.is_some_and(|unread| unread.is_empty());
        if let Some(found) = &mut found {
            found.is_whole &= is_complete;
        }
        Ok(found)
    }

    /// Returns the steps for which the plan names reports. A skipped step has no list, and then its tests are not gone. `None` means that
    /// the plan is not known.
    async fn reporting_steps(&self, job: &UnreadJob) -> Result<Option<BTreeSet<u16>>, StoreError> {
        let planned = self.readers.planned_build(&job.lane.project, job.order.1).await?;
        Ok(planned.and_then(|planned| reporting_steps(&planned.plan.ok()??, &job.row.name)))
    }

    async fn list(&self, build: BuildId, tests: &TestsReported) -> Result<Result<FoldedTests, String>, StoreError> {
        if tests.list.is_empty() {
            return Ok(Err(format!("its worker stored none: {}", tests.trouble)));
        }
        let Ok(hash) = <[u8; 32]>::try_from(tests.list.as_slice()) else {
            return Ok(Err("its hash has another length".to_owned()));
        };
        let seal = self.readers.blob_of(build, hash).await?;
        let Some(seal) = seal.filter(|seal| seal.size <= STORED_MAX) else {
            return Ok(Err("its attempt stored no such bytes, or too many".to_owned()));
        };
        let bytes = match again_once(async || self.blobs.whole(seal).await).await {
            Ok(bytes) => bytes,
            Err(error) => return Ok(Err(format!("its {} bytes cannot be read: {error}", seal.size))),
        };
        let decoded = apart(move || reports::decode(&bytes).map(|list| fold(list, FOLDED_MAX))).await;
        Ok(decoded.and_then(|decoded| decoded.map_err(|error| error.to_string())))
    }
}

/// Logs why a list is left out. If its worker stored none, that is not worth a warning, because the step shows it to people.
fn tell(job: &UnreadJob, step: &StepRow, why: &str) {
    let (number, name, project) = (step.key.step.saturating_add(1), &job.row.name, &job.lane.project);
    if step.tests.as_ref().is_some_and(|tests| tests.list.is_empty()) {
        tracing::debug!(job = %name, %project, step = number, "a list of tests is left out: {why}");
    } else {
        tracing::warn!(job = %name, %project, step = number, "a list of tests is left out: {why}");
    }
}

fn reporting_steps(plan: &Plan, job: &str) -> Option<BTreeSet<u16>> {
    let job = plan.jobs.iter().find(|planned| planned.name == job)?;
    let steps = (0..).zip(&job.steps).filter(|(_, step)| !step.reports.is_empty());
    Some(steps.map(|(number, _)| number).collect())
}

/// Adds a list to the lists that were read before it.
async fn join(before: Option<FoldedTests>, list: FoldedTests) -> Result<FoldedTests, String> {
    match before {
        Some(before) => apart(move || before.joined(list, FOLDED_MAX)).await,
        None => Ok(list),
    }
}

/// Reads something, and reads it once more if the reason of a failure may pass by itself.
async fn again_once<T>(read: impl AsyncFn() -> io::Result<T>) -> io::Result<T> {
    match read().await {
        Err(error) if may_pass(&error) => {
            tokio::time::sleep(AGAIN).await;
            read().await
        }
        answer => answer,
    }
}

/// Whether the reason of a failure may pass by itself. A file that is gone or damaged stays so.
fn may_pass(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, IsADirectory, NotADirectory, NotFound, PermissionDenied, UnexpectedEof};
    let lasts = [NotFound, UnexpectedEof, InvalidData, PermissionDenied, IsADirectory, NotADirectory];
    !lasts.contains(&error.kind())
}

/// Runs slow work on a thread of its own. If it panics, returns a text that says why.
pub(super) async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| format!("working on the tests failed, which is a bug: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::values::{JobPlan, ReportPlan, StepPlan};
    use std::cell::Cell;

    /// Returns how often something is read if the first `failures` reads fail, and whether a read succeeded.
    async fn reads(kind: io::ErrorKind, failures: u32) -> (u32, bool) {
        let count = Cell::new(0);
        let read = async || {
            count.set(count.get() + 1);
            if count.get() > failures { Ok(()) } else { Err(io::Error::from(kind)) }
        };
        let is_there = again_once(read).await.is_ok();
        (count.get(), is_there)
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_read_once_more_and_not_for_ever() {
        use io::ErrorKind::{InvalidData, NotFound, Other, TimedOut};
        assert_eq!(reads(Other, 0).await, (1, true));
        assert_eq!(reads(Other, 1).await, (2, true));
        assert_eq!(reads(TimedOut, 9).await, (2, false));
        assert_eq!((reads(NotFound, 1).await, reads(InvalidData, 1).await), ((1, false), (1, false)));
    }

    #[tokio::test]
    async fn a_panic_is_a_reason() {
        assert_eq!(apart(|| 1).await, Ok(1));
        let why = apart(|| panic!("at the disco")).await;
        assert!(why.as_ref().is_err_and(|why: &String| why.contains("at the disco")), "{why:?}");
    }

    #[test]
    fn steps_with_reports_are_those_of_the_plan() {
        let step = |reports: usize| StepPlan { reports: vec![ReportPlan::default(); reports], ..StepPlan::default() };
        let job = JobPlan { name: "t".to_owned(), steps: [1, 0, 2].map(step).to_vec(), ..JobPlan::default() };
        let plan = Plan { jobs: vec![JobPlan::default(), job], ..Plan::default() };
        assert_eq!(reporting_steps(&plan, "t"), Some(BTreeSet::from([0, 2])));
        assert_eq!(reporting_steps(&plan, "other"), None);
    }
}
