//! A pack that somebody sends to a mirror, piece by piece. It lies in a folder of its own, which git does not look at, until the
//! mirror takes it or throws it away. Nothing of it outlives the master.

use super::Mirror;
use super::git::GitError;
use super::prepare::{INCOMING, remove_tree};
use crate::keep::bytes::sum::Sum;
use schema::limits::borders::{TRY_OBJECTS, TRY_PACK};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// The name of the pack in its folder.
const PACK: &str = "pack";

/// A pack that is being received. Its folder is removed when this is dropped.
#[derive(Debug)]
pub struct IncomingPack {
    dir: PathBuf,
    received: Arc<Mutex<Received>>,
}

#[derive(Debug, Default)]
pub(super) struct Received {
    file: Option<File>,
    size: u64,
    sum: Sum,
    is_sealed: bool,
}

/// The reasons for which bytes of a pack are not taken.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    #[error("the write begins after the {received} bytes that were received")]
    Gap { received: u64 },
    #[error("a pack may have at most {} bytes", TRY_PACK.most)]
    TooLarge,
    #[error("the pack is sealed with other bytes")]
    Sealed,
    #[error("the pack has {received} bytes so far")]
    Short { received: u64 },
    #[error("the bytes do not have the hash that they should have")]
    Damaged,
    #[error("the pack cannot be written: {0}")]
    Io(#[from] io::Error),
}

impl Mirror {
    /// Makes the folder for a pack. `name` is unique among the packs that are being received.
    pub async fn incoming(&self, name: &str) -> Result<IncomingPack, GitError> {
        // the first preparation of the mirror removes what an earlier master left
        self.git.ready().await?;
        let dir = self.dir.join(INCOMING).join(name);
        let made = remove_tree(&dir).and_then(|()| std::fs::create_dir_all(&dir));
        made.map_err(|cause| GitError::io(dir.display().to_string(), cause))?;
        Ok(IncomingPack { dir, received: Arc::default() })
    }
}

impl IncomingPack {
    /// Returns how many bytes were received, and whether the pack is sealed.
    pub async fn size(&self) -> (u64, bool) {
        let received = self.received.lock().await;
        (received.size, received.is_sealed)
    }

    /// Appends at `offset`, and returns how many bytes there are. Bytes that were received before are dropped.
    pub async fn write(&self, offset: u64, bytes: &[u8]) -> Result<u64, PackError> {
        let mut received = self.received.clone().lock_owned().await;
        let known = received.size.checked_sub(offset).ok_or(PackError::Gap { received: received.size })?;
        let new = bytes.get(usize::try_from(known).unwrap_or(usize::MAX)..).unwrap_or_default().to_vec();
        if new.is_empty() {
            return Ok(received.size);
        }
        if received.is_sealed {
            return Err(PackError::Sealed);
        }
        if received.size + new.len() as u64 > TRY_PACK.most {
            return Err(PackError::TooLarge);
        }
        let path = self.pack();
        blocking(move || received.append(&path, &new)).await
    }

    /// Ends the pack. It must have this length and this BLAKE3.
    pub async fn seal(&self, length: u64, hash: [u8; 32]) -> Result<(), PackError> {
        let mut received = self.received.lock().await;
        if received.size < length {
            return Err(PackError::Short { received: received.size });
        }
        if received.size > length || received.sum.hash() != hash {
            return Err(if received.is_sealed { PackError::Sealed } else { PackError::Damaged });
        }
        received.is_sealed = true;
        Ok(())
    }

    /// Waits until nobody else uses the pack. `None` means that it is not sealed.
    pub(super) async fn turn(&self) -> Option<OwnedMutexGuard<Received>> {
        Some(self.received.clone().lock_owned().await).filter(|received| received.is_sealed)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn pack(&self) -> PathBuf {
        self.dir.join(PACK)
    }
}

impl Drop for IncomingPack {
    fn drop(&mut self) {
        if let Err(error) = remove_tree(&self.dir) {
            tracing::warn!(dir = %self.dir.display(), %error, "a pack that was not taken cannot be removed");
        }
    }
}

impl Received {
    fn append(&mut self, path: &Path, bytes: &[u8]) -> Result<u64, PackError> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(File::create(path)?),
        };
        file.write_all(bytes)?;
        self.sum.update(bytes);
        self.size += bytes.len() as u64;
        Ok(self.size)
    }
}

/// Returns how many objects a pack says that it has (gitformat-pack(5)).
pub(super) fn objects_in(pack: &Path) -> Result<u32, String> {
    let mut head = [0; 12];
    let read = File::open(pack).and_then(|mut file| file.read_exact(&mut head));
    let ([b'P', b'A', b'C', b'K', _, _, _, _, count @ ..], Ok(())) = (head, read) else {
        return Err("it does not begin like a pack".to_owned());
    };
    let count = u32::from_be_bytes(count);
    match u64::from(count) > TRY_OBJECTS.most {
        true => Err(format!("it has {count} objects, and at most {} are taken", TRY_OBJECTS.most)),
        false => Ok(count),
    }
}

pub(super) async fn blocking<T: Send + 'static, E: From<io::Error> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(lost) => Err(io::Error::from(lost).into()),
    }
}
