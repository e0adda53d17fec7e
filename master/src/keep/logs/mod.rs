//! The bytes of logs: a worker appends them, readers read and follow them, and a seal ends them. This module owns the files
//! below `STATE/logs`. It knows nothing of leases, nor of who may read.
//!
//! A small log stays in memory until it is sealed and then lies in the store, so a trivial job costs no file. A larger log is a
//! file. Its worker keeps the bytes until the seal is committed, so a power cut before that loses none.
//!
//! `received` counts the bytes that the worker sent, and `size` the bytes that are stored. They differ beyond the limit, where
//! only the last 64 KiB are kept. These stand at the end, after a line of the master's own that says how many bytes are
//! missing. So a log may exceed the limit. The seal covers all stored bytes.

mod files;
mod lines;
mod live;
mod sealed;

pub use crate::keep::bytes::grip::Grip;
#[cfg(feature = "fuzz")]
pub use lines::find_lines;
pub use live::Write;

use crate::decide::coordinator::record::{BuildId, JobKey, SealRow, StepKey};
use crate::keep::bytes::snapshot::{ByteSnapshot, Bytes, damaged};
use crate::keep::bytes::write_room::WriteRoom;
use crate::keep::bytes::{file_work::FileWork, grip};
use crate::keep::write_health::WriteHealth;
use files::Files;
use futures::future::LocalBoxFuture;
use live::{LiveLog, WriterGuard};
use schema::values::{Refusal, RefusalCode, Time};
pub(crate) use sealed::path_below;
use sealed::{FOLDER, seal_of, sealed_size, sealed_source};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The size up to which a log has no file, in bytes: 64 KiB. Such a log is in memory, and in the store once it is sealed.
pub const SMALL_MAX: usize = 64 << 10;

/// The time at which the worker read the byte at `offset` from the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeMark {
    pub offset: u64,
    pub time: Time,
}

/// The answer to a write, which tells the worker where to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The offset of the next write.
    pub received: u64,
    /// The number of bytes that survive a power cut.
    pub durable: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogExtent {
    /// The number of bytes that can be read.
    pub size: u64,
    pub sealed: bool,
    /// The BLAKE3 of the log; `None` until it is sealed.
    pub hash: Option<[u8; 32]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    pub bytes: Vec<u8>,
    /// Whether the log is sealed and has no byte after these.
    pub sealed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    pub bytes: Vec<u8>,
    /// The offset of the first line, in bytes.
    pub offset: u64,
}

#[derive(Clone, Debug)]
pub struct Sealed {
    pub row: SealRow,
    /// Whether the length and the hash of the log are what the worker says.
    pub agrees: bool,
}

/// The part of the store that knows the sealed logs.
pub trait Seals {
    fn find(&self, key: StepKey) -> LocalBoxFuture<'_, Result<Option<SealRow>, String>>;
    /// Returns why the logs of a build can no longer be read; `None` means that they can.
    fn removed(&self, build: BuildId) -> LocalBoxFuture<'_, Result<Option<String>, String>>;
}

pub struct Logs {
    files: Files,
    limit: u64,
    seals: Box<dyn Seals>,
    live: RefCell<BTreeMap<StepKey, Arc<LiveLog>>>,
    /// The attempts that began under this master, so that the store has no seal of their logs yet.
    fresh: RefCell<BTreeSet<(JobKey, u16)>>,
    /// Notified when a log begins, is removed, or has its seal committed.
    changed: Notify,
    room: WriteRoom,
    health: Rc<WriteHealth>,
    /// The permits for files that readers hold open.
    grips: Arc<Semaphore>,
    index: lines::Indexes,
}

/// The place where the bytes of a log are.
enum LogLocation {
    Live(Arc<LiveLog>),
    Sealed(SealRow),
    Nowhere,
}

impl Logs {
    /// Opens the logs of a state directory. `limit` bounds the bytes of a log. An earlier master's files are used only if
    /// `trusted`, and files of another boot never are.
    pub fn open(state: &Path, limit: u64, trusted: bool, seals: Box<dyn Seals>) -> io::Result<Logs> {
        Ok(Logs::over(Files::open(&state.join(FOLDER), trusted, FileWork::Threads)?, limit, seals))
    }

