//! The store holds the facts and decides nothing.
//!
//! [`Store`] commits batches of records, each whole or not at all. [`Reading`] answers the named reads. Everything that knows
//! SQLite is in `sqlite/`: its `Database` opens, loads and writes, and its `Tables` answer the reads. Errors and answers do not
//! mention SQLite's types.
//!
//! Another kind of store would be a folder beside `sqlite/` with a `Database` and `Tables` of its own. Only `Store` and
//! `Readers` name these two, so the choice between the stores would be made there. The reads of `Tables` would then become a
//! trait.

mod answers;
pub(crate) mod mark;
mod readers;
mod reading;
mod removal;
mod sqlite;
pub mod test_rows;

pub use answers::{
    AgeingCursor, AgeingPage, BuildFilter, Detail, JobHistory, Logged, LoggedJob, LoggedPage, NOT_KEPT, PlannedBuild,
    RefHistory, RemovalCandidate, Snapshot, WatchedBranch,
};
pub(crate) use mark::MARK_FILE;
pub use readers::{Readers, Reading};
pub use removal::{Removal, RemoveError, Sweep};
pub use sqlite::DATABASE_FILE;
pub(crate) use sqlite::archive;
pub use test_rows::{
    FailuresOfRun, LaneOfTest, SortedFailures, TestFilter, TestHistory, TestIdentity, TestLane, TestLine, TestName,
    TestPage, TestPiece, TestPoint, TestRunRow, TestsShown, UnreadJob, UnreadTests,
};

use crate::decide::coordinator::record::{Loaded, Record, SealRow};
use crate::keep::bytes::Seal;
use futures::future::LocalBoxFuture;
use sqlite::Database;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The lock file, which the master that owns the state directory keeps locked.
const LOCK_FILE: &str = "lock";
/// The number of tries for the lock: at one try every [`LOCK_PAUSE`], an earlier owner has two seconds to release it.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{} is used by another master: stop it, or use another state directory", dir.display())]
    InUse { dir: PathBuf },
    #[error(
        "the store was written by a newer version (schema step {found}, this program knows {known}): upgrade guild-master"
    )]
    Newer { found: u32, known: u32 },
    #[error(
        "{} belongs to a master, but its store {what}: restore a backup with `guild-master restore`, or run \
         `guild-master begin-anew` to go on without what the store held",
        dir.display()
    )]
    Lost { dir: PathBuf, what: String },
    #[error("failed to open {}: {source}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("the store failed: {0}")]
    Failed(String),
    #[error("the store has data that cannot be read: {0}")]
    Corrupt(String),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error("the store is damaged: {0}; restore a good backup into another directory with `guild-master restore`")]
    Damaged(String),
    #[error("the store is closed")]
    Closed,
}

/// Why a batch was not committed; nothing of it was written.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The disk is full. The batch is returned, so that the caller can try again.
    #[error("the disk is full")]
    Full(Vec<Record>),
    #[error("{0}")]
    Failed(String),
}

/// A test's control over the commits of a store in memory.
pub trait Weather {
    /// Runs before a commit. If it returns `true`, the disk counts as full and nothing is written.
    fn before(&self) -> LocalBoxFuture<'_, bool>;
    /// Runs after a commit was written, before its caller learns of it.
    fn after(&self) -> LocalBoxFuture<'_, ()>;
}

pub struct Store {
    weather: Option<Box<dyn Weather>>,
    database: Database,
    readers: Readers,
}

impl Store {
    /// Opens or creates the store of a state directory, and locks out every other master.
    pub fn open(state: &Path) -> Result<Store, StoreError> {
        let lock = lock(state)?;
        mark::refuse_lost(state, DATABASE_FILE)?;
        Store::over(Database::open(state, lock)?)
    }

    /// Opens a store in memory, for simulations. It lives on after the `Store` is dropped as long as somebody holds `name`
    /// open.
    pub fn in_memory(name: &str) -> Result<Store, StoreError> {
        Store::over(Database::in_memory(name)?)
    }

    fn over(database: Database) -> Result<Store, StoreError> {
        let readers = Readers::over(database.readers()?);
        Ok(Store { weather: None, database, readers })
    }

    #[must_use]
    pub fn under(mut self, weather: impl Weather + 'static) -> Store {
        self.weather = Some(Box::new(weather));
        self
    }

    /// Makes another store in memory that holds what this one has committed so far, which is what a crash at this moment would
    /// leave.
    pub fn image(&self, name: &str) -> Result<Store, StoreError> {
        Store::over(self.database.image(name)?)
    }

