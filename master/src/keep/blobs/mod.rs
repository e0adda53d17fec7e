//! Blobs: sealed bytes that are addressed by their BLAKE3, and stored once however often they are sent. This module owns the
//! files below `STATE/blobs`. It knows nothing of leases, nor of who may read.
//!
//! A blob begins as an upload, which one attempt makes under a name. The upload grows in a partial file, so that an interrupted
//! worker can go on. At the seal, the length and the hash are compared, and the file is synced and renamed to its hash. Then
//! the caller commits its reference ([`PlacedBlob`]). So each committed reference has its file.
//!
//! A file without references remains if the master crashes between the rename and the commit, or if retention removes its
//! builds. [`Blobs::remove_unreferenced`] removes such files, but never one whose hash is being sealed.

mod claims;
mod files;
mod upload;

pub use upload::BlobWrite;

use crate::decide::coordinator::record::{JobKey, UploadKey};
use crate::keep::bytes::Seal;
use crate::keep::bytes::file_work::FileWork;
use crate::keep::bytes::grip::{self, Grip};
use crate::keep::bytes::snapshot::{ByteSnapshot, Bytes};
use crate::keep::bytes::write_room::WriteRoom;
use claims::{Claims, Removing};
use files::BlobFiles;
use futures::future::LocalBoxFuture;
use schema::limits::PART;
use schema::limits::borders::{BLOBS_ATTEMPT, BLOBS_PROJECT, BLOBS_SEALED, UPLOADS};
use schema::values::{Refusal, RefusalCode};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use upload::{Budgets, Upload, UploadState, UploadTurn, over};

/// The number of bytes that one attempt may store, sealed or not: 8 GiB. A large bundle with its symbols has some GiB, and a
/// job that runs wild must not fill the disk for everybody.
pub const ATTEMPT_BYTES_MAX: u64 = BLOBS_ATTEMPT.most;
/// The number of bytes that one project may store, each blob counted once: 100 GiB. This is also the default for all logs,
/// because both lie on one disk.
pub const PROJECT_BYTES_MAX: u64 = BLOBS_PROJECT.most;
/// The number of blobs that one attempt may store, open uploads included. Each blob is a row and a file, so a job with more
/// files has to pack them.
pub const ATTEMPT_BLOBS_MAX: u32 = BLOBS_SEALED.most as u32;
/// The number of uploads that one attempt may have open at once. Each of them holds a file open, and more would not be faster.
pub const UPLOADS_MAX: usize = UPLOADS.count();

/// The BLAKE3 of a blob: its address.
pub type BlobHash = [u8; 32];
/// The folder of all blobs, in the state directory.
const FOLDER: &str = "blobs";

/// Returns the path of a sealed blob, relative to the state directory.
pub(crate) fn path_below(hash: &BlobHash) -> PathBuf {
    Path::new(FOLDER).join(files::SEALED).join(files::relative(hash))
}

/// The sealed bytes that count against the quotas of an upload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlobUsage {
    /// The bytes of all projects, each blob counted once. A blob without references counts until its file is gone.
    pub total: u64,
    /// The bytes of the upload's project, each blob counted once.
    pub project: u64,
    /// The sealed bytes of the upload's attempt.
    pub attempt: u64,
    /// The number of sealed blobs of the upload's attempt.
    pub count: u32,
}

/// The part of the store that knows the committed blobs.
pub trait BlobIndex {
    /// Returns the seal of an upload; `None` means that it was not sealed.
    fn sealed(&self, key: UploadKey) -> LocalBoxFuture<'_, Result<Option<Seal>, String>>;
    fn usage(&self, key: UploadKey) -> LocalBoxFuture<'_, Result<BlobUsage, String>>;
    /// Returns the hashes among these that something refers to.
    fn referenced(&self, hashes: Vec<BlobHash>) -> LocalBoxFuture<'_, Result<BTreeSet<BlobHash>, String>>;
}

/// All blobs and uploads of a master.
pub struct Blobs {
    files: BlobFiles,
    index: Box<dyn BlobIndex>,
    /// The number of bytes that all projects may store together, open uploads included.
    quota: Cell<u64>,
    uploads: RefCell<BTreeMap<UploadKey, Arc<Upload>>>,
    /// The attempts whose partial files an earlier master left.
    left: RefCell<BTreeSet<(JobKey, u16)>>,
    claims: Arc<Claims>,
    room: WriteRoom,
    /// The permits for files that readers hold open.
    grips: Arc<Semaphore>,
}

