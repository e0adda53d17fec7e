//! Log bytes: appended at an offset, read and followed live or later, sealed at the end. Owns the files below
//! `STATE/logs`; knows nothing of leases and of who may read.
//!
//! A small log stays in memory until it is sealed and then lies in the store: a trivial job costs no file. A larger one is a
//! file. Its worker keeps the bytes until the seal is committed, so that a power cut in the middle costs nothing.
//!
//! `received` counts what the worker sent, `size` what is stored and read. They part at the limit. Of the bytes beyond it only
//! the last 64 KiB are kept. They come at the end, after a line of ours that says how many bytes are missing. So a log may be
//! longer than the limit by these and by lines of ours. Size and hash of the seal are those of all stored bytes.

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

/// A log up to this size, in bytes, is kept in memory while live and in the store when sealed.
pub const SMALL_MAX: usize = 64 << 10;

/// When the byte at `offset` was read from the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeMark {
    pub offset: u64,
    pub time: Time,
}

/// The answer to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The offset of the next write.
    pub received: u64,
    /// How many bytes survive a power cut.
    pub durable: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogExtent {
    /// Bytes that can be read.
    pub size: u64,
    pub sealed: bool,
    /// BLAKE3 of a sealed log.
    pub hash: Option<[u8; 32]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    pub bytes: Vec<u8>,
    /// There will be no more after these.
    pub sealed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    pub bytes: Vec<u8>,
    /// The offset where the lines begin, in bytes.
    pub offset: u64,
}

#[derive(Clone, Debug)]
pub struct Sealed {
    pub row: SealRow,
    /// Length and hash are what the worker says.
    pub agrees: bool,
}

/// Where sealed logs are found again.
pub trait Seals {
    fn find(&self, key: StepKey) -> LocalBoxFuture<'_, Result<Option<SealRow>, String>>;
    /// Why the logs of a build cannot be read any more; `None` means that they can.
    fn removed(&self, build: BuildId) -> LocalBoxFuture<'_, Result<Option<String>, String>>;
}

pub struct Logs {
    files: Files,
    limit: u64,
    seals: Box<dyn Seals>,
    live: RefCell<BTreeMap<StepKey, Arc<LiveLog>>>,
    /// Attempts of whose logs the store has nothing yet.
    fresh: RefCell<BTreeSet<(JobKey, u16)>>,
    /// A log began, or its seal was committed.
    changed: Notify,
    room: WriteRoom,
    health: Rc<WriteHealth>,
    /// The permits for files that readers hold.
    grips: Arc<Semaphore>,
    index: lines::Indexes,
}

/// Where the bytes of a log are.
enum LogLocation {
    Live(Arc<LiveLog>),
    Sealed(SealRow),
    Nowhere,
}

impl Logs {
    /// `limit`: the most bytes of a log. `trusted`: whether files of an earlier master are; those of another boot never are.
    pub fn open(state: &Path, limit: u64, trusted: bool, seals: Box<dyn Seals>) -> io::Result<Logs> {
        Ok(Logs::over(Files::open(&state.join(FOLDER), trusted, FileWork::Threads)?, limit, seals))
    }

    /// Does file work where it is asked for: for simulations.
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

    /// Which logs cannot be written.
    pub fn health(&self) -> Rc<WriteHealth> {
        self.health.clone()
    }

    /// An attempt has begun: its logs are empty, and until [`Logs::forget_attempt`] no seal of them is looked for in the store.
    pub fn begin_attempt(&self, job: JobKey, attempt: u16) {
        for key in self.held_logs(job, attempt) {
            self.live.borrow_mut().remove(&key);
        }
        self.fresh.borrow_mut().insert((job, attempt));
    }

