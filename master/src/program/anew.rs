//! The explicit command for a state directory whose store was lost or replaced. The master then goes on without what that store held, or
//! with the store that is there now. The command deletes nothing.

use crate::keep::installation::{InstallError, create_private};
use crate::keep::store::{self, DATABASE_FILE, StoreError};
use std::io;
use std::path::{Path, PathBuf};

/// The files and folders that belong to one store, in the order in which they are set aside. The mark comes last, so a start in between
/// is refused. The key and the mirrors stay, because they name no build.
const OF_THE_STORE: [&str; 6] = [DATABASE_FILE, "guild.db-wal", "guild.db-shm", "logs", "blobs", store::MARK_FILE];
/// The name of the folder to which the files of a lost store are moved. A number follows the name.
const ASIDE: &str = "set-aside";
/// The most folders that are tried for a free name, far more than a person makes.
const ASIDE_MAX: u32 = 10_000;

#[derive(Debug, thiserror::Error)]
pub enum AnewError {
    #[error("{} has no store to set aside: run `guild-master run` to begin there", .0.display())]
    Nothing(PathBuf),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Install(#[from] InstallError),
}

/// Sets aside all that belongs to the store of a state directory, and returns the folder. Fails if a master uses the directory.
pub fn begin(state: &Path) -> Result<PathBuf, AnewError> {
    let _lock = store::lock(state)?;
    let found: Vec<&str> = OF_THE_STORE.into_iter().filter(|name| state.join(name).exists()).collect();
    if found.is_empty() {
        return Err(AnewError::Nothing(state.to_owned()));
    }
    let aside = free_name(state);
    create_private(&aside)?;
    for name in found {
        let (from, to) = (state.join(name), aside.join(name));
        std::fs::rename(&from, to).map_err(|source| AnewError::File { path: from, source })?;
    }
    Ok(aside)
}

/// Makes the next start accept the store that is there, as after a restore. Leases and cursors of its earlier life are then refused.
pub fn keep_store(state: &Path) -> Result<(), AnewError> {
    let _lock = store::lock(state)?;
    store::adopt(state)?;
    Ok(())
}

fn free_name(state: &Path) -> PathBuf {
    let mut names = (1..ASIDE_MAX).map(|number| state.join(format!("{ASIDE}-{number}")));
    names.find(|path| !path.exists()).unwrap_or_else(|| state.join(ASIDE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keep::store::Store;

    /// F4: the way out of a lost store.
    #[test]
    fn a_directory_without_its_store_begins_anew_and_keeps_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(begin(dir.path()), Err(AnewError::Nothing(_))));
        drop(Store::open(dir.path()).unwrap());
        std::fs::create_dir_all(dir.path().join("logs/0/1")).unwrap();
        std::fs::remove_file(dir.path().join(DATABASE_FILE)).unwrap();
        assert!(Store::open(dir.path()).is_err());
        let aside = begin(dir.path()).unwrap();
        assert!(aside.join("logs/0/1").is_dir() && aside.join(store::MARK_FILE).is_file());
        drop(Store::open(dir.path()).unwrap());
        assert_ne!(begin(dir.path()).unwrap(), aside, "the first one stays");
    }

    #[test]
    fn a_running_master_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert!(matches!(begin(dir.path()), Err(AnewError::Store(StoreError::InUse { .. }))));
        assert!(matches!(keep_store(dir.path()), Err(AnewError::Store(StoreError::InUse { .. }))));
        drop(store);
    }

    #[test]
    fn a_store_that_is_kept_begins_another_life() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let before = Store::open(dir.path()).unwrap().incarnation().unwrap();
        drop(Store::open(other.path()).unwrap());
        std::fs::copy(other.path().join(store::MARK_FILE), dir.path().join(store::MARK_FILE)).unwrap();
        assert!(matches!(Store::open(dir.path()), Err(StoreError::Lost { .. })));
        keep_store(dir.path()).unwrap();
        assert_ne!(Store::open(dir.path()).unwrap().incarnation().unwrap(), before);
    }
}
