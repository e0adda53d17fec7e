//! The order and the journal of a step, by which its worker and its supervisor talk on disk. The order comes before the step, and the
//! journal after it. Both outlive either process. They are lines of one file, because making and removing a file takes as long as many
//! a step.

use super::Moment;
use crate::disk::atomic_file;
use schema::values::{Exit, Tier, Time};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The size of the journal's slot, in bytes. The slot is written with the order, so that a full disk cannot prevent the journal.
const SLOT_BYTES: usize = 4096;
/// The first byte of the slot, once a supervisor has begun.
const BEGUN: u8 = b'*';
/// The limit for the text of a cause or of an exit, in bytes.
const REASON_BYTES_MAX: usize = 1024;
/// The limit for the text of a cause or of an exit as JSON, in bytes. JSON writes a control character with six bytes. A journal has at
/// most two such texts, and its numbers and names take about 200 bytes, so that it fits into its slot.
const REASON_JSON_MAX: usize = 1_900;

/// An order to run one step. It leaves nothing to decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub argv: Vec<String>,
    /// The whole environment of the step.
    pub env: Vec<(String, String)>,
    /// The directory in which the step runs, as an absolute path.
    pub dir: PathBuf,
    #[serde(default)]
    pub tier: Tier,
    pub limits: Limits,
    /// Lines of the worker's own, with which the log begins.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// The limits of a step. Durations are in milliseconds and count from the step's start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// How long the step may run. 0 means no limit.
    pub step_ms: u64,
    /// How long the step may print nothing. 0 means no limit.
    pub idle_ms: u64,
    /// How much time is left for the whole attempt. 0 means that no time is left.
    pub attempt_ms: u64,
    /// How much of the lease was left when the order was written. Supervisors of 0.1.0 count it from their own start.
    pub lease_ms: u64,
    /// The moment at which the lease ends, by the clock of [`super::Moment`]. Each `until` message replaces it. 0 means that a worker
    /// of 0.1.0 wrote this.
    #[serde(default)]
    pub lease_end: u64,
    /// How long before the end of the lease the supervisor stops the step.
    pub margin_ms: u64,
    /// How long the step runs on if its worker has gone.
    pub orphan_ms: u64,
    /// How long the step has to end by itself, from TERM to KILL.
    pub grace_ms: u64,
    /// The most bytes of output that are kept.
    pub output_max: u64,
    /// How many processes the step may have at a time. 0 means no limit, as an earlier worker orders it.
    #[serde(default)]
    pub processes_max: u64,
    /// How much memory the processes of the step may take together, in bytes. 0 means no limit.
    #[serde(default)]
    pub memory_max: u64,
    /// How many files each process of the step may have open. 0 means as many as the supervisor itself decides.
    #[serde(default)]
    pub files_max: u64,
}

impl Limits {
    /// How many files a process of the step may have open. `None` means that the worker did not say it.
    pub(super) fn open_files(&self) -> Option<u64> {
        (self.files_max > 0).then_some(self.files_max)
    }
}

/// A supervisor's report of how a step ended. It is written when no process of the step is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    pub cause: KillCause,
    pub exit: Exit,
    pub started: Time,
    pub ended: Time,
    /// The final size of the spool, in bytes.
    pub size: u64,
    /// How many processes could not be killed, such as processes of another user.
    #[serde(default)]
    pub survivors: u32,
}

/// Why a step ended, or was ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KillCause {
    /// The step ended by itself.
    Ended,
    StepTime,
    AttemptTime,
    Idle,
    /// Nobody renewed the lease in time.
    LeaseOver,
    /// No worker came back for the step.
    Orphaned,
    /// The worker ordered the stop, for this reason.
    Stopped(String),
    /// The step could not start, and would not start on another worker either. For example, its program or directory does not exist.
    Impossible(String),
    /// The machine could not start or follow the step.
    Broken(String),
    /// The step took more than it may, or killed its worker, and would do so on another worker too. The text says what happened.
    Excess(String),
}

