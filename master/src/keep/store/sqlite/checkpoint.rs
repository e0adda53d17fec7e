//! Makes checkpoints beside the commits: it copies the write-ahead log into the database's file.
//!
//! SQLite itself would make a checkpoint within a commit, which would then wait for two more syncs of megabytes. Here a thread
//! with its own connection copies most pages beside the commits. Only few pages are committed meanwhile, and the writer copies
//! these between two commits, so that its next commit restarts the log. So the log does not grow without end while commits
//! never pause.
//!
//! The log cannot restart while a reader uses it. All reads of a master are short; a backup that copies a large store is the
//! longest. Until it ends the log grows, which is logged once. Then the log shrinks again.

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

/// The number of pages of 4 KiB in the write-ahead log that starts a checkpoint: SQLite's own default.
const PAGES_DUE: u64 = 1_000;
/// The number of pages that the writer may copy between two commits. They take about a millisecond, and a checkpoint that runs
/// beside the commits leaves fewer.
const PAGES_LEFT: u64 = 128;
/// The most passes that run beside the commits. After them, commits wait until the writer has copied all pages that are left. If
/// this many passes leave too much, commits write faster than a checkpoint copies.
const PASSES_MAX: u32 = 8;
/// The number of pages in the write-ahead log, 256 MiB of them, from which on the master logs that a reader prevents its
/// restart.
const PAGES_TOLD: u64 = 65_536;
/// The pause after a checkpoint that a reader prevented. A try at each commit would take time and not help.
const HELD_PAUSE: Duration = Duration::from_secs(1);
/// The shortest time between two writes of the mark beside the store. A mark that is a second old still detects a lost store.
const MARK_EVERY: Duration = Duration::from_secs(1);
/// The memory for pages of the thread's connection, in KiB. It is small because the thread copies pages and reads hardly any.
const CACHE_KIB: i64 = 64;
/// How long closing the store waits for readers.
const LAST_READERS: Duration = Duration::from_secs(2);

/// The number of pages in the write-ahead log, and how many of them are already copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WalPages {
    /// The number of pages in the log.
    all: u64,
    /// The number of these pages that are in the database's file as well.
    copied: u64,
}

impl WalPages {
    fn left(self) -> u64 {
        self.all.saturating_sub(self.copied)
    }
}

/// The writer's handle to the thread of the checkpoints.
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

/// The writer's progress, which the thread reads when it wakes up.
#[derive(Debug, Default)]
struct WriterProgress {
    /// The number of the last event that was committed.
    event: AtomicU64,
    /// The number of pages in the write-ahead log after the last commit.
    pages: AtomicU64,
    pages_left: AtomicU64,
    /// Whether the thread waits for a wake without a time limit.
    is_parked: AtomicBool,
}

impl Signal {
    /// Reports a commit; called on the writer's thread after each one. `event` is the number of its last event; `None` means
    /// that it has no event.
    pub(super) fn committed(&self, connection: &Connection, event: Option<u64>) {
        // asks for the copied pages only if the log is long, because the question takes a tenth of a small commit
        let is_long = self.seen.pages.load(SeqCst) >= PAGES_DUE;
        let left = if is_long { pages(connection).map_or(0, WalPages::left) } else { 0 };
        self.seen.pages_left.store(left, SeqCst);
        event.into_iter().for_each(|event| self.seen.event.store(event, SeqCst));
        let wants_mark = event.is_some() && self.seen.is_parked.swap(false, SeqCst);
        if left >= PAGES_DUE || wants_mark {
            // if the channel is full, the thread will look anyway
            let _ = self.wake.try_send(Wake::Look);
        }
    }
}

/// The owner of the checkpoint thread. It has to be dropped before the writer.
pub(super) struct Checkpointer {
    wake: SyncSender<Wake>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Starts the thread. `event` is the number of the last event in the store, which `mark` has already.
    pub(super) fn start(
        connector: &Connector,
        writer: &Executor,
        mark: MarkFile,
        event: u64,
    ) -> Result<(Checkpointer, Signal), StoreError> {
        let connection = connector.connect()?;
        // does not wait for locks: what holds one does so only briefly, and the thread tries again
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

/// The state that the checkpoint thread owns.
struct Upkeep {
    connection: Connection,
    writer: Executor,
    mark: MarkFile,
    seen: Arc<WriterProgress>,
    /// The number of the event that the mark has.
    marked: u64,
    /// The time before which the mark is not written again.
    next_mark: Instant,
    /// The time before which no checkpoint begins.
    next: Instant,
    /// Whether it was logged that a reader prevents the log's restart.
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

    /// Waits until there may be something to do. Returns `false` if the store is being closed.
    fn wait(&self, woken: &Receiver<Wake>) -> bool {
        self.seen.is_parked.store(true, SeqCst);
        let wake = match self.seen.event.load(SeqCst) == self.marked {
            true => woken.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => {
                // the wait ends in time for the mark, so the next commits need not wake the thread for it
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

    /// Pauses the checkpoints, because a reader uses a state of the store that is only in the log.
    fn hold(&mut self, now: WalPages) {
        self.next = Instant::now() + HELD_PAUSE;
        if now.all >= PAGES_TOLD && !self.is_told {
            self.is_told = true;
            let mib = now.all / 256;
            tracing::warn!(
                mib,
                "the write-ahead log of the store grows until a long read or backup ends, and then shrinks again"
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

/// Makes SQLite report the length of the log after each commit of the writer. This takes SQLite's only hook for that, with
/// which it would otherwise start checkpoints itself.
fn follow(writer: &mut Connection, progress: Arc<WriterProgress>) -> rusqlite::Result<()> {
    writer.wal_hook(Some(move |_: &mut Wal, pages: c_int| {
        progress.pages.store(u64::try_from(pages).unwrap_or(0), SeqCst);
        Ok(())
    }))
}

/// Copies the pages that can be copied without waiting for anybody, and returns how far that came. `None` means that it failed,
/// or that another connection is doing it.
fn pass(connection: &Connection) -> Option<WalPages> {
    let passed = connection.query_row("pragma wal_checkpoint(passive)", [], |row| Ok((row.get(0)?, read_pages(row)?)));
    match passed {
        Ok((false, pages)) => Some(pages),
        Ok((true, _)) => None,
        Err(error) => {
            tracing::error!(%error, "the write-ahead log could not be copied into the database");
            None
        }
    }
}

fn pages(connection: &Connection) -> Option<WalPages> {
    let mut statement = connection.prepare_cached("pragma wal_checkpoint(noop)").ok()?;
    statement.query_row([], read_pages).ok()
}

fn read_pages(row: &Row<'_>) -> rusqlite::Result<WalPages> {
    // SQLite returns -1 while there is no log
    let number = |at| Ok::<_, rusqlite::Error>(u64::try_from(row.get::<_, i64>(at)?).unwrap_or(0));
    Ok(WalPages { all: number(1)?, copied: number(2)? })
}

/// Copies all of the log and empties it, so that the whole store is in one file. Returns `false` if a reader prevented that.
pub(super) fn close(connection: &Connection) -> Result<bool, StoreError> {
    connection.busy_timeout(LAST_READERS)?;
    let is_busy = connection.query_row("pragma wal_checkpoint(truncate)", [], |row| row.get::<_, bool>(0));
    connection.busy_timeout(super::executor::BUSY)?;
    Ok(!is_busy?)
}

#[cfg(test)]
#[path = "tests/checkpoint.rs"]
mod tests;
