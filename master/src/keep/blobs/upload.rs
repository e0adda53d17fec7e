//! One upload: bytes on their way to a blob.
//!
//! Changes of an upload follow each other. Each holds its state, and takes it along to the thread where it touches a file and
//! runs to its end, so that a caller that goes away in the middle leaves nothing half done.

use super::claims::Sealing;
use super::files::BlobFiles;
use super::{ATTEMPT_BYTES_MAX, BlobHash, BlobUsage, PROJECT_BYTES_MAX, cannot_write};
use crate::decide::coordinator::record::UploadKey;
use crate::keep::bytes::budget::{Budget, Share};
use crate::keep::bytes::growing::GrowingFile;
use crate::keep::bytes::sum::Sum;
use crate::keep::bytes::{Seal, drop_known, measure};
use schema::values::{Bytes, Refusal, RefusalCode};
use std::io;
use std::sync::Arc;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit};

/// One file that an attempt sends.
pub(super) struct Upload {
    files: BlobFiles,
    key: UploadKey,
    /// Fair: changes take effect in the order of calls.
    state: Arc<tokio::sync::Mutex<UploadState>>,
    of_attempt: Share,
    of_project: Share,
}

/// The right to change an upload.
pub(super) type UploadTurn = OwnedMutexGuard<UploadState>;

/// How far an upload has come.
#[derive(Debug, Default)]
pub(super) enum UploadState {
    /// It was not looked at: an earlier master may have begun it, or sealed it.
    #[default]
    Unknown,
    Growing(Partial),
    /// Its file has the name of its hash, and its reference is not committed yet.
    Placed {
        seal: Seal,
        _sealing: Sealing,
    },
    Recorded(Seal),
    /// Its attempt has ended before it was sealed.
    Over,
}

/// The bytes so far.
#[derive(Debug, Default)]
pub(super) struct Partial {
    /// None: there was no byte yet.
    file: Option<GrowingFile>,
    size: u64,
    sum: Sum,
}

/// What a worker sends.
pub struct BlobWrite {
    pub bytes: Vec<u8>,
    /// Given back when the bytes are written.
    pub room: OwnedSemaphorePermit,
}

impl Upload {
    pub(super) fn new(files: BlobFiles, key: UploadKey, of_attempt: Budget, of_project: Budget) -> Upload {
        let (of_attempt, of_project) = (Share::of(of_attempt), Share::of(of_project));
        Upload { files, key, state: Arc::default(), of_attempt, of_project }
    }

    pub(super) fn project(&self) -> &str {
        &self.key.project
    }

    /// What all uploads of its attempt share, and what all of its project do.
    pub(super) fn budgets(&self) -> (Budget, Budget) {
        (self.of_attempt.budget(), self.of_project.budget())
    }

    pub(super) async fn turn(&self) -> UploadTurn {
        self.state.clone().lock_owned().await
    }

    /// Takes up the file that an earlier master left, or none.
    pub(super) async fn take_up(&self) -> io::Result<UploadState> {
        let (files, key) = (self.files.clone(), self.key.clone());
        let partial = self.files.work.run(move || Partial::resume(&files, &key)).await?;
        let size = usize::try_from(partial.size).unwrap_or(usize::MAX);
        // it was let in before, and counts even where the quota is smaller now
        self.of_attempt.take(size, usize::MAX);
        self.of_project.take(size, usize::MAX);
        Ok(UploadState::Growing(partial))
    }

    /// Appends at `offset`: what overlaps is dropped, and a gap is refused. Answers how many bytes there are.
    pub(super) async fn write(
        self: &Arc<Self>,
        mut turn: UploadTurn,
        offset: u64,
        write: BlobWrite,
        usage: BlobUsage,
    ) -> Result<u64, Refusal> {
        let BlobWrite { mut bytes, room } = write;
        let received = turn.growing()?.size;
        drop_known(received, offset, &mut bytes)?;
        if bytes.is_empty() {
            return Ok(received);
        }
        self.charge(bytes.len(), usage)?;
        let upload = self.clone();
        let append = move || {
            let appended = turn.append(&upload.files, &upload.key, &bytes);
            if appended.is_err() {
                upload.give_back(bytes.len());
            }
            drop(room);
            appended
        };
        self.files.work.run(append).await.map_err(|error| cannot_write(&error))
    }

    /// Makes the bytes durable, and gives their file the name of their hash. May be repeated: what was placed is made durable
    /// again, since a sync may have failed.
    pub(super) async fn place(&self, mut turn: UploadTurn, seal: Seal, sealing: Sealing) -> io::Result<UploadTurn> {
        let (files, key) = (self.files.clone(), self.key.clone());
        let place = move || {
            if turn.growing().is_ok() {
                turn.close(&files, &key)?;
                files.place(&key, &seal.hash)?;
                // before anything else can fail: the file is nobody's to append to any more
                *turn = UploadState::Placed { seal, _sealing: sealing };
            }
            files.sync_name(&seal.hash)?;
            Ok(turn)
        };
        self.files.work.run(place).await
    }

