//! Log bytes: appended at an offset, read and followed live or later, sealed at the end. Owns the files below
//! `STATE/logs`; knows nothing of leases and of who may read.
//!
//! A small log stays in memory until it is sealed and then lies in the store: a trivial job costs no file. A larger one is a
//! file; its worker keeps the bytes until the seal is committed, so that a power cut in the middle costs nothing.

mod files;
mod lines;
mod live;

use crate::coordinator::record::{JobKey, SealRow, StepKey};
use files::Files;
use futures::future::LocalBoxFuture;
use live::Live;
use schema::values::{Refusal, RefusalCode, Time};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::rc::Rc;
use tokio::sync::Notify;

/// A log up to this size, in bytes, is kept in memory while live and in the store when sealed.
pub const SMALL_MAX: usize = 64 << 10;
/// Bytes that may wait to be written, over all logs.
const QUEUED_MAX: usize = 32 << 20;

/// When the byte at `offset` was read from the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub offset: u64,
    pub time: Time,
}

/// The answer to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Where the next write goes.
    pub received: u64,
    /// How many bytes survive a power cut.
    pub durable: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
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
    /// Where they begin.
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
}

pub struct Logs {
    files: Files,
    limit: u64,
    /// Files hold what was written to them before: the machine did not start anew.
    trusted: bool,
    seals: Box<dyn Seals>,
    live: RefCell<BTreeMap<StepKey, Rc<Live>>>,
    /// A log began, or its seal was committed.
    changed: Notify,
    room: tokio::sync::Semaphore,
    index: lines::Indexes,
}

/// Where a log's bytes are.
enum Place {
    Live(Rc<Live>),
    Sealed(SealRow),
    /// Written before this master started, and neither resumed nor sealed since.
    Left(u64),
    Nowhere,
}

impl Logs {
    /// `limit`: the most bytes that a log may have. `trusted`: the machine is still in the boot in which files were written.
    pub fn open(state: &Path, limit: u64, trusted: bool, seals: Box<dyn Seals>) -> io::Result<Logs> {
        Ok(Logs {
            files: Files::open(&state.join("logs"))?,
            limit,
            trusted,
            seals,
            live: RefCell::default(),
            changed: Notify::new(),
            room: tokio::sync::Semaphore::new(QUEUED_MAX),
            index: lines::Indexes::default(),
        })
    }

    /// Appends at `offset`. What overlaps is dropped, a gap is refused; writes of one log take effect in the order of calls.
    pub async fn write(&self, key: StepKey, offset: u64, bytes: Vec<u8>, marks: Vec<Mark>) -> Result<Written, Refusal> {
        let wanted = u32::try_from(bytes.len().min(QUEUED_MAX)).unwrap_or(u32::MAX);
        let _room = self.room.acquire_many(wanted).await;
        let live = self.resume(key).await.map_err(|error| cannot_write(&error))?;
        live.write(offset, &bytes, &marks).await
    }

    /// Where the worker goes on, and whether the log is sealed.
    pub async fn received(&self, key: StepKey) -> io::Result<(u64, bool)> {
        match self.place(key).await? {
            Place::Live(live) => Ok((live.received(), live.is_sealed())),
            Place::Sealed(row) => Ok((row.size, true)),
            Place::Left(_) | Place::Nowhere => Ok((self.resume(key).await?.received(), false)),
        }
    }

    pub async fn size(&self, key: StepKey) -> io::Result<Size> {
        Ok(match self.place(key).await? {
            Place::Live(live) => live.size(),
            Place::Sealed(row) => Size { size: row.size, sealed: true, hash: Some(row.hash) },
            Place::Left(size) => Size { size, sealed: false, hash: None },
            Place::Nowhere => Size { size: 0, sealed: false, hash: None },
        })
    }

    /// At most `count` bytes from `offset`; empty at the end so far.
    pub async fn read(&self, key: StepKey, offset: u64, count: u32) -> io::Result<Chunk> {
        let count = count as usize;
        match self.place(key).await? {
            Place::Live(live) => {
                let size = live.size();
                let bytes = live.read(offset, count).await?;
                let end = offset.saturating_add(bytes.len() as u64);
                Ok(Chunk { bytes, sealed: size.sealed && end >= size.size })
            }
            Place::Sealed(row) => {
                let bytes = self.read_sealed(&row, offset, count).await?;
                let sealed = offset.saturating_add(bytes.len() as u64) >= row.size;
                Ok(Chunk { bytes, sealed })
            }
            Place::Left(size) => Ok(Chunk { bytes: self.files.read(key, offset, count, size).await?, sealed: false }),
            Place::Nowhere => Ok(Chunk { bytes: Vec::new(), sealed: false }),
        }
    }

