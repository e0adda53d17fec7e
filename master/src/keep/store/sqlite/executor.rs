//! Runs SQLite: on a writer thread and reader threads in the product, inline in a simulation.

use super::tables::Tables;
use crate::keep::store::StoreError;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::fs::File;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// The number of prepared statements that a connection keeps.
const STATEMENTS: usize = 64;

/// How long a connection waits for a lock, which only a checkpoint can hold for others.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// The size to which the WAL's file is cut after a burst, in bytes: 64 MiB.
const JOURNAL_KEPT: i64 = 64 << 20;

/// The memory for pages of a reader, in KiB. The inner pages of a large store's indexes fit in. The rows themselves are already
/// in the page cache of the system.
const READER_CACHE_KIB: i64 = 512;

/// The time without work after which a connection frees its pages. Reading them again from the memory of the system takes
/// microseconds each, and a thousand workers that have attached leave half a MiB of them.
const IDLE: Duration = Duration::from_secs(5);

/// Bounds the pages that a connection keeps in memory (<https://sqlite.org/pragma.html#pragma_cache_size>).
pub(super) fn keep_pages(connection: &Connection, kib: i64) -> Result<(), StoreError> {
    // a negative number means KiB, a positive one means pages
    Ok(connection.pragma_update(None, "cache_size", -kib)?)
}

/// The place of the database: a file, or memory.
#[derive(Clone, Debug)]
pub(super) enum Connector {
    File(PathBuf),
    /// The name of a database in memory, which all connections with this name in this process share.
    Memory(String),
}

impl Connector {
    pub(super) fn connect(&self) -> Result<Connection, StoreError> {
        let connection = self.open(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        // FULL: a commit is on the disk when it returns (https://sqlite.org/pragma.html#pragma_synchronous)
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "journal_size_limit", JOURNAL_KEPT)?;
        // checkpoints never run within a commit: see `checkpoint.rs`
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        Ok(connection)
    }

    pub(super) fn connect_reader(&self) -> Result<Connection, StoreError> {
        let connection = self.open(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.pragma_update(None, "query_only", true)?;
        keep_pages(&connection, READER_CACHE_KIB)?;
        Ok(connection)
    }

    /// Returns the name of the database for SQLite: its path or a URI.
    pub(super) fn uri(&self) -> String {
        match self {
            Connector::File(path) => path.to_string_lossy().into_owned(),
            Connector::Memory(name) => format!("file:{name}?mode=memory&cache=shared"),
        }
    }

    fn open(&self, flags: OpenFlags) -> Result<Connection, StoreError> {
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let connection = match self {
            Connector::File(path) => Connection::open_with_flags(path, flags)?,
            Connector::Memory(_) => {
                let shared = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
                let flags = shared | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
                Connection::open_with_flags(self.uri(), flags)?
            }
        };
        connection.busy_timeout(BUSY)?;
        // query plans must not depend on bound values, or SQLite would compile statements with a range anew for each value
        // (https://sqlite.org/queryplanner-ng.html#qpsg)
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(connection)
    }
}

type StoreTask = Box<dyn FnOnce(&mut Connection) + Send>;

/// Waits for the next task; `None` means that there will be no more. A connection without work frees the pages that it keeps in memory.
fn next_task(connection: &Connection, tasks: &mpsc::Receiver<StoreTask>) -> Option<StoreTask> {
    match tasks.recv_timeout(IDLE) {
        Ok(task) => Some(task),
        Err(RecvTimeoutError::Disconnected) => None,
        Err(RecvTimeoutError::Timeout) => {
            let _ = connection.execute_batch("pragma shrink_memory");
            tasks.recv().ok()
        }
    }
}

/// Runs work on one connection, one piece after another.
#[derive(Clone)]
pub(crate) enum Executor {
    Thread(Arc<Thread>),
    Inline(Arc<Mutex<Connection>>),
}

/// A thread with a connection. Dropping its last handle waits until the connection is closed.
pub(crate) struct Thread {
    work: Option<mpsc::Sender<StoreTask>>,
    handle: Option<JoinHandle<()>>,
}

impl Thread {
    fn send(&self, work: StoreTask) -> Result<(), StoreError> {
        let sender = self.work.as_ref().ok_or(StoreError::Closed)?;
        sender.send(work).map_err(|_| StoreError::Closed)
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.work = None;
        // a query may hold the last handle of its own thread, which cannot wait for itself
        let other = self.handle.take().filter(|handle| handle.thread().id() != std::thread::current().id());
        if let Some(handle) = other {
            let _ = handle.join();
        }
    }
}

impl Executor {
    pub(super) fn thread(connection: Connection) -> Executor {
        Executor::guarded(connection, None)
    }

    /// Starts a thread for a connection. `lock` is held until the connection is closed.
    pub(super) fn guarded(mut connection: Connection, lock: Option<File>) -> Executor {
        let (sender, receiver) = mpsc::channel::<StoreTask>();
        let work = move || {
            while let Some(task) = next_task(&connection, &receiver) {
                task(&mut connection);
            }
            drop(connection);
            drop(lock);
        };
        let handle = std::thread::Builder::new().name("store".to_owned()).spawn(work).expect("a thread can be made");
        Executor::Thread(Arc::new(Thread { work: Some(sender), handle: Some(handle) }))
    }

    pub(super) fn inline(connection: Connection) -> Executor {
        Executor::Inline(Arc::new(Mutex::new(connection)))
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        match self {
            Executor::Inline(connection) => Ok(work(&mut connection.lock().unwrap_or_else(PoisonError::into_inner))),
            Executor::Thread(thread) => {
                let (done, answer) = oneshot::channel();
                let work = Box::new(move |connection: &mut Connection| drop(done.send(work(connection))));
                thread.send(work)?;
                answer.await.map_err(|_| StoreError::Closed)
            }
        }
    }

    /// Starts the work without waiting for its end.
    pub(crate) fn start(&self, work: impl FnOnce(&mut Connection) + Send + 'static) -> Result<(), StoreError> {
        match self {
            Executor::Inline(connection) => {
                work(&mut connection.lock().unwrap_or_else(PoisonError::into_inner));
                Ok(())
            }
            Executor::Thread(thread) => thread.send(Box::new(work)),
        }
    }

    /// Blocks until the work is done. It is meant for opening the store, before anything is served.
    pub(super) fn run_now<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        match self {
            Executor::Inline(connection) => Ok(work(&mut connection.lock().unwrap_or_else(PoisonError::into_inner))),
            Executor::Thread(thread) => {
                let (done, answer) = mpsc::channel();
                let work = Box::new(move |connection: &mut Connection| drop(done.send(work(connection))));
                thread.send(work)?;
                answer.recv().map_err(|_| StoreError::Closed)
            }
        }
    }
}

/// Runs one read on a connection. The read is one transaction, so it sees one moment.
pub(crate) fn read<T, E>(
    connection: &mut Connection,
    read: impl FnOnce(Tables<'_>) -> Result<T, E>,
) -> Result<T, StoreError>
where
    StoreError: From<E>,
{
    let transaction = connection.transaction()?;
    Ok(read(Tables(&transaction))?)
}
