//! Directories that are used again. Making and removing files costs more than everything else in a short job. It costs most on a file
//! system that searches for room among files that were just removed. Renaming a directory costs little.

use crate::disk::private_dir::{is_own, private_dir};
use crate::disk::removal::{remove_contended, remove_tree};
use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The limit for the number of directories that a pool keeps. A worker seldom has more free ones at once than slots.
const KEPT: usize = 64;

/// Returns whether a spare directory may hold an empty file of this name.
pub(crate) type IsKept = fn(&str) -> bool;

/// A pool of directories that are used again. Clones share the pool.
#[derive(Clone, Debug)]
pub(crate) struct Spares(Arc<Pool>);

/// The pool itself: where its directories are, and which of them are free.
#[derive(Debug)]
struct Pool {
    root: PathBuf,
    is_kept: IsKept,
    free: Mutex<Vec<PathBuf>>,
    is_closed: AtomicBool,
    moved: AtomicU64,
}

impl Spares {
    /// Opens a pool. Removes what an earlier process kept, because its state is not known.
    pub(crate) fn open(root: PathBuf, is_kept: IsKept) -> io::Result<Spares> {
        remove_tree(&root)?;
        private_dir(&root)?;
        let pool =
            Pool { root, is_kept, free: Mutex::default(), is_closed: AtomicBool::new(false), moved: AtomicU64::new(0) };
        Ok(Spares(Arc::new(pool)))
    }

    /// Makes a directory that is private to this user. It may hold empty files of the names that the pool keeps.
    pub(crate) fn make(&self, place: &Path) -> io::Result<()> {
        let spare = self.0.free().pop();
        match spare {
            Some(spare) if std::fs::rename(&spare, place).is_ok() => Ok(()),
            Some(_) | None => private_dir(place),
        }
    }

    /// Removes a directory with its content, or keeps it for another use. Blocks until that is done.
    pub(crate) fn remove(&self, dir: &Path) -> io::Result<()> {
        self.keep(dir.to_owned()).map_or(Ok(()), |rest| remove_tree(&rest))
    }

    /// Takes a directory away and keeps it for another use. If it cannot be kept, returns the path that the caller must remove
    /// instead.
    pub(crate) fn keep(&self, dir: PathBuf) -> Option<PathBuf> {
        let pool = &self.0;
        let spare = pool.root.join(pool.moved.fetch_add(1, Ordering::Relaxed).to_string());
        // After the rename nobody takes the directory for what it was, even if the rest of this function fails.
        if std::fs::rename(&dir, &spare).is_err() {
            return Some(dir);
        }
        let has_room = pool.free().len() < KEPT && !pool.is_closed.load(Ordering::Relaxed);
        let may_be_kept = has_room && pool.clean(&spare).unwrap_or(false);
        if !may_be_kept {
            return Some(spare);
        }
        pool.free().push(spare);
        None
    }

    /// Removes the directories that the pool keeps, and keeps none from here on.
    pub(crate) fn close(&self) {
        self.0.is_closed.store(true, Ordering::Relaxed);
        self.0.free().clear();
        remove_contended(&self.0.root);
    }
}

impl Pool {
    fn free(&self) -> std::sync::MutexGuard<'_, Vec<PathBuf>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Empties the files that a directory may keep, and returns whether it is then like a new one. Does not remove other files,
    /// because they may be many.
    fn clean(&self, dir: &Path) -> io::Result<bool> {
        let found = std::fs::symlink_metadata(dir)?;
        let is_private = found.permissions().mode() & 0o7777 == 0o700;
        if !found.is_dir() || !is_private || !is_own(&found) {
            return Ok(false);
        }
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let is_kept = entry.file_name().to_str().is_some_and(self.is_kept);
            if !is_kept || !entry.file_type()?.is_file() {
                return Ok(false);
            }
            File::options().write(true).truncate(true).open(entry.path())?;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    fn inode(path: &Path) -> u64 {
        std::fs::metadata(path).unwrap().ino()
    }

    #[test]
    fn what_was_removed_comes_back_empty() {
        let state = tempfile::tempdir().unwrap();
        let spares = Spares::open(state.path().join("spare"), |name| name == "note").unwrap();
        let (first, second) = (state.path().join("first"), state.path().join("second"));
        spares.make(&first).unwrap();
        std::fs::write(first.join("note"), "secret").unwrap();
        let (dir, note) = (inode(&first), inode(&first.join("note")));
        spares.remove(&first).unwrap();
        assert!(!first.exists());
        spares.make(&second).unwrap();
        assert_eq!((inode(&second), inode(&second.join("note"))), (dir, note));
        assert_eq!(std::fs::read(second.join("note")).unwrap(), b"");
    }

    #[test]
    fn what_is_not_as_new_is_not_used_again() {
        let state = tempfile::tempdir().unwrap();
        let spares = Spares::open(state.path().join("spare"), |name| name == "note").unwrap();
        let dir = state.path().join("dir");
        let spoil: [fn(&Path); 4] = [
            |dir| std::fs::write(dir.join("other"), "").unwrap(),
            |dir| std::fs::create_dir(dir.join("note")).unwrap(),
            |dir| std::os::unix::fs::symlink("/etc/passwd", dir.join("note")).unwrap(),
            |dir| std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap(),
        ];
        for spoil in spoil {
            spares.make(&dir).unwrap();
            spoil(&dir);
            spares.remove(&dir).unwrap();
            assert!(!dir.exists() && spares.0.free().is_empty());
            assert_eq!(std::fs::read_dir(state.path().join("spare")).unwrap().count(), 0);
        }
    }

    #[test]
    fn what_is_closed_keeps_nothing() {
        let state = tempfile::tempdir().unwrap();
        let (root, dirs) = (state.path().join("spare"), ["first", "second"].map(|name| state.path().join(name)));
        let spares = Spares::open(root.clone(), |name| name == "note").unwrap();
        for dir in &dirs {
            spares.make(dir).unwrap();
            std::fs::write(dir.join("note"), "secret").unwrap();
        }
        spares.remove(&dirs[0]).unwrap();
        spares.close();
        spares.remove(&dirs[1]).unwrap();
        assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0);
        spares.make(&dirs[0]).unwrap();
    }

    #[test]
    fn a_new_process_begins_with_none() {
        let state = tempfile::tempdir().unwrap();
        let root = state.path().join("spare");
        let dir = state.path().join("dir");
        let spares = Spares::open(root.clone(), |_| false).unwrap();
        spares.make(&dir).unwrap();
        spares.remove(&dir).unwrap();
        drop(Spares::open(root.clone(), |_| false).unwrap());
        assert_eq!(std::fs::read_dir(root).unwrap().count(), 0);
    }
}
