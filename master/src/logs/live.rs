//! One log while it is written.

use super::files::{Files, blocking, read_at};
use super::{Mark, SMALL_MAX, Sealed, Size, Written, cannot_write, slice};
use crate::coordinator::record::{SealRow, StepKey};
use schema::values::{Refusal, RefusalCode};
use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use tokio::sync::{Mutex, watch};

/// Bytes between two syncs of a growing file.
const SYNC_EVERY: u64 = 8 << 20;
/// Read at once to hash what an earlier master received.
const REHASH: usize = 1 << 20;

pub(super) struct Live {
    files: Files,
    key: StepKey,
    limit: u64,
    /// Held by who changes the log: writes take effect in the order of calls, since the lock is fair.
    turn: Mutex<()>,
    tail: RefCell<Tail>,
    grown: watch::Sender<u64>,
}

/// The state, borrowed only between awaits.
#[derive(Default)]
struct Tail {
    taken_up: bool,
    /// Bytes that the worker need not send again.
    received: u64,
    received_hash: blake3::Hasher,
    /// Bytes that readers see: those received, up to the limit, and our own marker.
    stored: u64,
    stored_hash: blake3::Hasher,
    durable: u64,
    last: Option<u8>,
    /// All bytes, while they are few.
    small: Vec<u8>,
    file: Option<Arc<File>>,
    sealed: Option<(SealRow, u64, [u8; 32])>,
}

impl Live {
    pub(super) fn new(files: Files, key: StepKey, limit: u64) -> Live {
        let (turn, tail) = (Mutex::new(()), RefCell::default());
        Live { files, key, limit, turn, tail, grown: watch::Sender::new(0) }
    }

    /// Takes up what an earlier master wrote, once. Untrusted bytes are dropped: the worker has them still.
    pub(super) async fn take_up(&self, trusted: bool) -> io::Result<()> {
        if self.tail.borrow().taken_up {
            return Ok(());
        }
        let _turn = self.turn.lock().await;
        if self.tail.borrow().taken_up {
            return Ok(());
        }
        if self.files.size(self.key).is_some() {
            let (files, key) = (self.files.clone(), self.key);
            let (file, hash, size, last) = blocking(move || reopen(&files, key, trusted)).await?;
            let mut tail = self.tail.borrow_mut();
            (tail.received, tail.stored, tail.last) = (size, size, last);
            (tail.received_hash, tail.stored_hash) = (hash.clone(), hash);
            tail.file = Some(Arc::new(file));
        }
        self.tail.borrow_mut().taken_up = true;
        self.announce();
        Ok(())
    }

    pub(super) async fn write(&self, offset: u64, bytes: &[u8], _marks: &[Mark]) -> Result<Written, Refusal> {
        let _turn = self.turn.lock().await;
        let (received, room) = {
            let tail = self.tail.borrow();
            if tail.sealed.is_some() {
                return Err(Refusal::new(RefusalCode::Stale, "the log is sealed"));
            }
            (tail.received, usize::try_from(self.limit.saturating_sub(tail.stored)).unwrap_or(usize::MAX))
        };
        let Some(known) = received.checked_sub(offset) else {
            let text = format!("the write begins at {offset}, but only {received} bytes were received");
            return Err(Refusal::new(RefusalCode::Offset, text).help("ask `size` and go on from there"));
        };
        let new = bytes.get(usize::try_from(known).unwrap_or(usize::MAX)..).unwrap_or_default();
        self.append(&new[..new.len().min(room)]).await.map_err(|error| cannot_write(&error))?;
        let mut tail = self.tail.borrow_mut();
        tail.received += new.len() as u64;
        tail.received_hash.update(new);
        Ok(Written { received: tail.received, durable: tail.durable })
    }

    pub(super) fn received(&self) -> u64 {
        self.tail.borrow().received
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.tail.borrow().sealed.is_some()
    }

    pub(super) fn size(&self) -> Size {
        let tail = self.tail.borrow();
        Size {
            size: tail.stored,
            sealed: tail.sealed.is_some(),
            hash: tail.sealed.as_ref().map(|(row, _, _)| row.hash),
        }
    }

    pub(super) async fn read(&self, offset: u64, count: usize) -> io::Result<Vec<u8>> {
        let (file, left) = {
            let tail = self.tail.borrow();
            match &tail.file {
                None => return Ok(slice(&tail.small, offset, count)),
                Some(file) => (file.clone(), tail.stored.saturating_sub(offset)),
            }
        };
        let count = count.min(usize::try_from(left).unwrap_or(usize::MAX));
        if count == 0 {
            return Ok(Vec::new());
        }
        blocking(move || read_at(&file, offset, count)).await
    }

    /// Resolves when there is a byte at `offset`, or when the log is sealed.
    pub(super) async fn wait(&self, offset: u64) -> Size {
        let mut grown = self.grown.subscribe();
        let _ = grown.wait_for(|_| self.is_sealed() || self.tail.borrow().stored > offset).await;
        self.size()
    }