    /// Its attempt has ended. Answers the hash of a file that was placed and never recorded.
    pub(super) async fn end(&self, mut turn: UploadTurn) -> io::Result<Option<BlobHash>> {
        let ended = std::mem::replace(&mut *turn, UploadState::Over);
        self.of_attempt.give_back();
        self.of_project.give_back();
        match ended {
            UploadState::Placed { seal, .. } => Ok(Some(seal.hash)),
            UploadState::Recorded(_) | UploadState::Over => Ok(None),
            UploadState::Unknown | UploadState::Growing(_) => {
                let (files, key) = (self.files.clone(), self.key.clone());
                self.files.work.run(move || files.remove_partial(&key)).await.map(|()| None)
            }
        }
    }

    /// The commit of its reference is done: the store counts the bytes from here on.
    pub(super) fn record(&self, turn: &mut UploadTurn, seal: Seal) {
        **turn = UploadState::Recorded(seal);
        self.of_attempt.give_back();
        self.of_project.give_back();
    }

    /// Throws the bytes away: the upload begins again at 0.
    pub(super) async fn start_again(&self, mut turn: UploadTurn) -> io::Result<()> {
        self.of_attempt.give_back();
        self.of_project.give_back();
        *turn = UploadState::Growing(Partial::default());
        let (files, key) = (self.files.clone(), self.key.clone());
        let remove = move || {
            let _turn = turn;
            files.remove_partial(&key)
        };
        self.files.work.run(remove).await
    }

    /// Takes bytes of the quotas of the attempt and of the project, beside what both have sealed.
    fn charge(&self, bytes: usize, usage: BlobUsage) -> Result<(), Refusal> {
        let left = |most: u64, sealed: u64| usize::try_from(most.saturating_sub(sealed)).unwrap_or(usize::MAX);
        if !self.of_attempt.take(bytes, left(ATTEMPT_BYTES_MAX, usage.attempt)) {
            return Err(beyond(&format!("an attempt may store {}", Bytes(ATTEMPT_BYTES_MAX))));
        }
        if !self.of_project.take(bytes, left(PROJECT_BYTES_MAX, usage.project)) {
            self.of_attempt.give(bytes);
            return Err(beyond(&format!("a project may store {}", Bytes(PROJECT_BYTES_MAX))));
        }
        Ok(())
    }

    fn give_back(&self, bytes: usize) {
        self.of_attempt.give(bytes);
        self.of_project.give(bytes);
    }
}

impl UploadState {
    pub(super) fn growing(&mut self) -> Result<&mut Partial, Refusal> {
        match self {
            UploadState::Growing(partial) => Ok(partial),
            UploadState::Placed { .. } | UploadState::Recorded(_) => {
                Err(Refusal::new(RefusalCode::Conflict, "the blob is sealed"))
            }
            UploadState::Unknown | UploadState::Over => Err(over()),
        }
    }

    fn append(&mut self, files: &BlobFiles, key: &UploadKey, bytes: &[u8]) -> io::Result<u64> {
        self.growing().map_err(io::Error::other)?.append(files, key, bytes)
    }

    fn close(&mut self, files: &BlobFiles, key: &UploadKey) -> io::Result<()> {
        let partial = self.growing().map_err(io::Error::other)?;
        let size = partial.size;
        partial.file(files, key)?.close(size)
    }
}

impl Partial {
    fn resume(files: &BlobFiles, key: &UploadKey) -> io::Result<Partial> {
        let Some(file) = files.resume(key)? else { return Ok(Partial::default()) };
        let (size, sum, _) = measure(file.file())?;
        Ok(Partial { file: Some(file), size, sum })
    }

    /// The seal that these bytes would have.
    pub(super) fn seal(&self) -> Seal {
        Seal { size: self.size, hash: self.sum.hash() }
    }

    fn append(&mut self, files: &BlobFiles, key: &UploadKey, bytes: &[u8]) -> io::Result<u64> {
        let size = self.size;
        let file = self.file(files, key)?;
        file.poll_sync()?;
        file.append(size, bytes)?;
        self.sum.update(bytes);
        self.size += bytes.len() as u64;
        Ok(self.size)
    }

    fn file(&mut self, files: &BlobFiles, key: &UploadKey) -> io::Result<&mut GrowingFile> {
        match &mut self.file {
            Some(file) => Ok(file),
            none => Ok(none.insert(files.begin(key)?)),
        }
    }
}

pub(super) fn over() -> Refusal {
    Refusal::new(RefusalCode::Stale, "the attempt of this upload has ended")
}

fn beyond(quota: &str) -> Refusal {
    let text = format!("there is no room for these bytes: {quota}");
    Refusal::new(RefusalCode::Conflict, text).help("store less, or let retention remove older builds")
}