/// An upload whose file has been renamed to its hash. The upload stays locked until the caller has committed its reference and
/// calls [`Blobs::record`], or drops this.
pub struct PlacedBlob {
    key: UploadKey,
    upload: Arc<Upload>,
    turn: UploadTurn,
    seal: Seal,
    /// Whether the blob's reference was committed before, because the caller repeats its call.
    pub is_recorded: bool,
}

/// A sealed blob, as one reader sees it.
pub struct BlobReader {
    pub seal: Seal,
    path: PathBuf,
    grip: Grip,
}

/// Blobs whose files were removed. While this lives, no upload of the same bytes is sealed.
#[derive(Default)]
pub struct RemovedBlobs(Vec<Removing>);

impl Blobs {
    /// Opens the blobs of a state directory. `quota` bounds the bytes of all projects together. If `trusted` is false, partial
    /// files of an earlier master are removed. If `is_inline` is true, file work runs on the caller's thread, as simulations
    /// need it.
    pub fn open(
        state: &Path,
        quota: u64,
        trusted: bool,
        is_inline: bool,
        index: Box<dyn BlobIndex>,
    ) -> io::Result<Blobs> {
        let work = if is_inline { FileWork::Inline } else { FileWork::Threads };
        let blobs = Blobs {
            files: BlobFiles::open(&state.join(FOLDER), work)?,
            index,
            quota: Cell::new(quota),
            uploads: RefCell::default(),
            left: RefCell::default(),
            claims: Arc::default(),
            room: WriteRoom::default(),
            grips: Arc::new(Semaphore::new(grip::HELD_MAX)),
        };
        blobs.keep_partials(|_, _| trusted)?;
        Ok(blobs)
    }

    /// Returns the number of bytes that all projects may store together.
    pub fn quota(&self) -> u64 {
        self.quota.get()
    }

    /// Changes the quota of all projects from now on. Blobs and uploads that exceed a smaller quota stay.
    pub fn set_quota(&self, quota: u64) {
        self.quota.set(quota);
    }

    /// Removes the partial files of all attempts except those for which `is_kept` returns true.
    pub fn keep_partials(&self, is_kept: impl Fn(JobKey, u16) -> bool) -> io::Result<()> {
        self.files.remove_partials(|job, attempt| !is_kept(job, attempt))?;
        let left = self.files.partials()?.into_iter().map(|partial| (partial.job, partial.attempt));
        self.left.replace(left.collect());
        Ok(())
    }

    /// Returns how many bytes of an upload were received, and whether it is sealed.
    pub async fn received(&self, key: &UploadKey) -> Result<(u64, bool), Refusal> {
        let (_, mut turn) = self.resume(key).await?;
        match &*turn {
            UploadState::Placed { seal, .. } => Ok((seal.size, false)),
            UploadState::Recorded(seal) => Ok((seal.size, true)),
            UploadState::Growing(_) | UploadState::Unknown | UploadState::Over => {
                Ok((turn.growing()?.seal().size, false))
            }
        }
    }

