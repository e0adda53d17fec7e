//! The bytes of a log or blob at one moment, in memory or in a file.

use super::file_work::FileWork;
use super::read_at;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// The bytes of one log or blob at one moment.
#[derive(Clone, Debug)]
pub(in crate::keep) struct ByteSnapshot {
    /// The number of bytes in the snapshot; the file may already have more.
    pub(in crate::keep) size: u64,
    pub(in crate::keep) bytes: Bytes,
}

#[derive(Clone, Debug)]
pub(in crate::keep) enum Bytes {
    Memory(Arc<Vec<u8>>),
    Open(Arc<File>),
    Closed(PathBuf),
}

impl ByteSnapshot {
    pub(in crate::keep) fn empty() -> ByteSnapshot {
        ByteSnapshot { size: 0, bytes: Bytes::Memory(Arc::default()) }
    }

    /// Reads at most `count` bytes from `offset`. It may block on a file, so async code calls it in
    /// [`ByteSnapshot::on_thread`].
    pub(in crate::keep) fn read(&self, offset: u64, count: usize) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = count.min(left);
        if count == 0 {
            return Ok(Vec::new());
        }
        match &self.bytes {
            Bytes::Memory(bytes) => Ok(slice(bytes, offset, count)),
            Bytes::Open(file) => read_at(file, offset, count),
            Bytes::Closed(path) => {
                let file = File::open(path)?;
                refuse_cut(&file, self.size)?;
                read_at(&file, offset, count)
            }
        }
    }

    /// Runs `work`, which reads the bytes. If they are in a file, the work runs where `on` says.
    pub(in crate::keep) async fn on_thread<T: Send + 'static>(
        self,
        on: FileWork,
        work: impl FnOnce(&ByteSnapshot) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        match self.bytes {
            Bytes::Memory(_) => work(&self),
            Bytes::Open(_) | Bytes::Closed(_) => on.run(move || work(&self.opened()?)).await,
        }
    }

    /// Returns the snapshot with its file open, for more than one read.
    pub(in crate::keep) fn opened(self) -> io::Result<ByteSnapshot> {
        match self.bytes {
            Bytes::Closed(path) => {
                let (file, size) = (File::open(path)?, self.size);
                refuse_cut(&file, size)?;
                Ok(ByteSnapshot { size, bytes: Bytes::Open(Arc::new(file)) })
            }
            Bytes::Memory(_) | Bytes::Open(_) => Ok(self),
        }
    }
}

/// Returns an error if a sealed file is shorter than its seal says.
fn refuse_cut(file: &File, size: u64) -> io::Result<()> {
    match file.metadata()?.len() {
        found if found < size => Err(damaged(format!("it has {found} of {size} bytes"))),
        _ => Ok(()),
    }
}

/// Returns the error for sealed bytes that were changed, cut or lost.
pub(in crate::keep) fn damaged(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

fn slice(bytes: &[u8], offset: u64, count: usize) -> Vec<u8> {
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
    let end = start.saturating_add(count).min(bytes.len());
    bytes[start..end].to_vec()
}
