//! SQLite as the store: its file, its connections and its tables. Only this folder knows that the store is SQLite.
//!
//! [`Database`] opens, loads and writes, and [`Tables`] are the reads. The writer has a thread of its own, and the driver
//! commits all waiting records together. In simulations the writer runs inline, because a paused clock would jump ahead while
//! another thread works.

mod ageing;
pub(crate) mod archive;
mod branch;
mod checkpoint;
mod columns;
mod commit;
mod copies;
mod damage;
mod executor;
mod history;
mod load;
mod migrate;
mod old_lanes;
mod removal;
mod tables;
mod test_reads;

pub(super) use executor::{Executor, read};
pub(super) use tables::Tables;

use super::mark::{self, StoreMark};
use super::{CommitError, Removal, RemoveError, SealedFiles, StoreError, Sweep, TestPiece};
use crate::decide::coordinator::record::{Loaded, Record};
use checkpoint::{Checkpointer, Signal};
use executor::Connector;
use rusqlite::Connection;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// The name of the database in the state directory.
pub const DATABASE_FILE: &str = "guild.db";
/// The number of connections that read. There are two, because a principal has one read at a time, so a long read leaves one to
/// others.
const READERS: usize = 2;

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        damage::told_by(&error).map_or_else(|| StoreError::Failed(error.to_string()), StoreError::Damaged)
    }
}

/// The database of one store, open.
pub(super) struct Database {
    connector: Connector,
    /// The thread of checkpoints; `None` if the database is in memory. It ends before the writer, because it is dropped first.
    checkpoints: Option<(Checkpointer, Signal)>,
    writer: Executor,
    same_boot: bool,
}

impl Database {
    /// Opens or creates the database of a state directory. `lock` is held until the writer is closed.
    pub(super) fn open(state: &Path, lock: File) -> Result<Database, StoreError> {
        let connector = Connector::File(state.join(DATABASE_FILE));
        let mut connection = connector.connect()?;
        migrate::migrate(&mut connection)?;
        copies::begin_incarnation(&mut connection)?;
        let found = StoreMark { store: copies::identify(&connection)?, event: Tables(&connection).counter("event")? };
        let mark = mark::take_up(state, &found)?;
        let same_boot = copies::note_boot(&connection)?;
        let writer = Executor::guarded(connection, Some(lock));
        let checkpoints = Some(Checkpointer::start(&connector, &writer, mark, found.event)?);
        Ok(Database { connector, checkpoints, writer, same_boot })
    }

    pub(super) fn in_memory(name: &str) -> Result<Database, StoreError> {
        let connector = Connector::Memory(name.to_owned());
        let mut connection = connector.connect()?;
        migrate::migrate(&mut connection)?;
        Ok(Database { connector, checkpoints: None, writer: Executor::inline(connection), same_boot: true })
    }

    /// Makes another database in memory that holds what this one has committed so far.
    pub(super) fn image(&self, name: &str) -> Result<Database, StoreError> {
        let target = Connector::Memory(name.to_owned());
        // keeps the empty target alive until the copy is made
        let keeper = target.connect()?;
        let uri = target.uri();
        self.writer.run_now(move |connection| copies::copy(connection, &uri))??;
        let image = Database::in_memory(name);
        drop(keeper);
        image
    }

    /// Opens the connections that read: on threads of their own, or inline if the writer is inline.
    pub(super) fn readers(&self) -> Result<Box<[Executor]>, StoreError> {
        match self.is_inline() {
            true => Ok(Box::new([Executor::inline(self.connector.connect_reader()?)])),
            false => (0..READERS).map(|_| Ok(Executor::thread(self.connector.connect_reader()?))).collect(),
        }
    }

    pub(super) fn is_inline(&self) -> bool {
        matches!(self.writer, Executor::Inline(_))
    }

    pub(super) fn is_same_boot(&self) -> bool {
        self.same_boot
    }

