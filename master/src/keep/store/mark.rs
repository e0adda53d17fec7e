//! The mark of a store: a file beside it. It says that this directory is a master's, which store it has, and how far that came.
//!
//! A store that is lost, emptied or replaced by an older one looks like a new one or like a good one. A master that goes on with
//! it would give numbers a second time and forget what it acknowledged. So it compares the mark at its start, and refuses.

use super::StoreError;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The name of the mark in the state directory.
pub(crate) const MARK_FILE: &str = "store.mark";
/// The first word of a mark of this form.
const FORM: &str = "guild-store-1";
/// What every database of SQLite begins with (<https://sqlite.org/fileformat.html#magic_header_string>).
const HEADER: &[u8] = b"SQLite format 3\0";
/// Folders of a master that are made after its store, and that are there also where an older version left no mark.
const LATER: [&str; 3] = ["logs", "blobs", "mirrors"];

/// What a mark says, or a store says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoreMark {
    /// The name of the store, by chance. A copy of it has the same.
    pub(crate) store: String,
    /// The number of an event that is in the store.
    pub(crate) event: u64,
}

/// The mark's file. It is never ahead of the store, because each number is noted after its commit.
#[derive(Clone, Debug)]
pub(crate) struct MarkFile {
    path: PathBuf,
    store: String,
}

impl MarkFile {
    /// Notes an event. A mark that cannot be written stays behind, which is not a fault.
    pub(crate) fn note(&self, event: u64) {
        if let Err(error) = self.write(event) {
            tracing::debug!(%error, path = %self.path.display(), "the mark of the store could not be written");
        }
    }

    /// In place, and always of the same length: it is whole at any time, and costs no sync.
    fn write(&self, event: u64) -> io::Result<()> {
        let text = format!("{FORM} {} {event:020}\n", self.store);
        let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(&self.path)?;
        file.write_all_at(text.as_bytes(), 0)?;
        file.set_len(text.len() as u64)
    }
}

/// Refuses a directory whose store is lost or is not a store. Call it before the store is opened, which would make a new one.
/// `database` is the name of its file.
pub(super) fn refuse_lost(state: &Path, database: &str) -> Result<(), StoreError> {
    let lost = |what: &str| StoreError::Lost { dir: state.to_owned(), what: what.to_owned() };
    let path = state.join(database);
    match std::fs::metadata(&path).map(|file| file.len()) {
        Ok(0) if was_a_masters(state) => Err(lost("is empty")),
        Ok(0) => Ok(()),
        Ok(_) if !is_database(&path) => Err(lost("is not a database, or its first bytes are damaged")),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && was_a_masters(state) => Err(lost("is gone")),
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

/// Refuses a store that is older than its mark or another one, and marks the directory.
pub(super) fn take_up(state: &Path, found: &StoreMark) -> Result<MarkFile, StoreError> {
    let lost = |what: String| StoreError::Lost { dir: state.to_owned(), what };
    let path = state.join(MARK_FILE);
    if let Some(mark) = read(&path)? {
        if mark.store != found.store {
            return Err(lost("is another master's".to_owned()));
        }
        if mark.event > found.event {
            let (found, marked) = (found.event, mark.event);
            return Err(lost(format!(
                "is older than this directory: it ends with event {found}, and {marked} was there"
            )));
        }
    }
    let file = MarkFile { path, store: found.store.clone() };
    file.note(found.event);
    Ok(file)
}

/// Lets the next start take whatever store is there, as after a restore.
pub(crate) fn forget(state: &Path) -> io::Result<()> {
    match std::fs::remove_file(state.join(MARK_FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// `None` means that there is no mark, or nothing can be read from it, as after a power cut.
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
    // an empty folder may be prepared, as for a disk of its own
    let has_files = |folder: &&str| std::fs::read_dir(state.join(folder)).is_ok_and(|mut found| found.next().is_some());
    state.join(MARK_FILE).exists() || LATER.iter().any(has_files)
}

fn is_database(path: &Path) -> bool {
    let mut header = [0; HEADER.len()];
    File::open(path).and_then(|file| file.read_exact_at(&mut header, 0)).is_ok() && header == *HEADER
}
