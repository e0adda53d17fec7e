//! The checkpoint, off the path of commits: what stands in the write-ahead log is copied into the database's file.
//!
//! SQLite would do it within a commit, which then waits for two more syncs of megabytes. Here a thread with a connection of its own
//! does the long part beside the commits. What was committed meanwhile is few pages, and the writer copies these between two
//! commits, so that its next one begins the log anew. That is why the log does not grow without end while commits never pause.
//!
//! A reader keeps the log from being begun anew while it reads. All reads of a master are short; a backup that copies a large store
//! is the longest. Until it ends the log grows, which is told once, and then shrinks again.

use super::executor::{Connector, Executor, keep_pages};
use crate::keep::store::StoreError;
use crate::keep::store::mark::MarkFile;
use rusqlite::hooks::Wal;
use rusqlite::{Connection, Row};
use std::ffi::c_int;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// WalPages of 4 KiB in the write-ahead log that begin a checkpoint: as many as SQLite takes by itself.
const PAGES_DUE: u64 = 1_000;
/// WalPages that the writer copies between two commits. They cost about a millisecond, and a checkpoint that runs beside the
/// commits leaves fewer.
const PAGES_LEFT: u64 = 128;
/// Passes beside the commits before the writer copies whatever is left. More would mean that commits write faster than a
/// checkpoint copies, so they have to wait for it.
const PASSES_MAX: u32 = 8;
/// WalPages in the write-ahead log, 256 MiB of them, from which on it is told that a reader keeps it from being begun anew.
const PAGES_TOLD: u64 = 65_536;
/// The pause after a checkpoint that a reader kept from its end: trying again at each commit would cost and not help.
const HELD_PAUSE: Duration = Duration::from_secs(1);
/// How often the number of the last event is noted beside the store. One that is a second old tells a lost store well enough.
const MARK_EVERY: Duration = Duration::from_secs(1);
/// The pages that the thread keeps in memory, in KiB: it copies pages, and reads hardly any.
const CACHE_KIB: i64 = 64;
/// How long the end of the store waits for readers.
const LAST_READERS: Duration = Duration::from_secs(2);

/// How full the write-ahead log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WalPages {
    /// How many pages the log has.
    all: u64,
    /// How many of these pages are in the database's file as well.
    copied: u64,
}

impl WalPages {
    fn left(self) -> u64 {
        self.all.saturating_sub(self.copied)
    }
}

/// What the writer tells the thread of the checkpoints.
#[derive(Clone, Debug)]
pub(super) struct Signal {
    wake: SyncSender<Wake>,
    seen: Arc<WriterProgress>,
}

#[derive(Clone, Copy, Debug)]
enum Wake {
    Look,
    Stop,
}

/// What the thread looks at when it is woken.
#[derive(Debug, Default)]
struct WriterProgress {
    /// The number of the last event that was committed.
    event: AtomicU64,
    /// How many pages the write-ahead log had after the last commit.
    pages: AtomicU64,
    pages_left: AtomicU64,
    /// The thread waits for a wake, however long it takes.
    is_parked: AtomicBool,
}

impl Signal {
    /// Call it on the writer's thread after each commit. `event` is the number of its last event; `None` means that it has
    /// none.
    pub(super) fn committed(&self, connection: &Connection, event: Option<u64>) {
        // how many of its pages are copied is asked only where the log is long, since that costs a tenth of a small commit
        let is_long = self.seen.pages.load(SeqCst) >= PAGES_DUE;
        let left = if is_long { pages(connection).map_or(0, WalPages::left) } else { 0 };
        self.seen.pages_left.store(left, SeqCst);
        event.into_iter().for_each(|event| self.seen.event.store(event, SeqCst));
        let wants_mark = event.is_some() && self.seen.is_parked.swap(false, SeqCst);
        if left >= PAGES_DUE || wants_mark {
            // a full channel says that the thread will look
            let _ = self.wake.try_send(Wake::Look);
        }
    }
}

