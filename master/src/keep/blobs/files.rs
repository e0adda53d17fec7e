//! Finds the files of blobs: partial files by their upload, sealed files by their hash.

use super::BlobHash;
use crate::decide::coordinator::record::{BuildId, JobKey, UploadKey};
use crate::keep::bytes::file_work::FileWork;
use crate::keep::bytes::growing::GrowingFile;
use crate::keep::bytes::is_there;
use data_encoding::HEXLOWER;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The length of an upload's name in the name of its partial file, in bytes of its hash. The name itself does not fit, because
/// it may have slashes and be too long.
const NAME_BYTES: usize = 16;

/// The folders in which the files of blobs lie.
#[derive(Clone, Debug)]
pub(super) struct BlobFiles {
    /// The folder of files that are not sealed yet. Backups leave it out.
    partial: Arc<PathBuf>,
    sealed: Arc<PathBuf>,
    pub(super) work: FileWork,
}

/// The folder of sealed files, below the folder of all blobs.
pub(super) const SEALED: &str = "sealed";

/// Returns the path of a sealed file, relative to their folder.
pub(super) fn relative(hash: &BlobHash) -> PathBuf {
    PathBuf::from(HEXLOWER.encode(&hash[..1])).join(HEXLOWER.encode(hash))
}

/// A partial file that an earlier master left.
pub(super) struct LeftPartial {
    pub(super) job: JobKey,
    pub(super) attempt: u16,
    pub(super) path: PathBuf,
}

impl BlobFiles {
    pub(super) fn open(root: &Path, work: FileWork) -> io::Result<BlobFiles> {
        let (partial, sealed) = (root.join("partial"), root.join(SEALED));
        for dir in [&partial, &sealed] {
            std::fs::create_dir_all(dir)?;
        }
        root.ancestors().take(2).try_for_each(sync)?;
        Ok(BlobFiles { partial: Arc::new(partial), sealed: Arc::new(sealed), work })
    }

    /// Begins the file of an upload. A file that was there before is emptied.
    pub(super) fn begin(&self, key: &UploadKey) -> io::Result<GrowingFile> {
        let options = &mut File::options();
        let file = options.create(true).truncate(true).read(true).write(true).open(self.partial_path(key))?;
        Ok(GrowingFile::new(file, self.work))
    }

    /// Opens the partial file of an upload; `None` means that the upload was not begun.
    pub(super) fn resume(&self, key: &UploadKey) -> io::Result<Option<GrowingFile>> {
        match File::options().read(true).write(true).open(self.partial_path(key)) {
            Ok(file) => Ok(Some(GrowingFile::new(file, self.work))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Renames the file of an upload, which is durable, to its hash. It replaces a file of the same hash, whose bytes are the
    /// same. The name survives a power cut only after [`BlobFiles::sync_name`].
    pub(super) fn place(&self, key: &UploadKey, hash: &BlobHash) -> io::Result<()> {
        let target = self.sealed_path(hash);
        let shard = self.shard_of(hash);
        if !shard.exists() {
            std::fs::create_dir_all(&shard)?;
        }
        std::fs::rename(self.partial_path(key), &target)
    }

    /// Makes the name of a sealed file survive a power cut. The call may be repeated.
    pub(super) fn sync_name(&self, hash: &BlobHash) -> io::Result<()> {
        sync(&self.shard_of(hash))?;
        sync(&self.sealed)
    }

    pub(super) fn remove_partial(&self, key: &UploadKey) -> io::Result<()> {
        is_there(std::fs::remove_file(self.partial_path(key))).map(drop)
    }

    /// Returns the partial files. Removes files whose names it cannot read.
    pub(super) fn partials(&self) -> io::Result<Vec<LeftPartial>> {
        let mut left = Vec::new();
        for entry in std::fs::read_dir(&*self.partial)? {
            let path = entry?.path();
            match read_name(&path) {
                Some((job, attempt)) => left.push(LeftPartial { job, attempt, path }),
                None => std::fs::remove_file(path)?,
            }
        }
        Ok(left)
    }

    /// Removes the partial files of attempts for which `is_gone` returns true.
    pub(super) fn remove_partials(&self, is_gone: impl Fn(JobKey, u16) -> bool) -> io::Result<()> {
        let partials = self.partials()?.into_iter().filter(|partial| is_gone(partial.job, partial.attempt));
        partials.map(|partial| partial.path).try_for_each(|path| is_there(std::fs::remove_file(path)).map(drop))
    }

    pub(super) fn sealed_path(&self, hash: &BlobHash) -> PathBuf {
        self.sealed.join(relative(hash))
    }

    /// Returns the folder of a hash: one of 256, chosen by the hash's first byte, so that no folder gets long.
    fn shard_of(&self, hash: &BlobHash) -> PathBuf {
        self.sealed.join(HEXLOWER.encode(&hash[..1]))
    }

    /// Returns the folders of sealed files.
    pub(super) fn shards(&self) -> io::Result<Vec<PathBuf>> {
        std::fs::read_dir(&*self.sealed)?.map(|entry| Ok(entry?.path())).collect()
    }

    /// Returns the hashes that are the names of the files in a folder.
    pub(super) fn hashes(&self, shard: &Path) -> io::Result<Vec<BlobHash>> {
        let names = std::fs::read_dir(shard)?.map(|entry| Ok(entry?.file_name()));
        let names = names.collect::<io::Result<Vec<_>>>()?;
        Ok(names.iter().filter_map(|name| read_hash(name.to_str()?)).collect())
    }

    /// Unlinks the files of blobs if they exist. A power cut may bring them back.
    pub(super) fn remove(&self, hashes: &[BlobHash]) -> io::Result<()> {
        hashes.iter().try_for_each(|hash| is_there(std::fs::remove_file(self.sealed_path(hash))).map(drop))
    }

    fn partial_path(&self, key: &UploadKey) -> PathBuf {
        let name = HEXLOWER.encode(&blake3::hash(key.name.as_bytes()).as_bytes()[..NAME_BYTES]);
        self.partial.join(format!("{}.{}.{}.{name}", key.job.build.0, key.job.index, key.attempt))
    }
}

/// Returns the job and the attempt in the name of a partial file.
fn read_name(path: &Path) -> Option<(JobKey, u16)> {
    let mut parts = path.file_name()?.to_str()?.split('.');
    let build = BuildId(parts.next()?.parse().ok()?);
    let index = parts.next()?.parse().ok()?;
    Some((JobKey { build, index }, parts.next()?.parse().ok()?))
}

fn read_hash(name: &str) -> Option<BlobHash> {
    HEXLOWER.decode(name.as_bytes()).ok()?.try_into().ok()
}

/// Makes the names in a folder survive a power cut.
fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
