//! Blobs: sealed bytes that are addressed by their BLAKE3, and stored once however often they are sent. Owns the files below
//! `STATE/blobs`; knows nothing of leases and of who may read.
//!
//! A blob comes as an upload, which one attempt makes under a name. It grows in a partial file, so that whoever was interrupted
//! goes on where it was. At the seal, length and hash are compared, the file is synced and renamed to its hash, and then the
//! caller commits its reference ([`PlacedBlob`]). So a reference that is committed has its file.
//!
//! A file that nothing refers to is left by a crash between the rename and the commit, and by builds that retention removed.
//! [`Blobs::remove_unreferenced`] takes it away, and never one of the same hash that is being sealed.

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

/// The most bytes that one attempt may store, sealed or not. A large bundle with its symbols has some GiB, and a job that goes
/// wild shall not take the disk of all.
pub const ATTEMPT_BYTES_MAX: u64 = BLOBS_ATTEMPT.most;
/// Bytes that one project may store, each blob counted once: as much as all logs have by default, since both lie on one disk.
pub const PROJECT_BYTES_MAX: u64 = BLOBS_PROJECT.most;
/// Blobs that one attempt may store, those under way included. Each is a row and a file, and whoever has more of them packs them.
pub const ATTEMPT_BLOBS_MAX: u32 = BLOBS_SEALED.most as u32;
/// Uploads of one attempt at once. Each holds a file open, and more at once are not faster.
pub const UPLOADS_MAX: usize = UPLOADS.count();

/// The BLAKE3 of a blob: its address.
pub type BlobHash = [u8; 32];
/// The folder of all blobs in the state directory.
const FOLDER: &str = "blobs";

/// The path of a sealed blob in the state directory.
pub(crate) fn path_below(hash: &BlobHash) -> PathBuf {
    Path::new(FOLDER).join(files::SEALED).join(files::relative(hash))
}

/// What is sealed of the bytes that count for an upload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlobUsage {
    /// Bytes of all projects, each blob counted once. A blob to which nothing refers counts until its file is gone.
    pub total: u64,
    /// Bytes of its project, each blob counted once.
    pub project: u64,
    /// Sealed bytes of the upload's attempt.
    pub attempt: u64,
    /// How many sealed blobs its attempt has.
    pub count: u32,
}

/// What was committed of blobs.
pub trait BlobIndex {
    /// The seal of an upload; `None` means that it was not sealed.
    fn sealed(&self, key: UploadKey) -> LocalBoxFuture<'_, Result<Option<Seal>, String>>;
    fn usage(&self, key: UploadKey) -> LocalBoxFuture<'_, Result<BlobUsage, String>>;
    /// The hashes among these that something refers to.
    fn referenced(&self, hashes: Vec<BlobHash>) -> LocalBoxFuture<'_, Result<BTreeSet<BlobHash>, String>>;
}

/// All blobs and uploads of a master.
pub struct Blobs {
    files: BlobFiles,
    index: Box<dyn BlobIndex>,
    /// Bytes that all projects may store together, those under way included.
    quota: Cell<u64>,
    uploads: RefCell<BTreeMap<UploadKey, Arc<Upload>>>,
    /// Attempts of which an earlier master left partial files.
    left: RefCell<BTreeSet<(JobKey, u16)>>,
    claims: Arc<Claims>,
    room: WriteRoom,
    /// The permits for files that readers hold.
    grips: Arc<Semaphore>,
}

/// An upload whose file has the name of its hash. Nothing else happens to the upload until the caller has committed its
/// reference and calls [`Blobs::record`], or drops this.
pub struct PlacedBlob {
    key: UploadKey,
    upload: Arc<Upload>,
    turn: UploadTurn,
    seal: Seal,
    /// Whether the blob's reference was committed before: the caller asks again.
    pub is_recorded: bool,
}

/// A sealed blob, as one reader has it.
pub struct BlobReader {
    pub seal: Seal,
    path: PathBuf,
    grip: Grip,
}

/// Blobs whose files are gone. While this lives, no upload of the same bytes is sealed.
#[derive(Default)]
pub struct RemovedBlobs(Vec<Removing>);

impl Blobs {
    /// `quota`: bytes that all projects may store together. `trusted`: false where partial files of an earlier master are not to
    /// be trusted; then they go. `is_inline`: file work is done where it is asked for, as in a simulation.
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

    /// Bytes that all projects may store together.
    pub fn quota(&self) -> u64 {
        self.quota.get()
    }

    /// Changes the quota of all projects from now on. What is stored or under way stays, also where it is more.
    pub fn set_quota(&self, quota: u64) {
        self.quota.set(quota);
    }