    pub(super) fn load(&self) -> Result<Loaded, StoreError> {
        self.writer.run_now(|connection| load::load(Tables(connection)))?
    }

    pub(super) fn incarnation(&self) -> Result<u64, StoreError> {
        self.writer.run_now(|connection| Tables(connection).incarnation())?
    }

    pub(super) fn last_event(&self) -> Result<u64, StoreError> {
        Ok(self.writer.run_now(|connection| Tables(connection).counter("event"))??)
    }

    pub(super) async fn commit(&self, batch: Vec<Record>) -> Result<(), CommitError> {
        let (signal, event) = (self.signal(), commit::last_event(&batch));
        let commit = move |connection: &mut Connection| {
            let written = commit::commit(connection, batch);
            signal.inspect(|signal| signal.committed(connection, event.filter(|_| written.is_ok())));
            written
        };
        let written = self.writer.run(commit).await;
        written.unwrap_or_else(|_| Err(CommitError::Failed(GONE.to_owned())))
    }

    pub(super) async fn remove(&self, removal: Removal) -> Result<(), RemoveError> {
        self.change(move |connection| removal::remove(connection, &removal)).await
    }

    pub(super) async fn sweep(&self, sweep: Sweep) -> Result<u32, RemoveError> {
        self.change(move |connection| removal::sweep(connection, &sweep)).await
    }

    pub(super) async fn record_tests(&self, piece: TestPiece) -> Result<(), RemoveError> {
        self.change(move |connection| removal::record_tests(connection, &piece)).await
    }

    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Connection) -> Result<T, RemoveError> + Send + 'static,
    ) -> Result<T, RemoveError> {
        let signal = self.signal();
        let change = move |connection: &mut Connection| {
            let changed = change(connection);
            signal.inspect(|signal| signal.committed(connection, None));
            changed
        };
        let changed = self.writer.run(change).await;
        changed.unwrap_or_else(|_| Err(RemoveError::Failed(GONE.to_owned())))
    }
}

impl Database {
    /// Copies the whole write-ahead log into the database's file. Returns `false` if a reader prevented that, so that a part of
    /// it stays in the log.
    pub(super) async fn close(&self) -> Result<bool, StoreError> {
        self.writer.run(|connection| checkpoint::close(connection)).await?
    }

    fn signal(&self) -> Option<Signal> {
        self.checkpoints.as_ref().map(|(_, signal)| signal.clone())
    }
}

/// The error when the writer's thread has ended, which happens only when the store is dropped.
const GONE: &str = "the thread that writes the store has ended";

/// Copies a store, as [`super::copy`] says.
pub(super) fn copy(state: &Path, target: &Path) -> Result<(), StoreError> {
    let path: PathBuf = state.join(DATABASE_FILE);
    if !path.exists() {
        return Err(StoreError::Open { path, source: io::ErrorKind::NotFound.into() });
    }
    let connection = Connector::File(path).connect()?;
    damage::refuse(&connection)?;
    copies::write(&connection, target)
}

/// Adopts a restored copy, as [`super::adopt`] says.
pub(super) fn adopt(state: &Path) -> Result<(), StoreError> {
    let path = state.join(DATABASE_FILE);
    mark::refuse_no_database(&path)?;
    copies::mark_as_copy(&Connector::File(path).connect()?)
}

/// Returns the sealed logs and blobs that a database names and that are files beside it.
pub(super) fn sealed_files(file: &Path) -> Result<SealedFiles, StoreError> {
    let connection = Connector::File(file.to_owned()).connect_reader()?;
    let store = Tables(&connection);
    // a store that this version has not migrated yet may lack tables, for example before an upgrade
    let has = |table: &str| connection.table_exists(None, table);
    let logs = if has("logs")? && has("removals")? { store.sealed_logs()? } else { Vec::new() };
    let blobs = if has("blobs")? { store.sealed_blobs()? } else { Vec::new() };
    Ok(SealedFiles { logs, blobs })
}

#[cfg(test)]
pub(crate) mod tests;
