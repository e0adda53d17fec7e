//! Finds, begins and removes the files of logs.
//!
//! A side file lies beside each log. It names the boot of the machine in which the log was begun, and then has marks of 16
//! bytes each. A file of another boot is not trusted, because bytes that were written shortly before a power cut may be missing
//! in the middle.

use super::TimeMark;
use crate::decide::coordinator::record::{BuildId, JobKey, StepKey};
use crate::keep::bytes::file_work::FileWork;
use crate::keep::bytes::growing::GrowingFile;
use crate::keep::bytes::{is_there, read_at};
use schema::values::Time;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The length of the side file's header, in bytes: the boot id, padded with line ends.
const HEADER: usize = 48;
const MARK: usize = 16;
/// A mark with this time says that the worker's bytes end here and a line of the master's own follows.
const END: u64 = u64::MAX;

#[derive(Clone, Debug)]
pub(super) struct Files {
    root: Arc<PathBuf>,
    /// The id of the current boot; `None` means that no file of an earlier master is trusted.
    boot: Option<Arc<str>>,
    pub(super) work: FileWork,
}

/// The two files of one log.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) log: GrowingFile,
    side: File,
    /// The size of the side file, in bytes.
    side_size: u64,
}

impl Files {
    pub(super) fn open(root: &Path, trusted: bool, work: FileWork) -> io::Result<Files> {
        std::fs::create_dir_all(root)?;
        if let Some(state) = root.parent() {
            File::open(state)?.sync_all()?;
        }
        let boot = Some(system::boot::boot_id()).filter(|boot| trusted && !boot.is_empty() && boot.len() < HEADER);
        Ok(Files { root: Arc::new(root.to_owned()), boot: boot.map(Arc::from), work })
    }

    pub(super) fn log_path(&self, key: StepKey) -> PathBuf {
        self.path(key, "log")
    }

    pub(super) fn exists(&self, key: StepKey) -> bool {
        self.log_path(key).exists()
    }

    /// Begins the files of a log. Files that were there before are emptied.
    pub(super) fn begin(&self, key: StepKey) -> io::Result<Pair> {
        let pair = self.create(key)?;
        pair.log.file().set_len(0)?;
        pair.side.set_len(0)?;
        // the header comes last, because a log without a header is not trusted
        pair.side.write_all_at(&self.header(), 0)?;
        Ok(pair)
    }

    /// Takes up the files of an earlier master. If they are trusted, they keep the bytes that the worker sent; otherwise they
    /// are emptied.
    pub(super) fn resume(&self, key: StepKey) -> io::Result<Pair> {
        let mut pair = self.create(key)?;
        let side = read_at(&pair.side, 0, usize::MAX)?;
        if self.boot.is_none() || side.get(..HEADER) != Some(&self.header()[..]) {
            return self.begin(key);
        }
        let mut size = pair.log.file().metadata()?.len();
        for mark in decode(&side) {
            if mark.time.0 == END {
                size = size.min(mark.offset);
                break;
            }
            if mark.offset >= size {
                break;
            }
            pair.side_size += MARK as u64;
        }
        pair.log.file().set_len(size)?;
        pair.side.set_len(pair.side_size)?;
        Ok(pair)
    }

    /// Makes the names of a log's files survive a power cut.
    pub(super) fn sync_names(&self, key: StepKey) -> io::Result<()> {
        let dir = self.dir(key.job);
        dir.ancestors().take(3).try_for_each(|dir| File::open(dir)?.sync_all())
    }

    /// Unlinks all files of these builds. After this returns, no power cut can bring them back.
    pub(super) fn remove(&self, builds: &[BuildId]) -> io::Result<()> {
        let mut groups = BTreeSet::new();
        for build in builds {
            let dir = self.build_dir(*build);
            if is_there(std::fs::remove_dir_all(&dir))? {
                groups.extend(dir.parent().map(Path::to_owned));
            }
        }
        for group in groups {
            File::open(&group)?.sync_all()?;
            // this removes only an empty folder; if a power cut brings it back, that does no harm
            let _ = std::fs::remove_dir(&group);
        }
        Ok(())
    }

