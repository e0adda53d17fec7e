//! One upload: the bytes of a file on their way to becoming a blob.
//!
//! A change of an upload holds the upload's state, so changes happen one after another. A change that touches a file takes the
//! state to another thread and completes there, so a caller that goes away leaves nothing half done.

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

/// The help of the refusal when the quota of an attempt or of a project is exceeded.
const REMOVE: &str = "store less, or let retention remove older builds";
/// The help of the refusal when the quota of all projects together is exceeded.
const RAISE: &str = "let retention remove older builds, or raise `blob_bytes_total` in [limits] of the master file";

/// The upload of one file by an attempt.
pub(super) struct Upload {
    files: BlobFiles,
    key: UploadKey,
    /// The state, behind a fair lock, so that changes take effect in the order of the calls.
    state: Arc<tokio::sync::Mutex<UploadState>>,
    of_attempt: Share,
    of_project: Share,
    of_all: Share,
    /// Counts 1 while the upload is open: from the moment it is let in until it is recorded or its attempt ends.
    under_way: Share,
}

/// The budgets that several uploads share.
#[derive(Default)]
pub(super) struct Budgets {
    /// The bytes that the open uploads of one attempt have together.
    pub(super) of_attempt: Budget,
    /// The bytes that the open uploads of one project have together.
    pub(super) of_project: Budget,
    /// The bytes that all open uploads have together.
    pub(super) of_all: Budget,
    /// The number of open uploads of one attempt.
    pub(super) under_way: Budget,
}

/// The right to change an upload.
pub(super) type UploadTurn = OwnedMutexGuard<UploadState>;

/// The state of an upload.
#[derive(Debug, Default)]
pub(super) enum UploadState {
    /// The state is not known yet: an earlier master may have begun or sealed the upload.
    #[default]
    Unknown,
    Growing(Partial),
    /// The file has been renamed to its hash, and the reference is not committed yet.
    Placed {
        seal: Seal,
        _sealing: Sealing,
    },
    Recorded(Seal),
    /// The attempt ended before the upload was sealed.
    Over,
}

/// The bytes that an upload has received so far.
#[derive(Debug, Default)]
pub(super) struct Partial {
    /// The partial file; `None` until the first byte arrives.
    file: Option<GrowingFile>,
    size: u64,
    sum: Sum,
}

/// The bytes that a worker sends in one write.
pub struct BlobWrite {
    pub bytes: Vec<u8>,
    /// The room in the queue, which is given back when the bytes are written.
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

    /// Returns the budgets that it shares with other uploads.
    pub(super) fn budgets(&self) -> Budgets {
        let [of_attempt, of_project, of_all, under_way] =
            [&self.of_attempt, &self.of_project, &self.of_all, &self.under_way].map(Share::budget);
        Budgets { of_attempt, of_project, of_all, under_way }
    }

    pub(super) async fn turn(&self) -> UploadTurn {
        self.state.clone().lock_owned().await
    }

    /// Lets the upload in if its attempt has fewer than `left` open uploads. Returns `false` if it does not.
    pub(super) fn let_in(&self, left: u32) -> bool {
        self.under_way.take(1, usize::try_from(left).unwrap_or(usize::MAX))
    }

    /// Takes up the partial file that an earlier master left, if there is one.
    pub(super) async fn take_up(&self) -> io::Result<UploadState> {
        let (files, key) = (self.files.clone(), self.key.clone());
        let partial = self.files.work.run(move || Partial::resume(&files, &key)).await?;
        let size = usize::try_from(partial.size).unwrap_or(usize::MAX);
        // an earlier master accepted these bytes, so they count even if they exceed a quota that is smaller now
        self.of_attempt.take(size, usize::MAX);
        self.of_project.take(size, usize::MAX);
        self.of_all.take(size, usize::MAX);
        Ok(UploadState::Growing(partial))
    }

    /// Appends at `offset` and returns how many bytes there are. Bytes that were received before are dropped, and a gap is
    /// refused. `sealed` has the sealed bytes, and the number of bytes that all projects may store together.
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

    /// Makes the bytes durable and renames their file to its hash. The call may be repeated: a placed file's name is then
    /// synced again, because the first sync may have failed.
    pub(super) async fn place(&self, mut turn: UploadTurn, seal: Seal, sealing: Sealing) -> io::Result<UploadTurn> {
        let (files, key) = (self.files.clone(), self.key.clone());
        let place = move || {
            if turn.growing().is_ok() {
                turn.close(&files, &key)?;
                files.place(&key, &seal.hash)?;
                // set before anything else can fail, because nobody may append to the file any more
                *turn = UploadState::Placed { seal, _sealing: sealing };
            }
            files.sync_name(&seal.hash)?;
            Ok(turn)
        };
        self.files.work.run(place).await
    }

    /// Ends the upload, because its attempt has ended. Returns the hash if the file was placed and never recorded.
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

    /// Notes that the reference is committed. From here on the store counts the bytes.
    pub(super) fn record(&self, turn: &mut UploadTurn, seal: Seal) {
        **turn = UploadState::Recorded(seal);
        self.give_all_back();
    }

    /// Discards the bytes, so that the upload begins again at offset 0.
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

    /// Takes bytes from the quotas of the attempt, of the project and of all projects, beside the sealed bytes of each.
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

    /// Returns the seal that these bytes would have.
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
