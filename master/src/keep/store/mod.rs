//! The store holds the facts. It decides nothing.
//!
//! [`Store`] commits batches of records, each whole or not at all. [`Reading`] answers the named reads. All that knows SQLite
//! is in `sqlite/`: its `Database` opens, loads and writes, and its `Tables` answer the reads. Errors and answers name no
//! database.
//!
//! A second store is a folder beside `sqlite/` with a `Database` and `Tables` of its own. `Store` and `Readers` are the two
//! places that name these, so they are where one or the other is chosen. The reads of `Tables` are then a trait.

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

/// Held locked by the master that owns the state directory.
const LOCK_FILE: &str = "lock";
/// How long an earlier owner may take to let go: two seconds in all.
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
        "{} was a master's, and its store {what}: restore a backup with `guild-master restore`; \
         `guild-master begin-anew` goes on without what it held",
        dir.display()
    )]
    Lost { dir: PathBuf, what: String },
    #[error("failed to open {}: {source}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("the store: {0}")]
    Failed(String),
    #[error("the store holds what cannot be read: {0}")]
    Corrupt(String),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error("the store is damaged: {0}; restore a good backup into another directory with `guild-master restore`")]
    Damaged(String),
    #[error("the store is closed")]
    Closed,
}

/// Why a batch was not committed. None of it was.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The batch comes back, to be tried again.
    #[error("the disk is full")]
    Full(Vec<Record>),
    #[error("{0}")]
    Failed(String),
}

/// What befalls the commits of a store in memory.
pub trait Weather {
    /// Before a commit. `true` means that the disk is full, nothing of it is written.
    fn before(&self) -> LocalBoxFuture<'_, bool>;
    /// After a commit is written, and before anybody knows of it.
    fn after(&self) -> LocalBoxFuture<'_, ()>;
}

pub struct Store {
    weather: Option<Box<dyn Weather>>,
    database: Database,
    readers: Readers,
}

impl Store {
    /// Opens or creates the store in a state directory, and keeps every other master out.
    pub fn open(state: &Path) -> Result<Store, StoreError> {
        let lock = lock(state)?;
        mark::refuse_lost(state, DATABASE_FILE)?;
        Store::over(Database::open(state, lock)?)
    }

    /// A store in memory, for simulations: it outlives the `Store` as long as somebody holds `name` open.
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

    /// Another store in memory that holds what this one has committed so far: what a crash at this moment would leave.
    pub fn image(&self, name: &str) -> Result<Store, StoreError> {
        Store::over(self.database.image(name)?)
    }

    /// What a coordinator starts from.
    pub fn load(&self) -> Result<Loaded, StoreError> {
        self.database.load()
    }

    /// Which life of the store this is: restoring a backup begins another.
    pub fn incarnation(&self) -> Result<u64, StoreError> {
        self.database.incarnation()
    }

    /// The number of the last event that is committed.
    pub fn last_event(&self) -> Result<u64, StoreError> {
        self.database.last_event()
    }

    /// Whether work is done where it is asked for, as in a simulation.
    pub fn is_inline(&self) -> bool {
        self.database.is_inline()
    }

    /// The machine did not start anew since the store was used last: files hold what was written to them.
    pub fn is_same_boot(&self) -> bool {
        self.database.is_same_boot()
    }

    /// Writes a batch in one transaction; when this answers, it survives a power cut.
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

    /// Puts the whole store into its one file, as the last thing before a stop. A failure here does no harm, because nothing is
    /// lost.
    pub async fn close(&self) {
        match self.database.close().await {
            Ok(true) => {}
            Ok(false) => tracing::info!("a read lasts: a part of the store stays in the log of the database"),
            Err(error) => tracing::warn!(%error, "a part of the store stays in the log of the database"),
        }
    }

    /// Takes builds and logs out of history, in one transaction of its own.
    pub async fn remove(&self, removal: Removal) -> Result<(), RemoveError> {
        self.change(self.database.remove(removal)).await
    }

    /// Deletes rows of what was removed, and what is too old; answers how many.
    pub async fn sweep(&self, sweep: Sweep) -> Result<u32, RemoveError> {
        self.change(self.database.sweep(sweep)).await
    }

    /// Writes a part of what the lists of tests say, in one transaction of its own.
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

    /// Read-only connections, for history: see [`Readers::of`].
    pub fn readers(&self) -> Readers {
        self.readers.clone()
    }
}

/// Writes a consistent copy of a sound store in a state directory, also while a master uses it. It goes to a path where there is
/// nothing yet, or an empty file. A master that opens the copy begins another incarnation, so that no lease or cursor of this one
/// is mistaken for its own. The caller makes it durable.
pub fn copy(state: &Path, target: &Path) -> Result<(), StoreError> {
    sqlite::copy(state, target)
}

/// Sealed bytes that are files beside a store.
#[derive(Debug, Default)]
pub(crate) struct SealedFiles {
    pub(crate) logs: Vec<SealRow>,
    pub(crate) blobs: Vec<Seal>,
}

/// The sealed files that the database at a path names, without those that retention removed.
pub(crate) fn sealed_files(database: &Path) -> Result<SealedFiles, StoreError> {
    sqlite::sealed_files(database)
}

/// Has the next master take the store of a state directory, whatever was there before, and begin another incarnation.
pub(crate) fn adopt(state: &Path) -> Result<(), StoreError> {
    sqlite::adopt(state)?;
    mark::forget(state).map_err(|source| StoreError::Open { path: state.join(MARK_FILE), source })
}

/// Keeps every other master out as long as the file is open.
pub(crate) fn lock(state: &Path) -> Result<File, StoreError> {
    let path = state.join(LOCK_FILE);
    let open = |source| StoreError::Open { path: path.clone(), source };
    std::fs::create_dir_all(state).map_err(open)?;
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(open)?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            // a store that was dropped a moment ago closes on its writer's thread
            Err(std::fs::TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(std::fs::TryLockError::Error(source)) => return Err(open(source)),
        }
    }
    Err(StoreError::InUse { dir: state.to_owned() })
}

#[cfg(test)]
pub(crate) mod tests;
