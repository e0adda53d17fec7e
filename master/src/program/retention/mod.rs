//! Retention removes from history what the master file does not keep, a little at a time. This module decides when, and in what steps.
//! [`policy`] decides what goes, and the store, the logs and the blobs remove it.
//!
//! A pass first sweeps what earlier passes removed, files before rows. If nothing is left to sweep, it chooses at most 100 builds, or the
//! logs of 100. It removes them from history in one short transaction. The next pass finds whatever a crash left, so the first pass after
//! a start is like every other pass.

pub mod policy;

use crate::commit::driver::Driver;
use crate::config::Retain;
use crate::decide::coordinator::record::BuildId;
use crate::keep::blobs::{BlobHash, Blobs, RemovedBlobs};
use crate::keep::logs::Logs;
use crate::keep::store::{AgeingCursor, Reading, Removal, StoreError, Sweep};
use schema::values::Time;
use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

/// The time from the master's start to the first pass.
const FIRST: Duration = Duration::from_secs(60);
/// The pause after a pass that left nothing to do.
const PAUSE: Duration = Duration::from_secs(5 * 60);
/// The pause after a pass that left more to do, in which others commit.
const BREATH: Duration = Duration::from_millis(100);
/// The pause after a pass that had to wait, for example because the disk is full.
const LATER: Duration = Duration::from_secs(10);
/// The most builds that one pass removes, or whose logs it removes.
const BUILDS: u32 = 100;
/// The most builds of a pass while the disk is full, when a transaction must be very small.
const BUILDS_FULL: u32 = 4;
/// The most rows that one transaction removes.
const ROWS: u32 = 200;
const ROWS_FULL: u32 = 50;

/// `Retention` keeps history within the limits of the master file.
pub struct Retention {
    retain: Rc<RefCell<Retain>>,
    driver: Rc<Driver>,
    readers: Reading,
    logs: Rc<Logs>,
    blobs: Rc<Blobs>,
    /// The folders of blobs that are still to be searched for files that a crash left. `None` means that they were not listed since the
    /// start.
    shards: Option<Vec<PathBuf>>,
    look: Look,
}

/// A `Look` says what the next pass looks through. Logs come last, because builds that go already free some of their bytes.
#[derive(Clone, Debug)]
enum Look {
    Builds(Option<AgeingCursor>),
    /// The pass looks at the logs of builds after this one.
    Logs(BuildId),
}

/// The result of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// Nothing is left that must go.
    Done,
    /// There may be more to remove.
    More,
    /// A retry came between, or the disk is full. The pass must be repeated later.
    Blocked,
}

impl Retention {
    pub fn new(retain: Retain, driver: Rc<Driver>, readers: Reading, logs: Rc<Logs>, blobs: Rc<Blobs>) -> Retention {
        let retain = Rc::new(RefCell::new(retain));
        Retention { retain, driver, readers, logs, blobs, shards: None, look: Look::Builds(None) }
    }

    /// Returns the cell with the limits. The next pass obeys a change.
    pub fn retain(&self) -> Rc<RefCell<Retain>> {
        self.retain.clone()
    }

    /// Does passes at intervals, for as long as the master runs. A pass that fails is repeated later, because nothing depends on it.
    pub async fn keep(mut self) {
        let mut pause = FIRST;
        loop {
            tokio::select! {
                biased;
                () = self.driver.filled() => {}
                () = tokio::time::sleep(pause) => {}
            }
            pause = match self.pass().await {
                Ok(Passed::Blocked) => LATER,
                Ok(Passed::More) => BREATH,
                Ok(Passed::Done) => PAUSE,
                Err(error) => {
                    tracing::warn!("a pass of retention failed: {error}");
                    PAUSE
                }
            };
        }
    }

    /// Does one pass: sweeps, or chooses and removes.
    pub async fn pass(&mut self) -> Result<Passed, StoreError> {
        if self.sweep().await? == Passed::More {
            return Ok(Passed::More);
        }
        match self.look.clone() {
            Look::Builds(from) => self.choose_builds(from).await,
            Look::Logs(after) => self.choose_logs(after).await,
        }
    }

