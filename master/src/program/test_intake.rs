//! Reads the lists of tests that finished jobs left, and makes the history of tests of them. Owns when and in what pieces. What
//! the history means is decided in [`test_history`](crate::decide::test_history), and written by the store.
//!
//! Nothing waits for it. Each transaction is short, so that the commits of builds go between. A job stays unread until the transaction
//! that writes its run. So a crash costs what was read of one list, and the next start reads that list again.

mod folded;

use crate::commit::driver::Driver;
use crate::decide::coordinator::lane;
use crate::decide::coordinator::record::{BuildId, JobKey};
use crate::decide::test_history::fails_together;
use crate::intake::sources::Repositories;
use crate::keep::blobs::Blobs;
use crate::keep::store::{Reading, StoreError, TestIdentity, TestName, TestPiece, TestRunRow, UnreadJob, UnreadTests};
use crate::keep::turns::{Own, Principal};
use crate::program::wiring::MasterParts;
use folded::{FoldedTests, fold};
use reports::TestList;
use schema::values::TestsReported;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

/// New tests of one transaction. It takes a few milliseconds.
const NAMES: usize = 1_000;
/// The most bytes of a list as it is stored: a list of the most results has fewer.
const STORED_MAX: u64 = 64 << 20;
/// Until what could not be done now is tried again, as on a full disk.
const LATER: Duration = Duration::from_secs(10);

/// Makes the history of tests.
pub struct TestIntake {
    driver: Rc<Driver>,
    readers: Reading,
    blobs: Rc<Blobs>,
    repositories: Rc<Repositories>,
}

/// What became of a look at what is unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntakeState {
    /// There is no unread list.
    Done,
    /// One job was read, and there may be more.
    More,
    /// The disk is full: the same again later.
    Blocked,
}

/// Why a list could not be read now.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("failed to read a list of tests: {0}")]
    Blob(#[from] io::Error),
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

    /// Reads what is unread, and then what each job that finishes leaves, for as long as the master runs.
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

    /// Reads the lists of one job.
    pub async fn pass(&self) -> Result<IntakeState, IntakeError> {
        let Some(UnreadTests { key, found }) = self.readers.unread_tests().await? else { return Ok(IntakeState::Done) };
        let lists = match found.as_ref().filter(|job| counts(job)) {
            Some(job) => self.lists(job).await?,
            None => Vec::new(),
        };
        let (Some(job), false) = (found, lists.is_empty()) else {
            return Ok(self.record(TestPiece::Nothing(key)).await);
        };
        let folded = tokio::task::spawn_blocking(move || fold(lists)).await.map_err(io::Error::other)?;
        self.take(key, job, folded).await
    }

    async fn take(&self, key: JobKey, job: UnreadJob, folded: FoldedTests) -> Result<IntakeState, IntakeError> {
        let mut numbers = self.readers.test_numbers(&job.lane.project).await?;
        let new = folded.unknown(&numbers);
        if !new.is_empty() {
            if self.name(&job.lane.project, new).await == IntakeState::Blocked {
                return Ok(IntakeState::Blocked);
            }
            numbers = self.readers.test_numbers(&job.lane.project).await?;
        }
        let tree = self.tree(&job).await;
        let row = tokio::task::spawn_blocking(move || run_of(key, job, tree, &folded, &numbers)).await;
        Ok(self.record(TestPiece::Run(Box::new(row.map_err(io::Error::other)?))).await)
    }

    /// Gives numbers to new tests, some in each transaction.
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

    /// What the source is: two commits without a difference have the same tree. A repository that lost the commit leaves the commit.
    async fn tree(&self, job: &UnreadJob) -> String {
        let repository = self.repositories.get(&job.lane.project);
        let tree = match &repository {
            Some(repository) => repository.mirror.tree(&job.revision).await.ok().flatten(),
            None => None,
        };
        tree.unwrap_or_else(|| job.revision.clone())
    }

    /// The lists of the steps of the job's last attempt. One that is lost or not understood is left out: it says nothing.
    async fn lists(&self, job: &UnreadJob) -> Result<Vec<TestList>, IntakeError> {
        let mut lists = Vec::new();
        for step in self.readers.steps(job.row.key, job.row.attempt).await? {
            let Some(tests) = step.tests.filter(|tests| !tests.list.is_empty()) else { continue };
            match self.list(job.row.key.build, &tests).await? {
                Ok(list) => lists.push(list),
                Err(why) => {
                    tracing::warn!(job = %job.row.name, project = %job.lane.project, "a list of tests is left out: {why}");
                }
            }
        }
        Ok(lists)
    }

    async fn list(&self, build: BuildId, tests: &TestsReported) -> Result<Result<TestList, String>, IntakeError> {
        let Ok(hash) = <[u8; 32]>::try_from(tests.list.as_slice()) else {
            return Ok(Err("its hash has another length".to_owned()));
        };
        let seal = self.readers.blob_of(build, hash).await?;
        let Some(seal) = seal.filter(|seal| seal.size <= STORED_MAX) else {
            return Ok(Err("its attempt stored no such bytes, or too many".to_owned()));
        };
        let bytes = self.blobs.whole(seal).await?;
        let decoded = tokio::task::spawn_blocking(move || reports::decode(&bytes)).await.map_err(io::Error::other)?;
        Ok(decoded.map_err(|error| error.to_string()))
    }
}

/// Whether the job says something of a lane: as in [`lane`].
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