    /// Opens the logs like [`Logs::open`], with file work on the caller's thread, for simulations.
    pub fn open_inline(state: &Path, limit: u64, trusted: bool, seals: Box<dyn Seals>) -> io::Result<Logs> {
        Ok(Logs::over(Files::open(&state.join(FOLDER), trusted, FileWork::Inline)?, limit, seals))
    }

    fn over(files: Files, limit: u64, seals: Box<dyn Seals>) -> Logs {
        Logs {
            files,
            limit,
            seals,
            live: RefCell::default(),
            fresh: RefCell::default(),
            changed: Notify::new(),
            room: WriteRoom::default(),
            health: Rc::default(),
            grips: Arc::new(Semaphore::new(grip::HELD_MAX)),
            index: lines::Indexes::default(),
        }
    }

    /// Returns the health of the logs: which of them cannot be written.
    pub fn health(&self) -> Rc<WriteHealth> {
        self.health.clone()
    }

    /// Notes that an attempt has begun. Its logs are empty and not searched in the store until [`Logs::forget_attempt`].
    pub fn begin_attempt(&self, job: JobKey, attempt: u16) {
        for key in self.held_logs(job, attempt) {
            self.live.borrow_mut().remove(&key);
        }
        self.fresh.borrow_mut().insert((job, attempt));
    }

    /// Removes the logs of an ended attempt from memory and from the disk, except those of the steps in `kept`. Writes that
    /// were begun before take effect first, and later ones are refused.
    pub async fn drop_others(&self, job: JobKey, attempt: u16, kept: &[u16]) -> io::Result<()> {
        // if this master began the attempt, a log that is not held has no file either
        let is_fresh = self.fresh.borrow().contains(&(job, attempt));
        let keys = if is_fresh { self.held_logs(job, attempt) } else { self.open_logs(job, attempt).await? };
        for key in keys.into_iter().filter(|key| !kept.contains(&key.step)) {
            let live = self.held(key);
            let turn = live.turn().await;
            live.discard(turn).await?;
            self.live.borrow_mut().remove(&key);
            self.changed.notify_waiters();
        }
        Ok(())
    }

    /// Forgets an attempt that has ended, after the seals of its logs were committed.
    pub fn forget_attempt(&self, job: JobKey, attempt: u16) {
        self.fresh.borrow_mut().remove(&(job, attempt));
        self.health.forget(job, attempt);
    }

    /// Appends at `offset`. Bytes that were received before are dropped, and a gap is refused. Writes of one log take effect in
    /// the order of the calls. A write that has begun completes even if its caller goes away.
    pub async fn write(
        &self,
        key: StepKey,
        offset: u64,
        bytes: Vec<u8>,
        marks: Vec<TimeMark>,
    ) -> Result<Written, Refusal> {
        let room = self.room(bytes.len()).await?;
        self.write_in(key, offset, Write { bytes, marks, room }).await
    }