    /// Resolves when there is a byte at `offset`, or when the log is sealed.
    pub async fn wait(&self, key: StepKey, offset: u64) -> io::Result<Size> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Place::Live(live) = self.place(key).await? {
                let size = live.wait(offset).await;
                return Ok(size);
            }
            let size = self.size(key).await?;
            if size.sealed || size.size > offset {
                return Ok(size);
            }
            changed.await;
        }
    }

    /// Lines `first` (from 1) to `first + count - 1`, cut at 256 KiB.
    pub async fn lines(&self, key: StepKey, first: u64, count: u32) -> io::Result<Lines> {
        let size = self.size(key).await?;
        lines::lines(self, &self.index, key, size, first.max(1), count).await
    }

    /// Ends a log. `size` and `hash` are what its worker says. Large ones are on the disk when this answers. May be repeated
    /// until [`Logs::forget_sealed`].
    pub async fn seal(&self, key: StepKey, size: u64, hash: &[u8]) -> io::Result<Sealed> {
        let live = self.resume(key).await?;
        live.seal(size, hash).await
    }

    /// The seals of these logs are committed: what is kept of them in memory goes.
    pub fn forget_sealed(&self, keys: impl IntoIterator<Item = StepKey>) {
        let gone: Vec<_> = keys.into_iter().filter_map(|key| self.live.borrow_mut().remove(&key)).collect();
        drop(gone);
        self.changed.notify_waiters();
    }

    /// Ends every open log of an attempt with a line that says why; answers what to record.
    pub async fn end_attempt(&self, job: JobKey, attempt: u16, marker: &str) -> io::Result<Vec<SealRow>> {
        let mut rows = Vec::new();
        for key in self.open_logs(job, attempt).await? {
            let live = self.resume(key).await?;
            if !live.is_sealed() {
                rows.push(live.end(marker).await?);
            }
        }
        Ok(rows)
    }

    /// Deletes the files of logs, for retention.
    pub fn delete(&self, keys: impl IntoIterator<Item = StepKey>) {
        for key in keys {
            self.live.borrow_mut().remove(&key);
            self.files.delete(key);
        }
    }

    async fn place(&self, key: StepKey) -> io::Result<Place> {
        if let Some(live) = self.live.borrow().get(&key) {
            return Ok(Place::Live(live.clone()));
        }
        if let Some(row) = self.seals.find(key).await.map_err(io::Error::other)? {
            return Ok(Place::Sealed(row));
        }
        // it may have begun while the store was asked
        if let Some(live) = self.live.borrow().get(&key) {
            return Ok(Place::Live(live.clone()));
        }
        match self.files.size(key) {
            Some(size) if self.trusted => Ok(Place::Left(size)),
            Some(_) | None => Ok(Place::Nowhere),
        }
    }

    /// The live log of this key: going on, taken up after a restart, or new.
    async fn resume(&self, key: StepKey) -> io::Result<Rc<Live>> {
        let known = self.live.borrow().get(&key).cloned();
        let live = known.unwrap_or_else(|| {
            let live = Rc::new(Live::new(self.files.clone(), key, self.limit));
            self.live.borrow_mut().insert(key, live.clone());
            live
        });
        live.take_up(self.trusted).await?;
        self.changed.notify_waiters();
        Ok(live)
    }

    async fn read_sealed(&self, row: &SealRow, offset: u64, count: usize) -> io::Result<Vec<u8>> {
        match &row.bytes {
            Some(bytes) => Ok(slice(bytes, offset, count)),
            None => self.files.read(row.key, offset, count, row.size).await,
        }
    }

    async fn open_logs(&self, job: JobKey, attempt: u16) -> io::Result<Vec<StepKey>> {
        let key = |step| StepKey { job, attempt, step };
        let mut keys: Vec<StepKey> = self.live.borrow().range(key(0)..=key(u16::MAX)).map(|(key, _)| *key).collect();
        for step in self.files.steps(job, attempt)? {
            if !keys.contains(&key(step)) && self.seals.find(key(step)).await.map_err(io::Error::other)?.is_none() {
                keys.push(key(step));
            }
        }
        Ok(keys)
    }
}

/// At most `count` bytes from `offset`.
fn slice(bytes: &[u8], offset: u64, count: usize) -> Vec<u8> {
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
    let end = start.saturating_add(count).min(bytes.len());
    bytes[start..end].to_vec()
}

fn cannot_write(error: &io::Error) -> Refusal {
    Refusal::new(RefusalCode::Unavailable, format!("the log cannot be written: {error}"))
        .help("keep the bytes and try again: it goes on when the master's disk does")
}