    /// An attempt has ended: logs of other steps than these go, from memory and from the disk. Writes to them that were begun
    /// take effect before, or are refused.
    pub async fn drop_others(&self, job: JobKey, attempt: u16, kept: &[u16]) -> io::Result<()> {
        // of an attempt that this master began, a log that is not held has no file either
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

    /// An attempt has ended, and the seals of its logs are committed.
    pub fn forget_attempt(&self, job: JobKey, attempt: u16) {
        self.fresh.borrow_mut().remove(&(job, attempt));
        self.health.forget(job, attempt);
    }

    /// Appends at `offset`. What overlaps is dropped, a gap is refused; writes of one log take effect in the order of calls.
    /// A write that was begun ends also when its caller is gone.
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

    /// Like [`Logs::write`], with the room that it takes.
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

    /// Where the worker goes on, and whether the log is sealed.
    pub async fn received(&self, key: StepKey) -> io::Result<(u64, bool)> {
        let (live, _turn) = self.resume(key).await?;
        Ok((live.received(), live.is_sealed()))
    }

    /// A log that was removed is an error of the kind "not found", for all readers.
    pub async fn size(&self, key: StepKey) -> io::Result<LogExtent> {
        self.size_on(key, &Grip::default()).await
    }

    /// Like [`Logs::size`], for a reader that goes on when the log is removed.
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

    /// Reads at most `count` bytes from `offset`; empty at the end so far.
    pub async fn read(&self, key: StepKey, offset: u64, count: u32) -> io::Result<Chunk> {
        self.read_on(key, &Grip::default(), offset, count).await
    }

    /// Like [`Logs::read`], for a reader that goes on when the log is removed.
    pub async fn read_on(&self, key: StepKey, grip: &Grip, offset: u64, count: u32) -> io::Result<Chunk> {
        let (source, sealed) = self.source(key, grip).await?;
        let size = source.size;
        let read = source.on_thread(self.files.work, move |source| source.read(offset, count as usize)).await;
        let bytes = self.or_removed(key, read).await?;
        let sealed = sealed && offset.saturating_add(bytes.len() as u64) >= size;
        Ok(Chunk { bytes, sealed })
    }

    /// Resolves when there is a byte at `offset`, or when the log is sealed.
    pub async fn wait(&self, key: StepKey, offset: u64) -> io::Result<LogExtent> {
        self.wait_on(key, &Grip::default(), offset).await
    }

    /// Like [`Logs::wait`], for a reader that goes on when the log is removed.
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

    /// When bytes were read from the step, by rising offset. Of a small log they are known until its seal is committed.
    pub async fn marks(&self, key: StepKey) -> io::Result<Vec<TimeMark>> {
        if let LogLocation::Live(live) = self.place(key).await? {
            return live.marks().await;
        }
        let files = self.files.clone();
        self.files.work.run(move || files.marks(key)).await
    }

    /// Lines `first` (from 1) to `first + count - 1`, cut at 256 KiB.
    pub async fn lines(&self, key: StepKey, first: u64, count: u32) -> io::Result<Lines> {
        self.lines_on(key, &Grip::default(), first, count).await
    }

    /// Like [`Logs::lines`], for a reader that goes on when the log is removed.
    pub async fn lines_on(&self, key: StepKey, grip: &Grip, first: u64, count: u32) -> io::Result<Lines> {
        let (source, _) = self.source(key, grip).await?;
        let mut index = self.index.take(key);
        let look = move |source: &ByteSnapshot| Ok((index.lines(source, first.max(1), count)?, index));
        let found = source.on_thread(self.files.work, look).await;
        let (lines, index) = self.or_removed(key, found).await?;
        self.index.keep(key, index);
        Ok(lines)
    }

    /// The last `count` lines so far, and the number of the first of them.
    pub async fn last_lines_on(&self, key: StepKey, grip: &Grip, count: u32) -> io::Result<(u64, Lines)> {
        let (source, _) = self.source(key, grip).await?;
        let mut index = self.index.take(key);
        let look = move |source: &ByteSnapshot| Ok((index.last(source, count)?, index));
        let found = source.on_thread(self.files.work, look).await;
        let (lines, index) = self.or_removed(key, found).await?;
        self.index.keep(key, index);
        Ok(lines)
    }

    /// Ends a log. `size` and `hash` are what its worker says. Large ones are on the disk when this answers. May be
    /// repeated.
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

    /// The seals of these logs are committed: what is kept of them in memory goes.
    pub fn forget_sealed(&self, keys: impl IntoIterator<Item = StepKey>) {
        let gone: Vec<_> = keys.into_iter().filter_map(|key| self.live.borrow_mut().remove(&key)).collect();
        drop(gone);
        self.changed.notify_waiters();
    }

    /// Ends every open log of an attempt with a line that says why; answers what to record. May be repeated until that is
    /// committed. That holds also of a log that is sealed already, because whoever sealed it may not have come to record it.
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

    /// Unlinks the logs of builds that were removed from the store, or whose logs were: repeating it does no harm. Who holds a
    /// file open reads on. Those that wait are woken, to be told.
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
        // it may have begun while the store was asked
        if let Some(live) = self.open_log(key) {
            return Ok(LogLocation::Live(live));
        }
        if let Some(why) = self.removed(key).await? {
            return Err(io::Error::new(io::ErrorKind::NotFound, why));
        }
        if self.files.exists(key) {
            // an earlier master began it, and its worker is not back yet
            return Ok(LogLocation::Live(self.resume(key).await?.0));
        }
        Ok(LogLocation::Nowhere)
    }

