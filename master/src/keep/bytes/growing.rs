//! A file that grows. Writers append bytes, and a sync makes them durable now and then while later writes go on.

use super::file_work::FileWork;
use super::{CHUNK, read_at};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// The number of bytes between two syncs of a growing file: 4 MiB. A sync runs beside later writes, and the next sync waits for
/// it. So at most about twice this many bytes are not yet durable.
const SYNC_EVERY: u64 = 4 << 20;

/// A file to which bytes are only appended. It knows how many of them survive a power cut.
#[derive(Debug)]
pub(in crate::keep) struct GrowingFile {
    file: Arc<File>,
    work: FileWork,
    durable: u64,
    /// The running sync, and the size up to which it makes the file durable.
    syncing: Option<(u64, JoinHandle<io::Result<()>>)>,
    sync_failed: bool,
}

impl GrowingFile {
    /// Wraps a file of which no byte is known to be durable.
    pub(in crate::keep) fn new(file: File, work: FileWork) -> GrowingFile {
        GrowingFile { file: Arc::new(file), work, durable: 0, syncing: None, sync_failed: false }
    }

    pub(in crate::keep) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Returns how many bytes survive a power cut.
    pub(in crate::keep) fn durable(&self) -> u64 {
        self.durable
    }

    /// Takes the result of a sync if it has ended.
    pub(in crate::keep) fn poll_sync(&mut self) -> io::Result<()> {
        if self.syncing.as_ref().is_some_and(|(_, sync)| sync.is_finished()) { self.end_sync() } else { Ok(()) }
    }

    /// Writes bytes at `end`, the size of the file as its caller counts it. After an error none of these bytes counts.
    pub(in crate::keep) fn append(&mut self, end: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, end)?;
        let end = end + bytes.len() as u64;
        let begun = self.syncing.as_ref().map_or(self.durable, |(begun, _)| *begun);
        match self.work {
            _ if end - begun < SYNC_EVERY => Ok(()),
            FileWork::Inline => self.sync(end),
            FileWork::Threads => self.begin_sync(end),
        }
    }

    /// Cuts off bytes beyond `size`, which a failed write may have left, and makes the file durable.
    pub(in crate::keep) fn close(&mut self, size: u64) -> io::Result<()> {
        self.file.set_len(size)?;
        self.sync(size)
    }

    /// Starts a sync that makes the file durable up to `end`. Waits for an earlier sync first.
    fn begin_sync(&mut self, end: u64) -> io::Result<()> {
        self.end_sync()?;
        if self.sync_failed {
            return self.sync(end);
        }
        let file = self.file.clone();
        let sync = thread::Builder::new().name("bytes-sync".to_owned()).spawn(move || file.sync_data())?;
        self.syncing = Some((end, sync));
        Ok(())
    }

    /// Waits for the running sync, if there is one, and takes its result.
    fn end_sync(&mut self) -> io::Result<()> {
        let Some((end, sync)) = self.syncing.take() else { return Ok(()) };
        self.sync_failed = true;
        sync.join().map_err(|_| io::Error::other("a sync panicked"))??;
        self.sync_failed = false;
        self.durable = end;
        Ok(())
    }

    /// Makes the file durable up to `end`.
    fn sync(&mut self, end: u64) -> io::Result<()> {
        self.end_sync()?;
        if self.sync_failed {
            // the system reports a failed write only once and then treats its pages as written, so they are written again
            self.rewrite(end)?;
        }
        self.sync_failed = true;
        self.file.sync_data()?;
        self.sync_failed = false;
        self.durable = end;
        Ok(())
    }

    /// Writes the bytes again that are not durable.
    fn rewrite(&self, end: u64) -> io::Result<()> {
        let mut from = self.durable;
        while from < end {
            let left = usize::try_from(end - from).unwrap_or(CHUNK).min(CHUNK);
            let bytes = read_at(&self.file, from, left)?;
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.file.write_all_at(&bytes, from)?;
            from += bytes.len() as u64;
        }
        Ok(())
    }
}