    /// Unlinks the files of what is removed, then deletes its rows.
    async fn sweep(&mut self) -> Result<Passed, StoreError> {
        let (most, rows) = self.most();
        let unlinked = self.readers.unswept(most).await?;
        if let Err(error) = self.logs.remove(unlinked.clone()).await {
            // the rows stay, so the next pass finds these files again
            tracing::warn!("failed to unlink the logs of removed builds: {error}");
            return Ok(Passed::Done);
        }
        let events_before = Time(self.driver.now().0.saturating_sub(millis(self.retain.borrow().events)));
        let removed = self.unlink_blobs(most).await?;
        let sweep = Sweep { unlinked, unlinked_blobs: removed.hashes(), events_before, rows };
        let swept = self.driver.sweep(sweep).await;
        // dropped only now, because until its row is gone no upload may take such a blob for a stored one
        drop(removed);
        let has_more = swept >= rows || self.has_shards() || swept > 0 && self.has_unreferenced().await?;
        Ok(if has_more { Passed::More } else { Passed::Done })
    }

    /// Unlinks blobs to which nothing refers: blobs of builds that are gone, and blobs that a crash left without a row.
    async fn unlink_blobs(&mut self, most: u32) -> Result<RemovedBlobs, StoreError> {
        let mut hashes = self.readers.unreferenced_blobs(most).await?;
        let removed = match self.next_shard().await {
            Ok(found) => {
                hashes.extend(found);
                self.blobs.remove_unreferenced(hashes).await
            }
            Err(error) => Err(error),
        };
        removed.or_else(|error| {
            // the rows stay, and the next start searches the folders again
            tracing::warn!("failed to unlink blobs that nothing refers to: {error}");
            Ok(RemovedBlobs::default())
        })
    }

    /// Returns the blobs in the next folder. Each folder is searched once after a start.
    async fn next_shard(&mut self) -> io::Result<Vec<BlobHash>> {
        if self.shards.is_none() {
            self.shards = Some(self.blobs.shards().await?);
        }
        match self.shards.as_mut().and_then(Vec::pop) {
            Some(shard) => self.blobs.hashes(shard).await,
            None => Ok(Vec::new()),
        }
    }

    fn has_shards(&self) -> bool {
        self.shards.as_ref().is_some_and(|shards| !shards.is_empty())
    }

    async fn has_unreferenced(&self) -> Result<bool, StoreError> {
        Ok(!self.readers.unreferenced_blobs(1).await?.is_empty())
    }

    async fn choose_builds(&mut self, from: Option<AgeingCursor>) -> Result<Passed, StoreError> {
        // until a retry is committed, the builds to which it refers are not known
        let Some(retries) = self.driver.retries() else { return Ok(Passed::Blocked) };
        let (kept, (most, _)) = (self.retain.borrow().builds, self.most());
        let page = self.readers.removal_candidates(from, kept, most).await?;
        let going = policy::builds_to_go(self.driver.now(), &page);
        if !self.remove(retries, Removal { builds: going, logs: Vec::new() }).await {
            return Ok(Passed::Blocked);
        }
        self.look = page.next.map_or(Look::Logs(BuildId(0)), |next| Look::Builds(Some(next)));
        Ok(Passed::More)
    }

    async fn choose_logs(&mut self, after: BuildId) -> Result<Passed, StoreError> {
        let (most, _) = self.most();
        let page = self.readers.logged(after, most).await?;
        let (total, page) = (page.total, page.builds);
        let now = self.driver.now();
        let retain = self.retain.borrow().clone();
        let (going, left) = policy::logs_to_go(now, &retain, total, &page);
        let is_last = !policy::more_logs(now, &retain, left, &page);
        let is_idle = going.is_empty();
        if !self.remove(0, Removal { builds: Vec::new(), logs: going }).await {
            return Ok(Passed::Blocked);
        }
        let last = page.last().map_or(after, |last| last.build);
        self.look = if is_last { Look::Builds(None) } else { Look::Logs(last) };
        Ok(if is_last && is_idle { Passed::Done } else { Passed::More })
    }

    /// Removes what was chosen. `false` means that some of it stayed, and that the pass must choose again.
    async fn remove(&self, retries: u64, removal: Removal) -> bool {
        let chosen = (removal.builds.len(), removal.logs.len());
        let removed = self.driver.remove(retries, removal).await;
        if !removed.is_empty() {
            tracing::info!(builds = removed.builds.len(), logs = removed.logs.len(), "removed old builds and logs");
        }
        (removed.builds.len(), removed.logs.len()) == chosen
    }

    /// Returns the most builds of one choice, and the most rows of one transaction.
    fn most(&self) -> (u32, u32) {
        if self.driver.is_full() { (BUILDS_FULL, ROWS_FULL) } else { (BUILDS, ROWS) }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