impl Journal {
    /// Returns the journal of a step that never had a process.
    pub fn without_process(cause: KillCause, why: &str, at: Time) -> Journal {
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

    /// Returns the file in which a supervisor of 0.1.0 writes how the step ended.
    fn journal_before(&self) -> PathBuf {
        self.named("exit")
    }

    /// Whether a supervisor may leave a file of this name in an attempt's directory. Files of supervisors of 0.1.0 do not count.
    pub(crate) fn is_one(name: &str) -> bool {
        let step = name.strip_prefix("step-").and_then(|rest| rest.split_once('.'));
        step.is_some_and(|(step, ending)| step.parse::<u16>().is_ok() && ["order", "log", "marks"].contains(&ending))
    }

    /// Returns the path of a supervisor's socket; see [`super::door`].
    pub(super) fn socket(&self) -> PathBuf {
        self.named("sock")
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn step(&self) -> u16 {
        self.step
    }

    /// Returns the file of the step with this ending.
    pub(crate) fn named(&self, ending: &str) -> PathBuf {
        self.dir.join(format!("step-{}.{ending}", self.step))
    }

    /// Writes the order, and a line with the slot for the journal. The file is locked while it, or a copy of its descriptor, is open.
    /// The supervisor gets a copy, so an unlocked file means that there is no supervisor.
    pub fn write_order(&self, order: &Order) -> io::Result<File> {
        let mut file = self.open_order()?;
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        line.resize(line.len() + SLOT_BYTES, b' ');
        file.write_all(&line)?;
        Ok(file)
    }

    /// Opens an empty file for the order, and locks it. Fails if an order is already there.
    fn open_order(&self) -> io::Result<File> {
        let mut options = File::options();
        options.write(true).mode(0o600);
        let there = options.open(self.order());
        if let Ok(file) = there
            && file.try_lock().is_ok()
        {
            return match file.metadata()?.len() {
                0 => Ok(file),
                _ => Err(io::ErrorKind::AlreadyExists.into()),
            };
        }
        // If the directory is used again, the supervisor that used it before may still be about to end.
        if self.is_empty() {
            std::fs::remove_file(self.order())?;
        }
        let file = options.create_new(true).open(self.order())?;
        file.lock()?;
        Ok(file)
    }

    fn is_empty(&self) -> bool {
        std::fs::metadata(self.order()).is_ok_and(|found| found.len() == 0)
    }

    /// Returns the time at which the step was ordered. `None` means that no order was written.
    pub fn ordered(&self) -> io::Result<Option<SystemTime>> {
        match std::fs::metadata(self.order()) {
            Ok(found) if found.len() == 0 => Ok(None),
            Ok(found) => found.modified().map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads the order for the supervisor, with the slot for its journal.
    pub fn take_order(&self) -> io::Result<(Order, OrderSlot)> {
        let mut file = File::options().read(true).write(true).open(self.order())?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let found = OrderFile::of(bytes);
        let order = serde_json::from_slice(found.order())?;
        let at = found.slot.ok_or(io::ErrorKind::InvalidData)? as u64;
        Ok((order, OrderSlot { file, at }))
    }

    /// Returns how much is left of the lease that the order has, in milliseconds. Renewals after the order are not in it. An order of
    /// 0.1.0 has only the length of the lease, and this returns that length.
    pub(crate) fn lease_left(&self, now: Moment) -> io::Result<u64> {
        let found = self.read()?;
        let order: Order = serde_json::from_slice(found.order())?;
        Ok(match order.limits.lease_end {
            0 => order.limits.lease_ms,
            end => Moment(end).since(now),
        })
    }

    /// Whether a supervisor lives, or was just started.
    pub fn is_supervised(&self) -> io::Result<bool> {
        match File::open(self.order())?.try_lock() {
            Ok(()) => Ok(false),
            Err(std::fs::TryLockError::WouldBlock) => Ok(true),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        }
    }

    /// Whether the step may have run, because a supervisor has noted that it begins the step.
    pub fn has_begun(&self) -> io::Result<bool> {
        let found = self.read()?;
        Ok(match found.slot {
            Some(slot) => found.bytes.get(slot) == Some(&BEGUN),
            // An order that was cut short was never taken, even if an earlier attempt left other files in the directory.
            None => found.is_order() && (self.spool().exists() || self.journal_before().exists()),
        })
    }

    /// Writes the journal in place of a supervisor that no longer exists.
    pub fn write_journal(&self, journal: &Journal) -> io::Result<()> {
        let found = self.read()?;
        match found.slot {
            Some(at) => {
                OrderSlot { file: File::options().write(true).open(self.order())?, at: at as u64 }.write(journal)
            }
            None => atomic_file::write(&self.journal_before(), &serde_json::to_vec(journal)?),
        }
    }

    /// Reads the journal. `None` means that nobody has written how the step ended.
    pub fn read_journal(&self) -> io::Result<Option<Journal>> {
        let found = self.read()?;
        match found.slot {
            Some(slot) => Ok(found.journal_at(slot)),
            None => self.read_journal_before(),
        }
    }

    fn read_journal_before(&self) -> io::Result<Option<Journal>> {
        let found = atomic_file::read(&self.journal_before())?;
        Ok(found.map(|bytes| serde_json::from_slice(&bytes)).transpose()?)
    }

    fn read(&self) -> io::Result<OrderFile> {
        std::fs::read(self.order()).map(OrderFile::of)
    }
}

/// The place for the journal in the order's own file, behind the order.
#[derive(Debug)]
pub struct OrderSlot {
    file: File,
    at: u64,
}

impl OrderSlot {
    /// Notes that the step may run from now on.
    pub fn begin(&self) -> io::Result<()> {
        self.file.write_all_at(&[BEGUN], self.at)
    }

    /// Writes the journal. A journal that was cut short, because its writer ended, does not count.
    pub fn write(&self, journal: &Journal) -> io::Result<()> {
        // A step that has a journal must not run any more, whether it began or not.
        let mut line = vec![BEGUN];
        serde_json::to_writer(&mut line, journal)?;
        // The new line covers every byte of a journal that was cut short.
        line.resize(line.len().max(SLOT_BYTES), b' ');
        self.file.write_all_at(&line, self.at)
    }
}

/// The content of an order's file: the order, and behind it the slot for the journal.
pub(super) struct OrderFile {
    bytes: Vec<u8>,
    /// The offset of the slot for the journal, in bytes. `None` means that a worker of 0.1.0 wrote the order, which has no slot.
    pub(super) slot: Option<usize>,
}

impl OrderFile {
    pub(super) fn of(bytes: Vec<u8>) -> OrderFile {
        let slot = bytes.iter().position(|byte| *byte == b'\n').map(|end| end + 1);
        OrderFile { bytes, slot }
    }

    /// Returns the journal in the slot. `None` means that no complete journal was written.
    pub(super) fn journal_at(&self, slot: usize) -> Option<Journal> {
        serde_json::from_slice(self.bytes.get(slot + 1..).unwrap_or_default()).ok()
    }

    pub(super) fn order(&self) -> &[u8] {
        &self.bytes[..self.slot.unwrap_or(self.bytes.len())]
    }

    fn is_order(&self) -> bool {
        serde_json::from_slice::<Order>(self.order()).is_ok()
    }
}

/// Returns the beginning of a text, at most 1 KiB, so that it fits into the slot of the journal. A text that is long as JSON is cut
/// sooner.
pub fn shortened(text: &str) -> String {
    let mut room = REASON_JSON_MAX;
    let fits = |letter: &char| room.checked_sub(json_bytes(*letter)).map(|left| room = left).is_some();
    let bytes: usize = text.chars().take_while(fits).map(char::len_utf8).sum();
    text[..text.floor_char_boundary(bytes.min(REASON_BYTES_MAX))].to_owned()
}

/// Returns the most bytes that a character can have in a string of JSON.
fn json_bytes(letter: char) -> usize {
    match letter {
        '"' | '\\' => 2,
        '\0'..'\u{20}' => 6,
        letter => letter.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered() -> (tempfile::TempDir, StepFiles, Order) {
        let dir = tempfile::tempdir().unwrap();
        let limits = Limits {
            step_ms: 0,
            idle_ms: 0,
            attempt_ms: 1,
            lease_ms: 1,
            lease_end: 1,
            margin_ms: 0,
            orphan_ms: 1,
            grace_ms: 1,
            output_max: 1,
            processes_max: 0,
            memory_max: 0,
            files_max: 0,
        };
        let argv = vec!["echo".to_owned(), "a\nb".to_owned()];
        let order =
            Order { argv, env: Vec::new(), dir: dir.path().to_owned(), tier: Tier::Guard, limits, notes: Vec::new() };
        let files = StepFiles::new(dir.path(), 7);
        (dir, files, order)
    }

    fn ended(exit: i32) -> Journal {
        Journal { exit: Exit::Code(exit), ..Journal::without_process(KillCause::Ended, "", Time(5)) }
    }

    #[test]
    fn an_order_and_its_end_share_a_file() {
        let (_dir, files, order) = ordered();
        drop(files.write_order(&order).unwrap());
        let (taken, slot) = files.take_order().unwrap();
        assert_eq!(taken, order);
        assert_eq!((files.has_begun().unwrap(), files.read_journal().unwrap()), (false, None));
        slot.begin().unwrap();
        assert_eq!((files.has_begun().unwrap(), files.read_journal().unwrap()), (true, None));
        let size = std::fs::metadata(files.order()).unwrap().len();
        slot.write(&ended(3)).unwrap();
        assert_eq!(files.read_journal().unwrap(), Some(ended(3)));
        assert_eq!(std::fs::metadata(files.order()).unwrap().len(), size, "the room was taken before");
        assert_eq!(files.take_order().unwrap().0, order);
    }

    /// A journal may have a text twice, full of characters that JSON writes with six bytes. Such a journal was once longer than its
    /// slot, and so longer than the room that was reserved for it.
    #[test]
    fn any_journal_fits_into_its_slot() {
        let (_dir, files, order) = ordered();
        drop(files.write_order(&order).unwrap());
        let size = std::fs::metadata(files.order()).unwrap().len();
        for letter in ["\u{1}", "\"", "\\", "x", "\u{7f}", "\u{1f600}", "\n"] {
            let text = shortened(&letter.repeat(5_000));
            assert!(text.len() >= 300 && text.len() <= REASON_BYTES_MAX, "{letter:?}: {}", text.len());
            let journal = Journal {
                size: u64::MAX,
                survivors: u32::MAX,
                ..Journal::without_process(KillCause::Impossible(text.clone()), &text, Time(u64::MAX))
            };
            files.write_journal(&journal).unwrap();
            assert_eq!(std::fs::metadata(files.order()).unwrap().len(), size, "{letter:?}");
            assert_eq!(files.read_journal().unwrap(), Some(journal));
        }
    }

    #[test]
    fn an_empty_file_is_used_again_unless_somebody_has_it() {
        use std::os::unix::fs::MetadataExt as _;
        let (_dir, files, order) = ordered();
        let inode = || std::fs::metadata(files.order()).unwrap().ino();
        assert_eq!(files.ordered().unwrap(), None);
        let locked = File::create(files.order()).unwrap();
        let first = inode();
        assert_eq!(files.ordered().unwrap(), None);
        drop(files.write_order(&order).unwrap());
        assert_eq!(inode(), first);
        assert!(files.ordered().unwrap().is_some());
        assert_eq!(files.write_order(&order).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        locked.set_len(0).unwrap();
        locked.lock().unwrap();
        drop(files.write_order(&order).unwrap());
        assert_ne!(inode(), first);
    }

    #[test]
    fn an_order_that_was_cut_short_has_not_begun() {
        let (_dir, files, order) = ordered();
        std::fs::write(files.spool(), "").unwrap();
        let whole = serde_json::to_vec(&order).unwrap();
        for length in 0..whole.len() {
            std::fs::write(files.order(), &whole[..length]).unwrap();
            assert!(!files.has_begun().unwrap(), "{length} bytes of it");
        }
    }

    #[test]
    fn what_could_not_begin_is_not_begun_again() {
        let (_dir, files, order) = ordered();
        drop(files.write_order(&order).unwrap());
        files.write_journal(&ended(1)).unwrap();
        assert!(files.has_begun().unwrap());
        assert_eq!(files.read_journal().unwrap(), Some(ended(1)));
    }

    #[test]
    fn a_journal_that_was_cut_short_is_none() {
        let (_dir, files, order) = ordered();
        drop(files.write_order(&order).unwrap());
        let (_, slot) = files.take_order().unwrap();
        slot.begin().unwrap();
        let whole = serde_json::to_vec(&ended(1_000)).unwrap();
        for length in 0..whole.len() {
            slot.file.write_all_at(&whole[..length], slot.at + 1).unwrap();
            assert_eq!(files.read_journal().unwrap(), None, "{length} bytes of it");
        }
        files.write_journal(&ended(1)).unwrap();
        assert_eq!(files.read_journal().unwrap(), Some(ended(1)));
    }

    #[test]
    fn what_a_worker_of_0_1_0_left_is_understood() {
        let (dir, files, order) = ordered();
        std::fs::write(files.order(), serde_json::to_vec(&order).unwrap()).unwrap();
        assert_eq!((files.has_begun().unwrap(), files.read_journal().unwrap()), (false, None));
        std::fs::write(files.spool(), "").unwrap();
        assert!(files.has_begun().unwrap());
        files.write_journal(&ended(2)).unwrap();
        assert!(dir.path().join("step-7.exit").exists(), "where it would look for it itself");
        assert_eq!(files.read_journal().unwrap(), Some(ended(2)));
    }
}
