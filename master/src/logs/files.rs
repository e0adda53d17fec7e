//! Where a log's file is, and reading it off the RPC thread.

use crate::coordinator::record::{JobKey, StepKey};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Clone, Debug)]
pub(super) struct Files {
    root: Arc<PathBuf>,
}

impl Files {
    pub(super) fn open(root: &Path) -> io::Result<Files> {
        std::fs::create_dir_all(root)?;
        Ok(Files { root: Arc::new(root.to_owned()) })
    }

    pub(super) fn path(&self, key: StepKey) -> PathBuf {
        let name = format!("{}.{}.{}.log", key.job.index, key.attempt, key.step);
        self.dir(key.job).join(name)
    }

    /// None: there is no such file.
    pub(super) fn size(&self, key: StepKey) -> Option<u64> {
        std::fs::metadata(self.path(key)).ok().map(|meta| meta.len())
    }

    /// At most `count` bytes from `offset`, and none from `end` on. Fewer where the file is shorter than it should be.
    pub(super) async fn read(&self, key: StepKey, offset: u64, count: usize, end: u64) -> io::Result<Vec<u8>> {
        let path = self.path(key);
        let left = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
        blocking(move || read_at(&File::open(path)?, offset, count.min(left))).await
    }

    /// Opens a log's file for writing, with its directory.
    pub(super) fn create(&self, key: StepKey) -> io::Result<File> {
        std::fs::create_dir_all(self.dir(key.job))?;
        File::options().create(true).truncate(false).read(true).write(true).open(self.path(key))
    }

    /// Makes the file's name durable.
    pub(super) fn sync_dir(&self, key: StepKey) -> io::Result<()> {
        let dir = self.dir(key.job);
        File::open(&dir)?.sync_all()?;
        dir.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    }

    pub(super) fn delete(&self, key: StepKey) {
        let _ = std::fs::remove_file(self.path(key));
        // only an empty directory goes
        let _ = std::fs::remove_dir(self.dir(key.job));
    }

    /// Steps of an attempt that have a file.
    pub(super) fn steps(&self, job: JobKey, attempt: u16) -> io::Result<Vec<u16>> {
        let entries = match std::fs::read_dir(self.dir(job)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let prefix = format!("{}.{attempt}.", job.index);
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter_map(|name| name.strip_prefix(&prefix)?.strip_suffix(".log")?.parse().ok()).collect())
    }

    fn dir(&self, job: JobKey) -> PathBuf {
        self.root.join((job.build.0 / 1_000).to_string()).join(job.build.0.to_string())
    }
}

pub(super) fn read_at(file: &File, offset: u64, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    let mut filled = 0;
    while filled < count {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Runs file work on another thread.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