    /// Waits until this many bytes may be queued.
    pub async fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        self.room.take(bytes).await.map_err(|error| cannot_write(&error))
    }

    /// Appends like [`Logs::write`], with room that the caller already has.
    pub async fn write_in(&self, key: StepKey, offset: u64, write: Write) -> Result<Written, Refusal> {
        let written = match self.resume(key).await {
            Ok((live, turn)) => live.write(turn, offset, write).await,
            Err(error) => Err(cannot_write(&error)),
        };
        match &written {
            Ok(_) => self.health.is_well(key),
            Err(refusal) if refusal.code == RefusalCode::Unavailable => self.health.fails(key, &refusal.text),
            Err(_) => {}
        }
        written
    }

    /// Returns the offset of the worker's next write, and whether the log is sealed.
    pub async fn received(&self, key: StepKey) -> io::Result<(u64, bool)> {
        let (live, _turn) = self.resume(key).await?;
        Ok((live.received(), live.is_sealed()))
    }

    /// Returns the size of a log. For every read of a log that was removed, the error is of the kind "not found".
    pub async fn size(&self, key: StepKey) -> io::Result<LogExtent> {
        self.size_on(key, &Grip::default()).await
    }

    /// Returns the size like [`Logs::size`]. A reader with a `grip` can go on when the log is removed.
    pub async fn size_on(&self, key: StepKey, grip: &Grip) -> io::Result<LogExtent> {
        if let Some(seal) = grip.seal() {
            return Ok(sealed_size(seal));
        }
        Ok(match self.place(key).await? {
            LogLocation::Live(live) => live.size(),
            LogLocation::Sealed(row) => {
                self.hold(key, &row, grip).await?;
                sealed_size(seal_of(&row))
            }
            LogLocation::Nowhere => LogExtent { size: 0, sealed: false, hash: None },
        })
    }

    /// Reads at most `count` bytes from `offset`. The chunk is empty at the current end of the log.
    pub async fn read(&self, key: StepKey, offset: u64, count: u32) -> io::Result<Chunk> {
        self.read_on(key, &Grip::default(), offset, count).await
    }

    /// Reads like [`Logs::read`]. A reader with a `grip` can go on when the log is removed.
    pub async fn read_on(&self, key: StepKey, grip: &Grip, offset: u64, count: u32) -> io::Result<Chunk> {
        let (source, sealed) = self.source(key, grip).await?;
        let size = source.size;
        let read = source.on_thread(self.files.work, move |source| source.read(offset, count as usize)).await;
        let bytes = self.or_removed(key, read).await?;
        let sealed = sealed && offset.saturating_add(bytes.len() as u64) >= size;
        Ok(Chunk { bytes, sealed })
    }

    /// Waits until there is a byte at `offset`, or until the log is sealed.
    pub async fn wait(&self, key: StepKey, offset: u64) -> io::Result<LogExtent> {
        self.wait_on(key, &Grip::default(), offset).await
    }

    /// Waits like [`Logs::wait`]. A reader with a `grip` can go on when the log is removed.
    pub async fn wait_on(&self, key: StepKey, grip: &Grip, offset: u64) -> io::Result<LogExtent> {
        if let Some(seal) = grip.seal() {
            return Ok(sealed_size(seal));
        }
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let LogLocation::Live(live) = self.place(key).await? {
                return Ok(live.wait(offset).await);
            }
            let size = self.size_on(key, grip).await?;
            if size.sealed || size.size > offset {
                return Ok(size);
            }
            changed.await;
        }
    }

    /// Returns the times at which bytes were read from the step, by rising offset. A small log loses them with its seal's
    /// commit.
    pub async fn marks(&self, key: StepKey) -> io::Result<Vec<TimeMark>> {
        if let LogLocation::Live(live) = self.place(key).await? {
            return live.marks().await;
        }
        let files = self.files.clone();
        self.files.work.run(move || files.marks(key)).await
    }

    /// Returns the lines `first` (from 1) to `first + count - 1`, at most 256 KiB of them.
    pub async fn lines(&self, key: StepKey, first: u64, count: u32) -> io::Result<Lines> {
        self.lines_on(key, &Grip::default(), first, count).await
    }

    /// Returns lines like [`Logs::lines`]. A reader with a `grip` can go on when the log is removed.
    pub async fn lines_on(&self, key: StepKey, grip: &Grip, first: u64, count: u32) -> io::Result<Lines> {
        let (source, _) = self.source(key, grip).await?;
        let mut index = self.index.take(key);
        let look = move |source: &ByteSnapshot| Ok((index.lines(source, first.max(1), count)?, index));
        let found = source.on_thread(self.files.work, look).await;
        let (lines, index) = self.or_removed(key, found).await?;
        self.index.keep(key, index);
        Ok(lines)
    }

    /// Returns the last `count` lines so far, and the number of the first of them.
    pub async fn last_lines_on(&self, key: StepKey, grip: &Grip, count: u32) -> io::Result<(u64, Lines)> {
        let (source, _) = self.source(key, grip).await?;
        let mut index = self.index.take(key);
        let look = move |source: &ByteSnapshot| Ok((index.last(source, count)?, index));
        let found = source.on_thread(self.files.work, look).await;
        let (lines, index) = self.or_removed(key, found).await?;
        self.index.keep(key, index);
        Ok(lines)
    }

    /// Seals a log. `size` and `hash` are what its worker claims. A log that is a file is durable when this returns. Calls may be repeated.
    pub async fn seal(&self, key: StepKey, size: u64, hash: &[u8]) -> io::Result<Sealed> {
        let sealed = match self.resume(key).await {
            Ok((live, turn)) => live.seal(turn, size, hash).await,
            Err(error) => Err(error),
        };
        match &sealed {
            Ok(_) => self.health.is_well(key),
            Err(error) => self.health.fails(key, &error.to_string()),
        }
        sealed
    }

    /// Removes logs from memory whose seals are committed.
    pub fn forget_sealed(&self, keys: impl IntoIterator<Item = StepKey>) {
        let gone: Vec<_> = keys.into_iter().filter_map(|key| self.live.borrow_mut().remove(&key)).collect();
        drop(gone);
        self.changed.notify_waiters();
    }

    /// Seals every open log of an attempt with a line that says why, and returns the rows to commit. Until the commit, the
    /// call may be repeated. Sealed logs are included, because their callers may have failed before the commit.
    pub async fn end_attempt(&self, job: JobKey, attempt: u16, marker: &str) -> io::Result<Vec<SealRow>> {
        let mut rows = Vec::new();
        for key in self.open_logs(job, attempt).await? {
            if self.find(key).await?.is_none() {
                let (live, turn) = self.resume(key).await?;
                rows.push(live.end(turn, marker).await?);
            }
        }
        Ok(rows)
    }

    /// Unlinks the logs of builds that the store no longer has, or whose logs it no longer has. It may be repeated. Readers
    /// that hold a file open can go on, and readers that wait are woken to learn of the removal.
    pub async fn remove(&self, builds: Vec<BuildId>) -> io::Result<()> {
        for build in &builds {
            let key = |index| StepKey { job: JobKey { build: *build, index }, attempt: 0, step: 0 };
            let mut live = self.live.borrow_mut();
            let gone: Vec<StepKey> =
                live.range(key(0)..).map(|(key, _)| *key).take_while(|key| key.job.build == *build).collect();
            gone.iter().for_each(|key| drop(live.remove(key)));
        }
        self.fresh.borrow_mut().retain(|(job, _)| !builds.contains(&job.build));
        self.index.forget(&builds);
        let files = self.files.clone();
        self.files.work.run(move || files.remove(&builds)).await?;
        self.changed.notify_waiters();
        Ok(())
    }

    async fn place(&self, key: StepKey) -> io::Result<LogLocation> {
        if let Some(live) = self.open_log(key) {
            return Ok(LogLocation::Live(live));
        }
        if let Some(row) = self.find(key).await? {
            return Ok(LogLocation::Sealed(row));
        }
        // the log may have begun while the store was searched for it
        if let Some(live) = self.open_log(key) {
            return Ok(LogLocation::Live(live));
        }
        if let Some(why) = self.removed(key).await? {
            return Err(io::Error::new(io::ErrorKind::NotFound, why));
        }
        if self.files.exists(key) {
            // an earlier master began the log, and its worker has not reconnected yet
            return Ok(LogLocation::Live(self.resume(key).await?.0));
        }
        Ok(LogLocation::Nowhere)
    }

    /// Returns the log's bytes as they are now, and whether they are all.
    async fn source(&self, key: StepKey, grip: &Grip) -> io::Result<(ByteSnapshot, bool)> {
        if let Some(source) = grip.source() {
            return Ok((source, true));
        }
        Ok(match self.place(key).await? {
            LogLocation::Live(live) => live.source_and_seal(),
            LogLocation::Sealed(row) => (self.hold(key, &row, grip).await?, true),
            LogLocation::Nowhere => (ByteSnapshot::empty(), false),
        })
    }

    async fn hold(&self, key: StepKey, row: &SealRow, grip: &Grip) -> io::Result<ByteSnapshot> {
        let source = sealed_source(&self.files, row);
        if let Bytes::Memory(bytes) = &source.bytes
            && blake3::hash(bytes).as_bytes() != &row.hash
        {
            return Err(damaged("it is not what the step wrote"));
        }
        let held = grip.close_on(self.files.work, &self.grips, seal_of(row), source).await;
        self.or_removed(key, held).await
    }

    /// Explains a missing file: retention may have unlinked it after the store was searched. Otherwise it is damage.
    async fn or_removed<T>(&self, key: StepKey, result: io::Result<T>) -> io::Result<T> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::NotFound => match self.removed(key).await? {
                Some(why) => Err(io::Error::new(io::ErrorKind::NotFound, why)),
                None => Err(damaged("its file is missing, but retention did not remove it")),
            },
            result => result,
        }
    }

    async fn removed(&self, key: StepKey) -> io::Result<Option<String>> {
        self.seals.removed(key.job.build).await.map_err(io::Error::other)
    }

    /// Returns the log of this key and the right to change it. The log is held already, taken up after a restart, or new.
    async fn resume(&self, key: StepKey) -> io::Result<(Arc<LiveLog>, WriterGuard)> {
        let live = self.held(key);
        let turn = live.turn().await;
        if live.is_taken_up() {
            return Ok((live, turn));
        }
        // if this master began the attempt, a log that is not held has no file either
        let is_new = self.is_fresh(key);
        let sealed = self.find(key).await?;
        let was_sealed = sealed.is_some();
        let has_file = !is_new && self.files.exists(key);
        let turn = live.open(turn, sealed, has_file).await?;
        if was_sealed {
            // the store has the log, so it need not be held
            self.live.borrow_mut().remove(&key);
        }
        self.changed.notify_waiters();
        Ok((live, turn))
    }

    /// Returns the log from memory, or a new entry for it, which is held so that calls take their turns in order.
    fn held(&self, key: StepKey) -> Arc<LiveLog> {
        let mut held = self.live.borrow_mut();
        if let Some(live) = held.get(&key) {
            return live.clone();
        }
        let of_attempt = StepKey { step: 0, ..key }..=StepKey { step: u16::MAX, ..key };
        let budget = held.range(of_attempt).next().map(|(_, other)| other.budget()).unwrap_or_default();
        let live = Arc::new(LiveLog::new(self.files.clone(), key, self.limit, budget));
        held.insert(key, live.clone());
        live
    }

    /// Returns a log that is held and taken up. `None` means that it is not held, or not taken up yet.
    fn open_log(&self, key: StepKey) -> Option<Arc<LiveLog>> {
        self.live.borrow().get(&key).filter(|live| live.is_taken_up()).cloned()
    }

    async fn find(&self, key: StepKey) -> io::Result<Option<SealRow>> {
        if self.is_fresh(key) {
            return Ok(None);
        }
        self.seals.find(key).await.map_err(io::Error::other)
    }

    /// Whether the log's attempt began under this master, so that the store has no seal of it.
    fn is_fresh(&self, key: StepKey) -> bool {
        self.fresh.borrow().contains(&(key.job, key.attempt))
    }

    /// Returns the logs of an attempt that are held in memory, or as open files.
    fn held_logs(&self, job: JobKey, attempt: u16) -> Vec<StepKey> {
        let key = |step| StepKey { job, attempt, step };
        self.live.borrow().range(key(0)..=key(u16::MAX)).map(|(key, _)| *key).collect()
    }

    async fn open_logs(&self, job: JobKey, attempt: u16) -> io::Result<Vec<StepKey>> {
        let key = |step| StepKey { job, attempt, step };
        let mut keys = self.held_logs(job, attempt);
        let files = self.files.clone();
        let on_disk = self.files.work.run(move || files.steps(job, attempt)).await?;
        keys.extend(on_disk.into_iter().map(key));
        keys.sort();
        keys.dedup();
        Ok(keys)
    }
}

fn cannot_write(error: &io::Error) -> Refusal {
    Refusal::new(RefusalCode::Unavailable, format!("the log cannot be written: {error}"))
        .help("keep the bytes, and try again until the master can write to its disk")
}

#[cfg(test)]
mod tests;
