//! What a worker and the supervisor of a step leave for each other on disk: the order, before the step, and the
//! journal, after it. Both outlive either process.

use crate::isolation::Tier;
use schema::values::{Exit, Time};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The journal's room is taken before the step starts, so that a full disk cannot keep its end from us.
const JOURNAL_ROOM: usize = 4096;
const REASON_BYTES_MAX: usize = 1024;

/// One step to run, with nothing left to decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// Absolute.
    pub dir: PathBuf,
    #[serde(default)]
    pub tier: Tier,
    pub limits: Limits,
}

/// Durations in milliseconds, counted from the supervisor's start; sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Of the step; 0: none.
    pub step_ms: u64,
    /// Without a byte of output; 0: none.
    pub idle_ms: u64,
    /// What is left for the whole attempt.
    pub attempt_ms: u64,
    /// What is left of the lease; each `deadline` message sets it anew.
    pub lease_ms: u64,
    /// So long before the lease's end the step is stopped.
    pub margin_ms: u64,
    /// Without a worker.
    pub orphan_ms: u64,
    /// From TERM to KILL.
    pub grace_ms: u64,
    /// Of output that is kept.
    pub output_max: u64,
}

/// How a step ended. Written when no process of it is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    pub cause: Cause,
    pub exit: Exit,
    pub started: Time,
    pub ended: Time,
    /// Of the spool, in bytes: all that there will be.
    pub size: u64,
    /// Processes that could not be killed, as those of another user.
    #[serde(default)]
    pub survivors: u32,
}

/// Why a step ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// By itself.
    Ended,
    StepTime,
    AttemptTime,
    Idle,
    /// Nobody renewed it in time.
    LeaseOver,
    /// No worker came back for it.
    Orphaned,
    /// The worker said so: why.
    Stopped(String),
    /// It did not start, and would not elsewhere: no such program or directory.
    Impossible(String),
    /// The machine could not start or follow it.
    Broken(String),
}

impl Journal {
    /// A step that came to nothing.
    pub fn without_process(cause: Cause, why: &str, at: Time) -> Journal {
        Journal { cause, exit: Exit::Lost(shortened(why)), started: at, ended: at, size: 0, survivors: 0 }
    }
}

/// The files of one step in an attempt's directory.
#[derive(Clone, Debug)]
pub struct StepFiles {
    dir: PathBuf,
    step: u16,
}

impl StepFiles {
    pub fn new(dir: &Path, step: u16) -> StepFiles {
        StepFiles { dir: dir.to_owned(), step }
    }

    pub fn order(&self) -> PathBuf {
        self.named("order")
    }

    pub fn spool(&self) -> PathBuf {
        self.named("log")
    }

    pub fn marks(&self) -> PathBuf {
        self.named("marks")
    }

    /// Where a worker that comes back finds the supervisor. A name and no file, so that a full disk is in nobody's way, and
    /// short however deep the directory is; the directory's own name is unique.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        let attempt = self.dir.file_name().unwrap_or_default().as_encoded_bytes();
        let step = format!("/{}", self.step);
        SocketAddr::from_abstract_name([b"guild-step/", attempt, step.as_bytes()].concat())
    }

    /// Where a supervisor of 0.1.0 listens.
    pub(super) fn socket(&self) -> PathBuf {
        self.named("sock")
    }

    fn journal(&self) -> PathBuf {
        self.named("exit")
    }

    fn named(&self, ending: &str) -> PathBuf {
        self.dir.join(format!("step-{}.{ending}", self.step))
    }

    /// Writes the order. The file is locked for as long as it, or a copy of its descriptor, is open: the supervisor
    /// gets one, so that whoever finds it unlocked knows that there is no supervisor.
    pub fn write_order(&self, order: &Order) -> io::Result<File> {
        let mut file = private().create_new(true).open(self.order())?;
        file.lock()?;
        file.write_all(&serde_json::to_vec(order)?)?;
        Ok(file)
    }

    pub fn read_order(&self) -> io::Result<Order> {
        Ok(serde_json::from_slice(&std::fs::read(self.order())?)?)
    }

    /// Whether a supervisor lives, or was just started.
    pub fn is_supervised(&self) -> io::Result<bool> {
        match File::open(self.order())?.try_lock() {
            Ok(()) => Ok(false),
            Err(std::fs::TryLockError::WouldBlock) => Ok(true),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        }
    }

    /// Whether a supervisor came so far that the step may have run. Its spool is made before that.
    pub fn has_begun(&self) -> bool {
        self.spool().exists() || self.journal().exists()
    }

    /// Takes the room for a journal, or keeps what was taken.
    pub fn reserve_journal(&self) -> io::Result<File> {
        let file = private().create(true).truncate(false).open(self.named("exit.new"))?;
        file.write_all_at(&[b' '; JOURNAL_ROOM], 0)?;
        Ok(file)
    }

    /// Writes the journal, whole or not at all.
    pub fn write_journal(&self, room: &File, journal: &Journal) -> io::Result<()> {
        room.write_all_at(&serde_json::to_vec(journal)?, 0)?;
        std::fs::rename(self.named("exit.new"), self.journal())
    }

    /// None: the step has not ended, as far as anyone wrote down.
    pub fn read_journal(&self) -> io::Result<Option<Journal>> {
        match std::fs::read(self.journal()) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// At most 1 KiB of a text, so that it fits where room was taken for it.
pub fn shortened(text: &str) -> String {
    text[..text.floor_char_boundary(REASON_BYTES_MAX)].to_owned()
}

fn private() -> std::fs::OpenOptions {
    let mut options = File::options();
    options.write(true).mode(0o600);
    options
}
