//! The store: SQLite holds the facts. Owns the database file, its writer and its readers; decides nothing.
//!
//! The writer has a thread of its own: what waits is committed together by the driver. In simulations it runs inline,
//! since a paused clock jumps over work on other threads. PostgreSQL would come behind the same functions.

pub mod ageing;
mod audit;
mod backup;
mod commit;
mod executor;
pub mod lanes;
mod listing;
mod load;
mod migrate;
pub mod query;
mod readers;
mod removal;
pub mod reporters;
mod row;

pub use audit::verify as verify_audit;
pub use readers::{Readers, Reading};
pub use removal::{Removal, RemoveError, Sweep};

use crate::coordinator::record::{Loaded, Record};
use executor::{Connector, Executor};
use futures::future::LocalBoxFuture;
use rusqlite::Connection;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The database in the state directory.
pub const DATABASE_FILE: &str = "guild.db";
/// Held locked by the master that owns the state directory.
const LOCK_FILE: &str = "lock";
const READERS: usize = 2;
/// How long an earlier owner may take to let go: two seconds in all.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// How long a reader waits for a lock that only a checkpoint can hold.
const BUSY: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{} is used by another master: stop it, or use another state directory", dir.display())]
    InUse { dir: PathBuf },
    #[error(
        "the store was written by a newer version (schema step {found}, this program knows {known}): upgrade guild-master"
    )]
    Newer { found: u32, known: u32 },
    #[error("failed to open {}: {source}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("the store: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("the store holds what cannot be read: {0}")]
    Corrupt(String),
    #[error(transparent)]
    Commit(#[from] CommitError),
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
    /// Before a commit. True: the disk is full, nothing of it is written.
    fn before(&self) -> LocalBoxFuture<'_, bool>;
    /// It is written; nobody knows yet.
    fn after(&self) -> LocalBoxFuture<'_, ()>;
}

pub struct Store {
    weather: Option<Box<dyn Weather>>,
    writer: Executor,
    readers: Readers,
    /// The machine did not start anew since the store was used last: files hold what was written to them.
    same_boot: bool,
}

impl Store {
    /// Opens or creates the store in a state directory, and keeps every other master out.
    pub fn open(state: &Path) -> Result<Store, StoreError> {
        let lock = lock(state)?;
        let connector = Connector::File(state.join(DATABASE_FILE));
        let mut connection = connector.connect()?;
        migrate::migrate(&mut connection)?;
        backup::begin_incarnation(&mut connection)?;
        let same_boot = note_boot(&connection)?;
        let readers = Readers::threads(&connector, READERS)?;
        Ok(Store { weather: None, writer: Executor::guarded(connection, Some(lock)), readers, same_boot })
    }

    /// A store in memory, for simulations: it outlives the `Store` as long as somebody holds `name` open.
    pub fn in_memory(name: &str) -> Result<Store, StoreError> {
        let connector = Connector::Memory(name.to_owned());
        let mut connection = connector.connect()?;
        migrate::migrate(&mut connection)?;
        let readers = Readers::inline(&connector)?;
        Ok(Store { weather: None, writer: Executor::inline(connection), readers, same_boot: true })
    }

    #[must_use]
    pub fn under(mut self, weather: impl Weather + 'static) -> Store {
        self.weather = Some(Box::new(weather));
        self
    }

    /// Another store in memory that holds what this one has committed so far: what a crash at this moment would leave.
    pub fn image(&self, name: &str) -> Result<Store, StoreError> {
        let target = Connector::Memory(name.to_owned());
        // an empty database that stays while the copy is made
        let keeper = target.connect()?;
        self.writer.run_now({
            let uri = target.uri();
            move |connection| backup::copy(connection, &uri)
        })??;
        let store = Store::in_memory(name)?;
        drop(keeper);
        Ok(store)
    }

    /// What a coordinator starts from.
    pub fn load(&self) -> Result<Loaded, StoreError> {
        self.writer.run_now(|connection| load::load(connection))?
    }

    /// Which life of the store this is: restoring a backup begins another.
    pub fn incarnation(&self) -> Result<u64, StoreError> {
        self.writer.run_now(|connection| load::incarnation(connection))?
    }

    /// Whether work is done where it is asked for, as in a simulation.
    pub fn is_inline(&self) -> bool {
        matches!(self.writer, Executor::Inline(_))
    }

    pub fn is_same_boot(&self) -> bool {
        self.same_boot
    }

    /// Writes a batch in one transaction; when this answers, it survives a power cut.
    pub async fn commit(&self, batch: Vec<Record>) -> Result<(), CommitError> {
        if let Some(weather) = &self.weather
            && weather.before().await
        {
            return Err(CommitError::Full(batch));
        }
        let written = self.writer.run(move |connection| commit::commit(connection, batch)).await;
        if let Some(weather) = &self.weather {
            weather.after().await;
        }
        written.unwrap_or_else(|_| Err(CommitError::Failed("the writer is gone".to_owned())))
    }

    /// Takes builds and logs out of history, in one transaction of its own.
    pub async fn remove(&self, removal: Removal) -> Result<(), RemoveError> {
        self.change(move |connection| removal::remove(connection, &removal)).await
    }

    /// Deletes rows of what was removed, and what is too old; answers how many.
    pub async fn sweep(&self, sweep: Sweep) -> Result<u32, RemoveError> {
        self.change(move |connection| removal::sweep(connection, &sweep)).await
    }

    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Connection) -> Result<T, RemoveError> + Send + 'static,
    ) -> Result<T, RemoveError> {
        if let Some(weather) = &self.weather
            && weather.before().await
        {
            return Err(RemoveError::Full);
        }
        let changed = self.writer.run(change).await;
        if let Some(weather) = &self.weather {
            weather.after().await;
        }
        changed.unwrap_or_else(|_| Err(RemoveError::Failed("the writer is gone".to_owned())))
    }

    /// Read-only connections, for history: see [`Readers::of`].
    pub fn readers(&self) -> Readers {
        self.readers.clone()
    }
}

/// Writes a consistent copy of the store in a state directory, also while a master uses it, to a path where there is nothing
/// yet or an empty file. A master that opens the copy begins another incarnation, so that no lease or cursor of this one is
/// mistaken for its own. The caller makes it durable.
pub fn copy(state: &Path, target: &Path) -> Result<(), StoreError> {
    let path = state.join(DATABASE_FILE);
    if !path.exists() {
        return Err(StoreError::Open { path, source: io::ErrorKind::NotFound.into() });
    }
    backup::write(&Connector::File(path).connect()?, target)
}

fn lock(state: &Path) -> Result<File, StoreError> {
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

/// Notes which boot of the machine this is; true where it is the one that was noted before.
fn note_boot(connection: &Connection) -> Result<bool, StoreError> {
    let boot = schema::boot::boot_id();
    let before = row::meta(connection, "boot")?;
    row::set_meta(connection, "boot", &boot)?;
    Ok(!boot.is_empty() && before.as_deref() == Some(boot.as_str()))
}

#[cfg(test)]
pub(crate) mod tests;