    /// Waits until this many bytes may be queued.
    pub async fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        self.room.take(bytes).await.map_err(|error| cannot_write(&error))
    }

    /// Appends at `offset` and returns how many bytes were received so far. Bytes that were received before are dropped. A gap
    /// is refused, and so are bytes beyond a quota. Writes of one upload take effect in the order of the calls. A write that
    /// has begun completes even if its caller goes away.
    pub async fn write(&self, key: &UploadKey, offset: u64, write: BlobWrite) -> Result<u64, Refusal> {
        let (upload, turn) = self.resume(key).await?;
        let usage = self.index.usage(key.clone()).await.map_err(unreadable)?;
        upload.write(turn, offset, write, (usage, self.quota.get())).await
    }

    /// Compares the length and the hash, makes the bytes durable, and renames the file to its hash. If the hash is wrong, the
    /// bytes are discarded, because nobody can tell which of them are wrong.
    pub async fn place(&self, key: &UploadKey, claimed: Seal) -> Result<PlacedBlob, Refusal> {
        let (upload, turn) = self.resume(key).await?;
        let (seal, is_recorded) = match &*turn {
            UploadState::Recorded(seal) => (*seal, true),
            UploadState::Placed { seal, .. } => (*seal, false),
            UploadState::Growing(partial) => (partial.seal(), false),
            UploadState::Unknown | UploadState::Over => return Err(over()),
        };
        if seal != claimed {
            return Err(self.disagree(&upload, turn, seal, claimed).await);
        }
        if is_recorded {
            return Ok(PlacedBlob { key: key.clone(), upload, turn, seal, is_recorded });
        }
        let sealing = self.claims.seal(seal.hash).await;
        let turn = upload.place(turn, seal, sealing).await.map_err(|error| cannot_write(&error))?;
        Ok(PlacedBlob { key: key.clone(), upload, turn, seal, is_recorded })
    }

    /// Notes that the reference of a blob is committed.
    pub fn record(&self, mut placed: PlacedBlob) {
        placed.upload.record(&mut placed.turn, placed.seal);
        self.uploads.borrow_mut().remove(&placed.key);
    }

    /// Removes the unsealed uploads of an attempt that has ended, from memory and from the disk. Writes that were begun before
    /// take effect first, and later ones are refused.
    pub async fn end_attempt(&self, job: JobKey, attempt: u16) -> io::Result<()> {
        let (mut placed, mut ended) = (Vec::new(), Ok(()));
        for (key, upload) in self.held_of(job, attempt) {
            let turn = upload.turn().await;
            self.uploads.borrow_mut().remove(&key);
            match upload.end(turn).await {
                Ok(hash) => placed.extend(hash),
                Err(error) => ended = Err(error),
            }
        }
        if self.left.borrow_mut().remove(&(job, attempt)) {
            let files = self.files.clone();
            let remove = move || files.remove_partials(|of, number| (of, number) == (job, attempt));
            self.files.work.run(remove).await?;
        }
        self.remove_unreferenced(placed).await?;
        ended
    }

    /// Returns a reader of a sealed blob.
    pub fn reader(&self, seal: Seal) -> BlobReader {
        BlobReader { seal, path: self.files.sealed_path(&seal.hash), grip: Grip::default() }
    }

    /// Reads at most `count` bytes from `offset`. A reader that holds the file open can go on when the blob is removed.
    pub async fn read(&self, reader: &BlobReader, offset: u64, count: u32) -> io::Result<Vec<u8>> {
        let work = self.files.work;
        let snapshot = match reader.grip.source() {
            Some(held) => held,
            None => {
                let bytes = Bytes::Closed(reader.path.clone());
                let closed = ByteSnapshot { size: reader.seal.size, bytes };
                reader.grip.close_on(work, &self.grips, reader.seal, closed).await?
            }
        };
        snapshot.on_thread(work, move |snapshot| snapshot.read(offset, count as usize)).await
    }

    /// Reads all bytes of a blob into memory. The caller has checked that the blob is small enough for that.
    pub async fn whole(&self, seal: Seal) -> io::Result<Vec<u8>> {
        let reader = self.reader(seal);
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < seal.size {
            let more = self.read(&reader, bytes.len() as u64, PART.most as u32).await?;
            if more.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes.extend(more);
        }
        Ok(bytes)
    }

    /// Unlinks those of these blobs that nothing refers to and that no upload seals at the moment. The caller deletes their
    /// rows before it drops the result.
    pub async fn remove_unreferenced(&self, hashes: Vec<BlobHash>) -> io::Result<RemovedBlobs> {
        let mut claimed: Vec<Removing> = hashes.into_iter().filter_map(|hash| self.claims.remove(hash)).collect();
        if claimed.is_empty() {
            return Ok(RemovedBlobs::default());
        }
        // a reference that appears after this question belongs to an upload that was sealed after the claim
        let asked = claimed.iter().map(Removing::hash).collect();
        let referenced = self.index.referenced(asked).await.map_err(io::Error::other)?;
        claimed.retain(|claim| !referenced.contains(&claim.hash()));
        let removed = RemovedBlobs(claimed);
        let (files, hashes) = (self.files.clone(), removed.hashes());
        self.files.work.run(move || files.remove(&hashes)).await?;
        Ok(removed)
    }

    /// Returns the folders of sealed files, in which the caller looks for files without references.
    pub async fn shards(&self) -> io::Result<Vec<PathBuf>> {
        let files = self.files.clone();
        self.files.work.run(move || files.shards()).await
    }

    /// Returns the hashes that are the names of the files in a folder.
    pub async fn hashes(&self, shard: PathBuf) -> io::Result<Vec<BlobHash>> {
        let files = self.files.clone();
        self.files.work.run(move || files.hashes(&shard)).await
    }

    /// Returns the refusal of a wrong seal. A growing upload starts again from offset 0, unless bytes are only missing.
    async fn disagree(&self, upload: &Upload, turn: UploadTurn, seal: Seal, claimed: Seal) -> Refusal {
        if !matches!(*turn, UploadState::Growing(_)) {
            return Refusal::new(RefusalCode::Conflict, "the blob is sealed, with another length or hash");
        }
        if seal.size < claimed.size {
            let text = format!("the length is wrong: {} bytes were received, not {}", seal.size, claimed.size);
            return Refusal::new(RefusalCode::Offset, text).help("send the rest, and then seal it");
        }
        if let Err(error) = upload.start_again(turn).await {
            return cannot_write(&error);
        }
        let text = match seal.size > claimed.size {
            true => format!("the length is wrong: {} bytes were received, not {}", seal.size, claimed.size),
            false => "the hash is wrong: the bytes that were received have another BLAKE3".to_owned(),
        };
        Refusal::new(RefusalCode::Invalid, text).help("send all of it again, from offset 0")
    }

    /// Returns the upload of this key and the right to change it. The upload is held already, taken up after a restart, or new.
    async fn resume(&self, key: &UploadKey) -> Result<(Arc<Upload>, UploadTurn), Refusal> {
        let upload = self.held(key);
        let mut turn = upload.turn().await;
        if matches!(*turn, UploadState::Unknown) {
            *turn = match self.look_for(key, &upload).await {
                Ok(found) => found,
                Err(refusal) => {
                    self.let_go(key, &upload);
                    return Err(refusal);
                }
            };
        }
        if matches!(*turn, UploadState::Recorded(_)) {
            self.let_go(key, &upload);
        }
        Ok((upload, turn))
    }

    /// Stops holding an upload that is sealed or was refused. If other calls wait for it, it stays, so that they see its state.
    fn let_go(&self, key: &UploadKey, upload: &Arc<Upload>) {
        const HELD_BY_US: usize = 2;
        if Arc::strong_count(upload) <= HELD_BY_US {
            self.uploads.borrow_mut().remove(key);
        }
    }

    async fn look_for(&self, key: &UploadKey, upload: &Upload) -> Result<UploadState, Refusal> {
        if let Some(seal) = self.index.sealed(key.clone()).await.map_err(unreadable)? {
            return Ok(UploadState::Recorded(seal));
        }
        if self.held_of(key.job, key.attempt).len() > UPLOADS_MAX {
            let text = format!("the attempt already has {UPLOADS_MAX} open uploads, and may have no more");
            return Err(Refusal::new(RefusalCode::Conflict, text).help("seal one of them first"));
        }
        let usage = self.index.usage(key.clone()).await.map_err(unreadable)?;
        if !upload.let_in(ATTEMPT_BLOBS_MAX.saturating_sub(usage.count)) {
            let text = format!(
                "the attempt already has {ATTEMPT_BLOBS_MAX} blobs, open uploads included, and may have no more"
            );
            return Err(Refusal::new(RefusalCode::Conflict, text).help("pack several files into one"));
        }
        upload.take_up().await.map_err(|error| cannot_write(&error))
    }

    /// Returns the upload from memory, or a new entry for it. It is held from the first call on, so that calls take their turns
    /// in order.
    fn held(&self, key: &UploadKey) -> Arc<Upload> {
        if let Some(upload) = self.uploads.borrow().get(key) {
            return upload.clone();
        }
        let upload = Arc::new(Upload::new(self.files.clone(), key.clone(), self.budgets(key)));
        self.uploads.borrow_mut().insert(key.clone(), upload.clone());
        upload
    }

    fn held_of(&self, job: JobKey, attempt: u16) -> Vec<(UploadKey, Arc<Upload>)> {
        let first = UploadKey { job, attempt, ..UploadKey::default() };
        let uploads = self.uploads.borrow();
        let of_attempt = uploads.range(first..).take_while(|(key, _)| (key.job, key.attempt) == (job, attempt));
        of_attempt.map(|(key, upload)| (key.clone(), upload.clone())).collect()
    }

    /// Returns the budgets that an upload shares with other uploads of its attempt, of its project, and of all projects.
    fn budgets(&self, key: &UploadKey) -> Budgets {
        if let Some((_, upload)) = self.held_of(key.job, key.attempt).first() {
            return upload.budgets();
        }
        let uploads = self.uploads.borrow();
        let of_all = uploads.values().next().map(|upload| upload.budgets().of_all);
        let of_project = uploads.values().find(|upload| upload.project() == key.project);
        let of_project = of_project.map(|upload| upload.budgets().of_project);
        Budgets { of_all: of_all.unwrap_or_default(), of_project: of_project.unwrap_or_default(), ..Budgets::default() }
    }
}

impl PlacedBlob {
    pub fn seal(&self) -> Seal {
        self.seal
    }
}

impl RemovedBlobs {
    pub fn hashes(&self) -> Vec<BlobHash> {
        self.0.iter().map(Removing::hash).collect()
    }
}

fn unreadable(why: String) -> Refusal {
    Refusal::new(RefusalCode::Unavailable, format!("the store cannot be read: {why}"))
}

fn cannot_write(error: &io::Error) -> Refusal {
    Refusal::new(RefusalCode::Unavailable, format!("the bytes cannot be written: {error}"))
        .help("keep the bytes, and try again until the master can write to its disk")
}

#[cfg(test)]
mod tests;
