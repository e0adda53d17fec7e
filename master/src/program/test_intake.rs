//! Reads the lists of tests that finished jobs left, and makes the history of tests from them. This module decides when, and in what
//! pieces. [`test_history`](crate::decide::test_history) decides what the history means, and the store writes it.
//!
//! Nothing waits for this task. Each transaction is short, so that the commits of builds go between. A job stays unread until the
//! transaction that writes its run. A crash therefore costs only the reading of one list, and the next start reads it again. A job whose
//! lists cannot be read is passed over, so that it holds up no other job.

mod folded;
mod job_lists;

use crate::commit::driver::Driver;
use crate::decide::coordinator::lane;
use crate::decide::coordinator::record::JobKey;
use crate::decide::test_history::fails_together;
use crate::intake::sources::Repositories;
use crate::keep::blobs::Blobs;
use crate::keep::store::{Reading, StoreError, TestIdentity, TestName, TestPiece, TestRunRow, UnreadJob, UnreadTests};
use crate::keep::turns::{Own, Principal};
use crate::program::wiring::MasterParts;
use folded::FoldedTests;
use job_lists::{JobLists, apart};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// The most new tests that one transaction adds. Such a transaction takes a few milliseconds.
const NAMES: usize = 1_000;
/// The pause before failed work is tried again, for example after the disk was full.
const LATER: Duration = Duration::from_secs(10);

/// `TestIntake` makes the history of tests.
pub struct TestIntake {
    driver: Rc<Driver>,
    readers: Reading,
    blobs: Rc<Blobs>,
    repositories: Rc<Repositories>,
}

/// The result of one look for an unread job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntakeState {
    /// There is no unread list.
    Done,
    /// One job was read, and there may be more.
    More,
    /// The disk is full. The look must be repeated later.
    Blocked,
}

impl TestIntake {
    pub fn new(parts: &MasterParts) -> TestIntake {
        let who = Principal::Own(Own::Tests);
        TestIntake {
            driver: parts.driver.clone(),
            readers: parts.readers.of(who),
            blobs: parts.blobs.clone(),
            repositories: parts.repositories.clone(),
        }
    }

    /// Reads the unread jobs, and then each job that finishes, for as long as the master runs.
    pub async fn keep(self) {
        loop {
            match self.pass().await {
                Ok(IntakeState::More) => {}
                Ok(IntakeState::Done) => self.driver.tested().await,
                Ok(IntakeState::Blocked) => tokio::time::sleep(LATER).await,
                Err(error) => {
                    tracing::warn!("the history of tests waits: {error}");
                    tokio::time::sleep(LATER).await;
                }
            }
        }
    }

    /// Reads the lists of one job. An error comes from the store, which may work again later.
    pub async fn pass(&self) -> Result<IntakeState, StoreError> {
        let Some(UnreadTests { key, found }) = self.readers.unread_tests().await? else { return Ok(IntakeState::Done) };
        let Some(job) = found.filter(counts) else { return Ok(self.record(TestPiece::Nothing(key)).await) };
        let lists = JobLists { readers: &self.readers, blobs: &self.blobs };
        match lists.read(&job).await? {
            Some(folded) => self.take(key, job, folded).await,
            None => Ok(self.record(TestPiece::Nothing(key)).await),
        }
    }

    async fn take(&self, key: JobKey, job: UnreadJob, folded: FoldedTests) -> Result<IntakeState, StoreError> {
        let mut numbers = self.readers.test_numbers(&job.lane.project).await?;
        let mut new = folded.unknown(&numbers);
        if !numbers.is_empty() {
            new.extend(folded.moved(&numbers, &self.readers.test_files(&job.lane.project).await?));
        }
        if !new.is_empty() {
            if self.name(&job.lane.project, new).await == IntakeState::Blocked {
                return Ok(IntakeState::Blocked);
            }
            numbers = self.readers.test_numbers(&job.lane.project).await?;
        }
        let tree = self.tree(&job).await;
        let piece = match apart(move || run_of(key, job, tree, &folded, &numbers)).await {
            Ok(row) => TestPiece::Run(Box::new(row)),
            Err(why) => {
                tracing::warn!(build = key.build.0, job = key.index, "the tests of a job are left out: {why}");
                TestPiece::Nothing(key)
            }
        };
        Ok(self.record(piece).await)
    }

    /// Numbers new tests, and records the files to which other tests moved, a bounded number in each transaction.
    async fn name(&self, project: &str, mut new: Vec<TestName>) -> IntakeState {
        while !new.is_empty() {
            let rest = new.split_off(new.len().min(NAMES));
            let names = std::mem::replace(&mut new, rest);
            if self.record(TestPiece::Names { project: project.to_owned(), names }).await == IntakeState::Blocked {
                return IntakeState::Blocked;
            }
        }
        IntakeState::More
    }

    async fn record(&self, piece: TestPiece) -> IntakeState {
        if self.driver.record_tests(piece).await { IntakeState::More } else { IntakeState::Blocked }
    }

    /// Returns the id of the source's tree, because two commits without a difference have the same tree. If the repository lost the
    /// commit, returns the commit.
    async fn tree(&self, job: &UnreadJob) -> String {
        let repository = self.repositories.get(&job.lane.project);
        let tree = match &repository {
            Some(repository) => repository.mirror.tree(&job.revision).await.ok().flatten(),
            None => None,
        };
        tree.unwrap_or_else(|| job.revision.clone())
    }
}

/// Whether the job counts for a lane, as in [`lane`].
fn counts(job: &UnreadJob) -> bool {
    job.order.0 > 0 && job.row.attempt > 0 && job.row.outcome.is_some_and(lane::counts)
}

fn run_of(
    key: JobKey,
    job: UnreadJob,
    tree: String,
    folded: &FoldedTests,
    numbers: &BTreeMap<TestIdentity, u32>,
) -> TestRunRow {
    let (verdicts, durations) = folded.columns(numbers);
    TestRunRow {
        lane: job.lane,
        order: job.order,
        key,
        tree,
        is_whole: folded.is_whole,
        is_together: fails_together(&verdicts),
        verdicts,
        durations,
    }
}