/// The thread of the checkpoints. It has to be dropped before the writer is.
pub(super) struct Checkpointer {
    wake: SyncSender<Wake>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// `event` is the number of the last event in the store, and `mark` says so already.
    pub(super) fn start(
        connector: &Connector,
        writer: &Executor,
        mark: MarkFile,
        event: u64,
    ) -> Result<(Checkpointer, Signal), StoreError> {
        let connection = connector.connect()?;
        // it waits for no lock: whatever is in the way is so for moments, and there is a next time
        connection.busy_timeout(Duration::ZERO)?;
        keep_pages(&connection, CACHE_KIB)?;
        let (wake, woken) = mpsc::sync_channel(1);
        let seen = Arc::<WriterProgress>::default();
        seen.event.store(event, SeqCst);
        let signal = Signal { wake: wake.clone(), seen: seen.clone() };
        let progress = seen.clone();
        writer.run_now(move |writer| follow(writer, progress))??;
        let writer = writer.clone();
        let now = Instant::now();
        let upkeep =
            Upkeep { connection, writer, mark, seen, marked: event, next_mark: now, next: now, is_told: false };
        let thread = std::thread::Builder::new().name("checkpoint".to_owned()).spawn(move || upkeep.keep(&woken));
        let thread = thread.map_err(|error| StoreError::Failed(error.to_string()))?;
        Ok((Checkpointer { wake, thread: Some(thread) }, signal))
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        let _ = self.wake.send(Wake::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread of checkpoints owns.
struct Upkeep {
    connection: Connection,
    writer: Executor,
    mark: MarkFile,
    seen: Arc<WriterProgress>,
    /// The event of which the mark says that it is in the store.
    marked: u64,
    /// The mark is not written before this.
    next_mark: Instant,
    /// No checkpoint begins before this.
    next: Instant,
    /// Whether it was told that a reader keeps the log from being begun anew.
    is_told: bool,
}

impl Upkeep {
    fn keep(mut self, woken: &Receiver<Wake>) {
        while self.wait(woken) {
            if self.seen.pages_left.load(SeqCst) >= PAGES_DUE && Instant::now() >= self.next {
                self.checkpoint();
            }
            self.note_event();
        }
    }

    /// Waits until there may be something to do. `false` means that the store is closed.
    fn wait(&self, woken: &Receiver<Wake>) -> bool {
        self.seen.is_parked.store(true, SeqCst);
        let wake = match self.seen.event.load(SeqCst) == self.marked {
            true => woken.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => {
                // the next commits need not wake it for the mark
                self.seen.is_parked.store(false, SeqCst);
                woken.recv_timeout(self.next_mark.saturating_duration_since(Instant::now()))
            }
        };
        match wake {
            Ok(Wake::Look) | Err(RecvTimeoutError::Timeout) => true,
            Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => false,
        }
    }

    fn checkpoint(&mut self) {
        for _ in 0..PASSES_MAX {
            match (pass(&self.connection), pages(&self.connection)) {
                (Some(passed), Some(now)) if passed.left() > 0 => return self.hold(now),
                (Some(_), Some(now)) if now.left() <= PAGES_LEFT => break,
                (Some(_), Some(_)) => {}
                (_, _) => return self.next = Instant::now() + HELD_PAUSE,
            }
        }
        self.is_told = false;
        let _ = self.writer.run_now(|connection| pass(connection));
    }

    /// A reader looks at a state of the store that stands in the log.
    fn hold(&mut self, now: WalPages) {
        self.next = Instant::now() + HELD_PAUSE;
        if now.all >= PAGES_TOLD && !self.is_told {
            self.is_told = true;
            let mib = now.all / 256;
            tracing::warn!(
                mib,
                "the log of the database grows, because a read or a backup lasts: it shrinks when that ends"
            );
        }
    }

    fn note_event(&mut self) {
        let (event, now) = (self.seen.event.load(SeqCst), Instant::now());
        if event != self.marked && now >= self.next_mark {
            self.mark.note(event);
            self.marked = event;
            self.next_mark = now + MARK_EVERY;
        }
    }
}

/// Has SQLite say after each commit of the writer how long the log is. It has one such hook, by which it would else begin a
/// checkpoint by itself.
fn follow(writer: &mut Connection, progress: Arc<WriterProgress>) -> rusqlite::Result<()> {
    writer.wal_hook(Some(move |_: &mut Wal, pages: c_int| {
        progress.pages.store(u64::try_from(pages).unwrap_or(0), SeqCst);
        Ok(())
    }))
}

/// Copies what may be copied without waiting for anybody. Answers how far that came; `None` means that it failed, or another does
/// it.
fn pass(connection: &Connection) -> Option<WalPages> {
    let passed = connection.query_row("pragma wal_checkpoint(passive)", [], |row| Ok((row.get(0)?, read_pages(row)?)));
    match passed {
        Ok((false, pages)) => Some(pages),
        Ok((true, _)) => None,
        Err(error) => {
            tracing::error!(%error, "the log of the database could not be copied into its file");
            None
        }
    }
}

fn pages(connection: &Connection) -> Option<WalPages> {
    let mut statement = connection.prepare_cached("pragma wal_checkpoint(noop)").ok()?;
    statement.query_row([], read_pages).ok()
}

fn read_pages(row: &Row<'_>) -> rusqlite::Result<WalPages> {
    // -1: there is no log yet
    let number = |at| Ok::<_, rusqlite::Error>(u64::try_from(row.get::<_, i64>(at)?).unwrap_or(0));
    Ok(WalPages { all: number(1)?, copied: number(2)? })
}

/// Copies all of the log and empties it, so that the whole store is in one file.
pub(super) fn close(connection: &Connection) -> Result<bool, StoreError> {
    connection.busy_timeout(LAST_READERS)?;
    let is_busy = connection.query_row("pragma wal_checkpoint(truncate)", [], |row| row.get::<_, bool>(0));
    connection.busy_timeout(super::executor::BUSY)?;
    Ok(!is_busy?)
}

#[cfg(test)]
#[path = "tests/checkpoint.rs"]
mod tests;
