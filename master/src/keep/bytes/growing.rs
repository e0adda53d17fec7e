//! A file that grows: bytes are appended, and it is made durable now and then beside the writes that follow.

use super::file_work::FileWork;
use super::{CHUNK, read_at};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// Bytes between two syncs of a growing file. One runs beside the writes that follow: at most twice as much waits for it.
const SYNC_EVERY: u64 = 4 << 20;

/// A file that only grows. It knows how much of it survives a power cut.
#[derive(Debug)]
pub(in crate::keep) struct GrowingFile {
    file: Arc<File>,
    work: FileWork,
    durable: u64,
    /// The sync that runs, and the size up to which it makes the file durable.
    syncing: Option<(u64, JoinHandle<io::Result<()>>)>,
    sync_failed: bool,
}

impl GrowingFile {
    /// A file of which nothing is known to be durable.
    pub(in crate::keep) fn new(file: File, work: FileWork) -> GrowingFile {
        GrowingFile { file: Arc::new(file), work, durable: 0, syncing: None, sync_failed: false }
    }

    pub(in crate::keep) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// How many bytes survive a power cut.
    pub(in crate::keep) fn durable(&self) -> u64 {
        self.durable
    }

    /// Takes the result of a sync that has ended meanwhile.
    pub(in crate::keep) fn poll_sync(&mut self) -> io::Result<()> {
        if self.syncing.as_ref().is_some_and(|(_, sync)| sync.is_finished()) { self.end_sync() } else { Ok(()) }
    }

    /// Writes bytes at `end`, which is where the caller counts the file to end. After an error nothing of them counts.
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

    /// Cuts what a failed write left beyond `size`, and makes the file durable.
    pub(in crate::keep) fn close(&mut self, size: u64) -> io::Result<()> {
        self.file.set_len(size)?;
        self.sync(size)
    }

    /// Begins to make the file durable up to `end`, after what was begun before has ended.
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

    /// Waits for the sync that runs.
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
            // the system reports a failed write once and then takes the pages for written: they are written anew
            self.rewrite(end)?;
        }
        self.sync_failed = true;
        self.file.sync_data()?;
        self.sync_failed = false;
        self.durable = end;
        Ok(())
    }

    /// Writes anew what is not durable.
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