    /// Ends the log with its worker's word for length and hash.
    pub(super) async fn seal(&self, size: u64, hash: &[u8]) -> io::Result<Sealed> {
        let _turn = self.turn.lock().await;
        let sealed = self.tail.borrow().sealed.clone();
        let (row, received, received_hash) = match sealed {
            Some(sealed) => sealed,
            None => {
                self.mark_limit().await?;
                self.close().await?
            }
        };
        Ok(Sealed { agrees: received == size && (hash.is_empty() || hash == received_hash), row })
    }

    /// Ends the log with a line of ours, whatever its worker sent.
    pub(super) async fn end(&self, marker: &str) -> io::Result<SealRow> {
        let _turn = self.turn.lock().await;
        self.mark_limit().await?;
        self.append_line(marker).await?;
        Ok(self.close().await?.0)
    }

    /// Says in the log that bytes were dropped.
    async fn mark_limit(&self) -> io::Result<()> {
        let dropped = {
            let tail = self.tail.borrow();
            tail.received.saturating_sub(tail.stored)
        };
        if dropped == 0 {
            return Ok(());
        }
        let limit = self.limit;
        self.append_line(&format!("[guild: log limit of {limit} bytes reached, {dropped} bytes dropped]\n")).await
    }

    async fn append_line(&self, line: &str) -> io::Result<()> {
        let broken = self.tail.borrow().last.is_some_and(|last| last != b'\n');
        let line = if broken { format!("\n{line}") } else { line.to_owned() };
        self.append(line.as_bytes()).await
    }

    /// Stores bytes: in memory while they are few, else in the file. On an error nothing of them counts.
    async fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let Some(last) = bytes.last().copied() else { return Ok(()) };
        let is_small = {
            let tail = self.tail.borrow();
            tail.file.is_none() && tail.small.len() + bytes.len() <= SMALL_MAX
        };
        if is_small {
            self.tail.borrow_mut().small.extend_from_slice(bytes);
        } else {
            self.append_to_file(bytes.to_vec()).await?;
        }
        let mut tail = self.tail.borrow_mut();
        tail.stored += bytes.len() as u64;
        tail.stored_hash.update(bytes);
        tail.last = Some(last);
        drop(tail);
        self.announce();
        Ok(())
    }

    async fn append_to_file(&self, bytes: Vec<u8>) -> io::Result<()> {
        let (file, small, stored, durable) = {
            let tail = self.tail.borrow();
            // few bytes: at most what a small log holds
            (tail.file.clone(), tail.small.clone(), tail.stored, tail.durable)
        };
        let (files, key) = (self.files.clone(), self.key);
        let end = stored + bytes.len() as u64;
        let sync = end - durable >= SYNC_EVERY;
        let file = blocking(move || {
            let file = match file {
                Some(file) => file,
                None => {
                    let file = Arc::new(files.create(key)?);
                    file.write_all_at(&small, 0)?;
                    file
                }
            };
            file.write_all_at(&bytes, stored)?;
            if sync {
                file.sync_data()?;
            }
            Ok(file)
        })
        .await?;
        let mut tail = self.tail.borrow_mut();
        tail.file = Some(file);
        tail.small = Vec::new();
        if sync {
            tail.durable = end;
        }
        Ok(())
    }

    async fn close(&self) -> io::Result<(SealRow, u64, [u8; 32])> {
        let file = self.tail.borrow().file.clone();
        if let Some(file) = file {
            let (files, key, size) = (self.files.clone(), self.key, self.tail.borrow().stored);
            blocking(move || {
                file.set_len(size)?;
                file.sync_data()?;
                files.sync_dir(key)
            })
            .await?;
        }
        let mut tail = self.tail.borrow_mut();
        let bytes = tail.file.is_none().then(|| tail.small.clone());
        let hash = *tail.stored_hash.finalize().as_bytes();
        let row = SealRow { key: self.key, size: tail.stored, hash, bytes };
        let sealed = (row, tail.received, *tail.received_hash.finalize().as_bytes());
        tail.sealed = Some(sealed.clone());
        drop(tail);
        self.announce();
        Ok(sealed)
    }

    fn announce(&self) {
        let stored = self.tail.borrow().stored;
        self.grown.send_replace(stored);
    }
}

/// Opens the file of an earlier master: with its hash where it is trusted, else emptied.
fn reopen(files: &Files, key: StepKey, trusted: bool) -> io::Result<(File, blake3::Hasher, u64, Option<u8>)> {
    let file = files.create(key)?;
    let mut hash = blake3::Hasher::new();
    if !trusted {
        file.set_len(0)?;
        return Ok((file, hash, 0, None));
    }
    let (mut size, mut last) = (0, None);
    loop {
        let bytes = read_at(&file, size, REHASH)?;
        let Some(byte) = bytes.last() else { return Ok((file, hash, size, last)) };
        last = Some(*byte);
        size += bytes.len() as u64;
        hash.update(&bytes);
    }
}
