//! One upload: bytes on their way to a blob.
//!
//! Changes of an upload follow each other. Each change holds the upload's state. It takes the state along to the thread where it
//! touches a file, and runs there to its end. So a caller that goes away in the middle leaves nothing half done.

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

/// What helps where an attempt or a project has too much.
const REMOVE: &str = "store less, or let retention remove older builds";
/// What helps where all have too much.
const RAISE: &str = "let retention remove older builds, or raise `blob_bytes_total` in [limits] of the master file";

/// One file that an attempt sends.
pub(super) struct Upload {
    files: BlobFiles,
    key: UploadKey,
    /// Fair: changes take effect in the order of calls.
    state: Arc<tokio::sync::Mutex<UploadState>>,
    of_attempt: Share,
    of_project: Share,
    of_all: Share,
    /// One while it is under way: from when it is let in until it is recorded, or over.
    under_way: Share,
}

/// The budgets that all uploads share.
#[derive(Default)]
pub(super) struct Budgets {
    /// Bytes that the uploads of one attempt have together.
    pub(super) of_attempt: Budget,
    /// Bytes that the uploads of one project have together.
    pub(super) of_project: Budget,
    /// Bytes that all uploads have together.
    pub(super) of_all: Budget,
    /// Uploads of one attempt that are under way.
    pub(super) under_way: Budget,
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
    /// The upload's attempt has ended before the upload was sealed.
    Over,
}

/// The bytes of an upload so far.
#[derive(Debug, Default)]
pub(super) struct Partial {
    /// `None` means that there was no byte yet.
    file: Option<GrowingFile>,
    size: u64,
    sum: Sum,
}

/// Bytes that a worker sends at once.
pub struct BlobWrite {
    pub bytes: Vec<u8>,
    /// Given back when the bytes are written.
    pub room: OwnedSemaphorePermit,
}

impl Upload {
    pub(super) fn new(files: BlobFiles, key: UploadKey, budgets: Budgets) -> Upload {
        let [of_attempt, of_project, of_all, under_way] =
            [budgets.of_attempt, budgets.of_project, budgets.of_all, budgets.under_way].map(Share::of);
        Upload { files, key, state: Arc::default(), of_attempt, of_project, of_all, under_way }
    }

    pub(super) fn project(&self) -> &str {
        &self.key.project
    }

    /// What it shares with other uploads of its attempt.
    pub(super) fn budgets(&self) -> Budgets {
        let [of_attempt, of_project, of_all, under_way] =
            [&self.of_attempt, &self.of_project, &self.of_all, &self.under_way].map(Share::budget);
        Budgets { of_attempt, of_project, of_all, under_way }
    }

    pub(super) async fn turn(&self) -> UploadTurn {
        self.state.clone().lock_owned().await
    }

    /// Lets it in where its attempt may have `left` blobs beside those that it has sealed. `false` means that it may not, and
    /// this one stays out.
    pub(super) fn let_in(&self, left: u32) -> bool {
        self.under_way.take(1, usize::try_from(left).unwrap_or(usize::MAX))
    }

    /// Takes up the file that an earlier master left, or none.
    pub(super) async fn take_up(&self) -> io::Result<UploadState> {
        let (files, key) = (self.files.clone(), self.key.clone());
        let partial = self.files.work.run(move || Partial::resume(&files, &key)).await?;
        let size = usize::try_from(partial.size).unwrap_or(usize::MAX);
        // it was let in before, and counts even where the quota is smaller now
        self.of_attempt.take(size, usize::MAX);
        self.of_project.take(size, usize::MAX);
        self.of_all.take(size, usize::MAX);
        Ok(UploadState::Growing(partial))
    }

    /// Appends at `offset`: what overlaps is dropped, and a gap is refused. `sealed`: what is sealed, and how much may be stored
    /// in all. Answers how many bytes there are.
    pub(super) async fn write(
        self: &Arc<Self>,
        mut turn: UploadTurn,
        offset: u64,
        write: BlobWrite,
        sealed: (BlobUsage, u64),
    ) -> Result<u64, Refusal> {
        let BlobWrite { mut bytes, room } = write;
        let received = turn.growing()?.size;
        drop_known(received, offset, &mut bytes)?;
        if bytes.is_empty() {
            return Ok(received);
        }
        self.charge(bytes.len(), sealed)?;
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
        self.give_all_back();
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
        self.give_all_back();
    }

    /// Throws the bytes away: the upload begins again at 0.
    pub(super) async fn start_again(&self, mut turn: UploadTurn) -> io::Result<()> {
        self.give_bytes_back();
        *turn = UploadState::Growing(Partial::default());
        let (files, key) = (self.files.clone(), self.key.clone());
        let remove = move || {
            let _turn = turn;
            files.remove_partial(&key)
        };
        self.files.work.run(remove).await
    }

    /// Takes bytes of the quotas of the attempt, of the project and of all, beside what is sealed of each.
    fn charge(&self, bytes: usize, (usage, total): (BlobUsage, u64)) -> Result<(), Refusal> {
        let quotas = [
            (&self.of_attempt, "an attempt may store", ATTEMPT_BYTES_MAX, usage.attempt, REMOVE),
            (&self.of_project, "a project may store", PROJECT_BYTES_MAX, usage.project, REMOVE),
            (&self.of_all, "all projects together may store", total, usage.total, RAISE),
        ];
        for (index, (share, who, most, sealed, help)) in quotas.iter().enumerate() {
            let left = usize::try_from(most.saturating_sub(*sealed)).unwrap_or(usize::MAX);
            if !share.take(bytes, left) {
                quotas[..index].iter().for_each(|(share, ..)| share.give(bytes));
                return Err(beyond(&format!("{who} {}", Bytes(*most)), help));
            }
        }
        Ok(())
    }

    fn give_all_back(&self) {
        self.give_bytes_back();
        self.under_way.give_back();
    }

    fn give_bytes_back(&self) {
        [&self.of_attempt, &self.of_project, &self.of_all].into_iter().for_each(Share::give_back);
    }

    fn give_back(&self, bytes: usize) {
        [&self.of_attempt, &self.of_project, &self.of_all].iter().for_each(|share| share.give(bytes));
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

fn beyond(quota: &str, help: &str) -> Refusal {
    let text = format!("there is no room for these bytes: {quota}");
    Refusal::new(RefusalCode::Conflict, text).help(help)
}