    /// Loads the state from which a coordinator starts.
    pub fn load(&self) -> Result<Loaded, StoreError> {
        self.database.load()
    }

    /// Returns the incarnation of the store; restoring a backup begins another one.
    pub fn incarnation(&self) -> Result<u64, StoreError> {
        self.database.incarnation()
    }

    /// Returns the number of the last committed event.
    pub fn last_event(&self) -> Result<u64, StoreError> {
        self.database.last_event()
    }

    /// Whether work is done on the caller's thread, as in a simulation.
    pub fn is_inline(&self) -> bool {
        self.database.is_inline()
    }

    /// Whether the machine was not rebooted since the store was used last, so that files hold all bytes that were written to
    /// them.
    pub fn is_same_boot(&self) -> bool {
        self.database.is_same_boot()
    }

    /// Writes a batch in one transaction. Once this returns, the batch survives a power cut.
    pub async fn commit(&self, batch: Vec<Record>) -> Result<(), CommitError> {
        if let Some(weather) = &self.weather
            && weather.before().await
        {
            return Err(CommitError::Full(batch));
        }
        let written = self.database.commit(batch).await;
        if let Some(weather) = &self.weather {
            weather.after().await;
        }
        written
    }

    /// Moves the whole store into its one file, as the last step before the master stops. A failure is only logged, because
    /// nothing is lost.
    pub async fn close(&self) {
        match self.database.close().await {
            Ok(true) => {}
            Ok(false) => tracing::info!("a read is still running, so a part of the store stays in the write-ahead log"),
            Err(error) => tracing::warn!(%error, "a part of the store stays in the write-ahead log"),
        }
    }

    /// Removes builds and logs from history, in one transaction of its own.
    pub async fn remove(&self, removal: Removal) -> Result<(), RemoveError> {
        self.change(self.database.remove(removal)).await
    }

    /// Deletes rows of removed builds and rows that are too old. Returns how many.
    pub async fn sweep(&self, sweep: Sweep) -> Result<u32, RemoveError> {
        self.change(self.database.sweep(sweep)).await
    }

    /// Writes a part of a job's test results, in one transaction of its own.
    pub async fn record_tests(&self, piece: TestPiece) -> Result<(), RemoveError> {
        self.change(self.database.record_tests(piece)).await
    }

    async fn change<T>(&self, change: impl Future<Output = Result<T, RemoveError>>) -> Result<T, RemoveError> {
        if let Some(weather) = &self.weather
            && weather.before().await
        {
            return Err(RemoveError::Full);
        }
        let changed = change.await;
        if let Some(weather) = &self.weather {
            weather.after().await;
        }
        changed
    }

    /// Returns the read-only connections, for history: see [`Readers::of`].
    pub fn readers(&self) -> Readers {
        self.readers.clone()
    }
}

/// Writes a consistent copy of the store of a state directory, even while a master uses it. It refuses a damaged store.
/// `target` must not exist or must be an empty file. A master that opens the copy begins another incarnation, so it does not
/// mistake leases and cursors of this one for its own. The caller makes the copy durable.
pub fn copy(state: &Path, target: &Path) -> Result<(), StoreError> {
    sqlite::copy(state, target)
}

/// The sealed logs and blobs that are files beside a store.
#[derive(Debug, Default)]
pub(crate) struct SealedFiles {
    pub(crate) logs: Vec<SealRow>,
    pub(crate) blobs: Vec<Seal>,
}

/// Returns the sealed files that the database at a path names, without those that retention removed.
pub(crate) fn sealed_files(database: &Path) -> Result<SealedFiles, StoreError> {
    sqlite::sealed_files(database)
}

/// Makes the next master accept the store of a state directory, whatever was there before, and begin another incarnation.
pub(crate) fn adopt(state: &Path) -> Result<(), StoreError> {
    sqlite::adopt(state)?;
    mark::forget(state).map_err(|source| StoreError::Open { path: state.join(MARK_FILE), source })
}

/// Locks a state directory. Every other master is locked out as long as the file is open.
pub(crate) fn lock(state: &Path) -> Result<File, StoreError> {
    let path = state.join(LOCK_FILE);
    let open = |source| StoreError::Open { path: path.clone(), source };
    std::fs::create_dir_all(state).map_err(open)?;
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(open)?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            // a store that was dropped a moment ago is still closing on its writer's thread
            Err(std::fs::TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(std::fs::TryLockError::Error(source)) => return Err(open(source)),
        }
    }
    Err(StoreError::InUse { dir: state.to_owned() })
}

#[cfg(test)]
pub(crate) mod tests;