    /// Unlinks the files of one log if they exist. A power cut may bring them back.
    pub(super) fn remove_log(&self, key: StepKey) -> io::Result<()> {
        is_there(std::fs::remove_file(self.log_path(key)))?;
        is_there(std::fs::remove_file(self.path(key, "marks"))).map(drop)
    }

    /// Returns the marks of a log; empty if it has no side file.
    pub(super) fn marks(&self, key: StepKey) -> io::Result<Vec<TimeMark>> {
        match File::open(self.path(key, "marks")) {
            Ok(file) => Ok(decode(&read_at(&file, 0, usize::MAX)?).filter(|mark| mark.time.0 != END).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Returns the steps of an attempt whose logs have a file.
    pub(super) fn steps(&self, job: JobKey, attempt: u16) -> io::Result<Vec<u16>> {
        let entries = match std::fs::read_dir(self.dir(job)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let prefix = format!("{}.{attempt}.", job.index);
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter_map(|name| name.strip_prefix(&prefix)?.strip_suffix(".log")?.parse().ok()).collect())
    }

    fn create(&self, key: StepKey) -> io::Result<Pair> {
        std::fs::create_dir_all(self.dir(key.job))?;
        let open = |path| File::options().create(true).truncate(false).read(true).write(true).open(path);
        let side = open(self.path(key, "marks"))?;
        let log = GrowingFile::new(open(self.log_path(key))?, self.work);
        Ok(Pair { log, side, side_size: HEADER as u64 })
    }

    fn header(&self) -> [u8; HEADER] {
        let mut header = [b'\n'; HEADER];
        if let Some(boot) = &self.boot {
            header[..boot.len()].copy_from_slice(boot.as_bytes());
        }
        header
    }

    fn path(&self, key: StepKey, kind: &str) -> PathBuf {
        self.root.join(relative(key, kind))
    }

    fn dir(&self, job: JobKey) -> PathBuf {
        self.build_dir(job.build)
    }

    fn build_dir(&self, build: BuildId) -> PathBuf {
        self.root.join(folder_of(build))
    }
}

/// Returns the path of a log's file, relative to the folder of all logs.
pub(super) fn relative(key: StepKey, kind: &str) -> PathBuf {
    folder_of(key.job.build).join(format!("{}.{}.{}.{kind}", key.job.index, key.attempt, key.step))
}

fn folder_of(build: BuildId) -> PathBuf {
    PathBuf::from((build.0 / 1_000).to_string()).join(build.0.to_string())
}

impl Pair {
    pub(super) fn add_marks(&mut self, marks: &[TimeMark]) -> io::Result<()> {
        let bytes: Vec<u8> = marks.iter().flat_map(|mark| encode(mark.offset, mark.time.0)).collect();
        self.side.write_all_at(&bytes, self.side_size)?;
        self.side_size += bytes.len() as u64;
        Ok(())
    }

    /// Notes that a line of the master's own begins at `offset`, so that a later master does not take it for the worker's
    /// bytes.
    pub(super) fn note_end(&mut self, offset: u64) -> io::Result<()> {
        self.add_marks(&[TimeMark { offset, time: Time(END) }])
    }
}

fn encode(offset: u64, time: u64) -> [u8; MARK] {
    let mut bytes = [0; MARK];
    bytes[..8].copy_from_slice(&offset.to_le_bytes());
    bytes[8..].copy_from_slice(&time.to_le_bytes());
    bytes
}

fn decode(side: &[u8]) -> impl Iterator<Item = TimeMark> {
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let marks = side.get(HEADER..).unwrap_or_default().chunks_exact(MARK);
    marks.map(move |mark| TimeMark { offset: number(&mark[..8]), time: Time(number(&mark[8..])) })
}