    /// The log's bytes as they are now, and whether they are all.
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

    /// A file that is gone may have been unlinked since the store was asked.
    async fn or_removed<T>(&self, key: StepKey, result: io::Result<T>) -> io::Result<T> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::NotFound => match self.removed(key).await? {
                Some(why) => Err(io::Error::new(io::ErrorKind::NotFound, why)),
                None => Err(damaged("its file is gone, and retention did not take it")),
            },
            result => result,
        }
    }

    async fn removed(&self, key: StepKey) -> io::Result<Option<String>> {
        self.seals.removed(key.job.build).await.map_err(io::Error::other)
    }

    /// The log of this key as it goes on: held already, taken up after a restart, or new; and the right to change it.
    async fn resume(&self, key: StepKey) -> io::Result<(Arc<LiveLog>, WriterGuard)> {
        let live = self.held(key);
        let turn = live.turn().await;
        if live.is_taken_up() {
            return Ok((live, turn));
        }
        // of an attempt that this master began, a log that is not held has no file either
        let is_new = self.is_fresh(key);
        let sealed = self.find(key).await?;
        let was_sealed = sealed.is_some();
        let has_file = !is_new && self.files.exists(key);
        let turn = live.open(turn, sealed, has_file).await?;
        if was_sealed {
            // the store has it: nothing to hold on to
            self.live.borrow_mut().remove(&key);
        }
        self.changed.notify_waiters();
        Ok((live, turn))
    }

    /// Held from the first call on, so that calls take their turns in order.
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

    /// `None` means that the log is not held, or what there was of it is not taken up yet.
    fn open_log(&self, key: StepKey) -> Option<Arc<LiveLog>> {
        self.live.borrow().get(&key).filter(|live| live.is_taken_up()).cloned()
    }

    async fn find(&self, key: StepKey) -> io::Result<Option<SealRow>> {
        if self.is_fresh(key) {
            return Ok(None);
        }
        self.seals.find(key).await.map_err(io::Error::other)
    }

    /// Whether the log's attempt has begun here, so that the store has nothing of it.
    fn is_fresh(&self, key: StepKey) -> bool {
        self.fresh.borrow().contains(&(key.job, key.attempt))
    }

    /// The logs of an attempt that are held in memory, or as open files.
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
        .help("keep the bytes and try again: it goes on when the master's disk does")
}

#[cfg(test)]
mod tests;
