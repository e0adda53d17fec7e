//! The mark of a store is a file beside the store. It says that this directory belongs to a master, which store it has, and the
//! number of the newest event of that store.
//!
//! A store that is lost, emptied or replaced by an older one looks like a new or a good store. A master that went on with it
//! would give numbers a second time and forget what it acknowledged. So the master compares the mark with the store when it
//! starts, and refuses to start if they do not fit.

use super::StoreError;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The name of the mark in the state directory.
pub(crate) const MARK_FILE: &str = "store.mark";
/// The first word of a mark, which names this version of its form.
const FORM: &str = "guild-store-1";
/// The first bytes of every SQLite database (<https://sqlite.org/fileformat.html#magic_header_string>).
const HEADER: &[u8] = b"SQLite format 3\0";
/// The folders that a master makes after its store. They show that the directory belongs to a master even if an older version
/// left no mark.
const LATER: [&str; 3] = ["logs", "blobs", "mirrors"];

/// The identity of a store and its progress, read from its mark or from the store itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoreMark {
    /// The random name of the store. A copy of the store has the same name.
    pub(crate) store: String,
    /// The number of the last event that is known to be in the store.
    pub(crate) event: u64,
}

/// The file of a mark. It is never ahead of the store, because each number is written after its commit.
#[derive(Clone, Debug)]
pub(crate) struct MarkFile {
    path: PathBuf,
    store: String,
}

impl MarkFile {
    /// Writes the number of an event. If that fails, the mark stays behind the store, which does no harm.
    pub(crate) fn note(&self, event: u64) {
        if let Err(error) = self.write(event) {
            tracing::debug!(%error, path = %self.path.display(), "the mark of the store could not be written");
        }
    }

    /// Overwrites the mark in place. The length never changes, so the mark is whole at any time without a sync.
    fn write(&self, event: u64) -> io::Result<()> {
        let text = format!("{FORM} {} {event:020}\n", self.store);
        let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(&self.path)?;
        file.write_all_at(text.as_bytes(), 0)?;
        file.set_len(text.len() as u64)
    }
}

/// Refuses a directory whose store is lost or is not a database. The caller calls it before it opens the store, because opening
/// would make a new one. `database` is the name of the store's file.
pub(super) fn refuse_lost(state: &Path, database: &str) -> Result<(), StoreError> {
    let lost = |what: &str| StoreError::Lost { dir: state.to_owned(), what: what.to_owned() };
    let path = state.join(database);
    match std::fs::metadata(&path).map(|file| file.len()) {
        Ok(0) if was_a_masters(state) => Err(lost("is empty")),
        Ok(0) => Ok(()),
        Ok(_) if !is_database(&path) => Err(lost("is not a database, or its first bytes are damaged")),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && was_a_masters(state) => Err(lost("is missing")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(StoreError::Open { path, source }),
    }
}

/// Refuses a file that is missing or is not a database.
pub(super) fn refuse_no_database(path: &Path) -> Result<(), StoreError> {
    match is_database(path) {
        true => Ok(()),
        false => Err(StoreError::Open {
            path: path.to_owned(),
            source: io::Error::other("the file is missing, or is not a database of a master"),
        }),
    }
}

/// Refuses a store that is older than its mark or has another name than the mark. Otherwise it writes the mark.
pub(super) fn take_up(state: &Path, found: &StoreMark) -> Result<MarkFile, StoreError> {
    let lost = |what: String| StoreError::Lost { dir: state.to_owned(), what };
    let path = state.join(MARK_FILE);
    if let Some(mark) = read(&path)? {
        if mark.store != found.store {
            return Err(lost("belongs to another master".to_owned()));
        }
        if mark.event > found.event {
            let (found, marked) = (found.event, mark.event);
            return Err(lost(format!(
                "is too old: it ends with event {found}, but this master had already written event {marked}"
            )));
        }
    }
    let file = MarkFile { path, store: found.store.clone() };
    file.note(found.event);
    Ok(file)
}

/// Removes the mark, so that the next start accepts whatever store is there, as after a restore.
pub(crate) fn forget(state: &Path) -> io::Result<()> {
    match std::fs::remove_file(state.join(MARK_FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Reads a mark. `None` means that there is none, or that it cannot be read, as after a power cut.
fn read(path: &Path) -> Result<Option<StoreMark>, StoreError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(None),
        Err(source) => return Err(StoreError::Open { path: path.to_owned(), source }),
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    let [FORM, store, event] = words[..] else { return Ok(None) };
    Ok(event.parse().ok().map(|event| StoreMark { store: store.to_owned(), event }))
}

fn was_a_masters(state: &Path) -> bool {
    // an empty folder does not count, because an operator may have prepared it as the mount point of a disk
    let has_files = |folder: &&str| std::fs::read_dir(state.join(folder)).is_ok_and(|mut found| found.next().is_some());
    state.join(MARK_FILE).exists() || LATER.iter().any(has_files)
}

fn is_database(path: &Path) -> bool {
    let mut header = [0; HEADER.len()];
    File::open(path).and_then(|file| file.read_exact_at(&mut header, 0)).is_ok() && header == *HEADER
}