    /// Removes the partial files of all attempts but these.
    pub fn keep_partials(&self, is_kept: impl Fn(JobKey, u16) -> bool) -> io::Result<()> {
        self.files.remove_partials(|job, attempt| !is_kept(job, attempt))?;
        let left = self.files.partials()?.into_iter().map(|partial| (partial.job, partial.attempt));
        self.left.replace(left.collect());
        Ok(())
    }

    /// How many bytes of an upload were received, and whether it is sealed.
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

    /// Appends at `offset`. What overlaps is dropped. A gap is refused, and so is what is beyond a quota. Writes of one upload
    /// take effect in the order of calls. A write that was begun ends also when its caller is gone. Answers how many bytes were
    /// received.
    pub async fn write(&self, key: &UploadKey, offset: u64, write: BlobWrite) -> Result<u64, Refusal> {
        let (upload, turn) = self.resume(key).await?;
        let usage = self.index.usage(key.clone()).await.map_err(unreadable)?;
        upload.write(turn, offset, write, (usage, self.quota.get())).await
    }

    /// Compares length and hash, makes the bytes durable, and gives them their address. A wrong hash throws them away, since
    /// nobody can tell which of them are wrong.
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

    /// The reference of a blob is committed.
    pub fn record(&self, mut placed: PlacedBlob) {
        placed.upload.record(&mut placed.turn, placed.seal);
        self.uploads.borrow_mut().remove(&placed.key);
    }

    /// An attempt has ended: what it did not seal goes, from memory and from the disk. Writes that were begun take effect
    /// before, or are refused.
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

    /// A reader of a sealed blob.
    pub fn reader(&self, seal: Seal) -> BlobReader {
        BlobReader { seal, path: self.files.sealed_path(&seal.hash), grip: Grip::default() }
    }

    /// Reads at most `count` bytes from `offset`. A reader goes on when the blob is removed, where it has begun to read before.
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

    /// All bytes of a blob. The caller has compared its length with what may be held at once.
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

    /// Unlinks each of these blobs that nothing refers to and that nobody seals. The caller deletes their rows before it drops
    /// the answer.
    pub async fn remove_unreferenced(&self, hashes: Vec<BlobHash>) -> io::Result<RemovedBlobs> {
        let mut claimed: Vec<Removing> = hashes.into_iter().filter_map(|hash| self.claims.remove(hash)).collect();
        if claimed.is_empty() {
            return Ok(RemovedBlobs::default());
        }
        // after they were claimed: what is referred to from now on was sealed after it
        let asked = claimed.iter().map(Removing::hash).collect();
        let referenced = self.index.referenced(asked).await.map_err(io::Error::other)?;
        claimed.retain(|claim| !referenced.contains(&claim.hash()));
        let removed = RemovedBlobs(claimed);
        let (files, hashes) = (self.files.clone(), removed.hashes());
        self.files.work.run(move || files.remove(&hashes)).await?;
        Ok(removed)
    }

    /// The folders of sealed files, to look through them for files that nothing refers to.
    pub async fn shards(&self) -> io::Result<Vec<PathBuf>> {
        let files = self.files.clone();
        self.files.work.run(move || files.shards()).await
    }

    /// The hashes that the files of a folder are called by.
    pub async fn hashes(&self, shard: PathBuf) -> io::Result<Vec<BlobHash>> {
        let files = self.files.clone();
        self.files.work.run(move || files.hashes(&shard)).await
    }

    /// Refuses a seal, and says what is wrong with it.
    async fn disagree(&self, upload: &Upload, turn: UploadTurn, seal: Seal, claimed: Seal) -> Refusal {
        if !matches!(*turn, UploadState::Growing(_)) {
            return Refusal::new(RefusalCode::Conflict, "the blob is sealed, with another length or hash");
        }
        if seal.size < claimed.size {
            let text = format!("the length is wrong: {} bytes were received, not {}", seal.size, claimed.size);
            return Refusal::new(RefusalCode::Offset, text).help("send the rest, and seal it then");
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

    /// The upload of this key as it goes on: held already, taken up after a restart, or new; and the right to change it.
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

    /// Holds an upload no longer that is sealed, or was not let in. Where others wait for their turn it stays, for them to see.
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

    /// Held from the first call on, so that calls take their turns in order.
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

    /// What an upload shares with others of its attempt, of its project, and of all.
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
    Refusal::new(RefusalCode::Unavailable, format!("the store cannot say what is stored: {why}"))
}

fn cannot_write(error: &io::Error) -> Refusal {
    Refusal::new(RefusalCode::Unavailable, format!("the bytes cannot be written: {error}"))
        .help("keep the bytes and try again: it goes on when the master's disk does")
}

#[cfg(test)]
mod tests;
