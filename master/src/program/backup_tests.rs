//! Backups that are whole, refused, damaged, or name what they must not.

use super::*;
use crate::keep::store::Store;
use crate::keep::store::archive::PART_BYTES;
use std::os::unix::fs::PermissionsExt as _;

/// A state directory of a master that runs, with a log of several parts.
fn state() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    crate::keep::installation::identity(dir.path()).unwrap();
    std::fs::create_dir_all(dir.path().join("logs/1")).unwrap();
    std::fs::write(dir.path().join("logs/1/0.log"), vec![b'x'; 2 * PART_BYTES + 1]).unwrap();
    std::fs::write(dir.path().join("logs/1/1.log"), b"").unwrap();
    for folder in ["sealed/ab", "partial"] {
        std::fs::create_dir_all(dir.path().join("blobs").join(folder)).unwrap();
    }
    std::fs::write(dir.path().join("blobs/sealed/ab/abcd"), vec![b'y'; PART_BYTES + 1]).unwrap();
    std::fs::write(dir.path().join("blobs/partial/1.0.1.ff"), b"half").unwrap();
    (dir, store)
}

#[test]
fn a_master_comes_back_whole_as_another_incarnation() {
    let (dir, store) = state();
    let there = tempfile::tempdir().unwrap();
    let file = there.path().join("b.guild");
    let held = write(dir.path(), &file).unwrap();
    assert_eq!(held.files, 5);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let restored = there.path().join("state");
    assert_eq!(restore(&file, &restored).unwrap(), held);
    for name in ["identity.key", "logs/1/0.log", "logs/1/1.log", "blobs/sealed/ab/abcd"] {
        assert_eq!(
            std::fs::read(restored.join(name)).unwrap(),
            std::fs::read(dir.path().join(name)).unwrap(),
            "{name}"
        );
    }
    assert!(!restored.join("blobs/partial").exists(), "what is not sealed is sent again");
    let again = Store::open(&restored).unwrap();
    assert_ne!(again.incarnation().unwrap(), store.incarnation().unwrap());
    assert!(!again.is_same_boot(), "log files of a copy are not trusted where they are not sealed");
    let left: Vec<_> = std::fs::read_dir(there.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn nothing_is_overwritten() {
    let (dir, _store) = state();
    let file = dir.path().join("b.guild");
    write(dir.path(), &file).unwrap();
    assert!(matches!(write(dir.path(), &file), Err(BackupError::Exists(_))));
    assert!(matches!(restore(&file, dir.path()), Err(BackupError::Occupied(_))));
}

#[test]
fn what_is_no_backup_or_a_damaged_one_makes_no_master() {
    let (dir, _store) = state();
    let file = dir.path().join("b.guild");
    write(dir.path(), &file).unwrap();
    let target = tempfile::tempdir().unwrap();
    assert!(matches!(restore(&dir.path().join(DATABASE_FILE), target.path()), Err(BackupError::Foreign(_))));
    assert!(matches!(restore(&dir.path().join(IDENTITY_FILE), target.path()), Err(BackupError::Foreign(_))));
    assert!(matches!(restore(&dir.path().join("none"), target.path()), Err(BackupError::File { .. })));
    for damage in [
        "update part set bytes = x'00' where number = 1",
        "delete from part where number = 2",
        "update file set path = '../escaped' where path like 'logs/1/0%'",
        "update file set path = 'lock' where path like 'logs/1/0%'",
        "update file set path = 'blobs/partial/1.0.1.ff' where path like 'logs/1/0%'",
        "delete from file where path = 'guild.db'",
    ] {
        let copy = dir.path().join("damaged");
        std::fs::copy(&file, &copy).unwrap();
        crate::keep::store::tests::alter(&copy, damage);
        assert!(matches!(restore(&copy, target.path()), Err(BackupError::Damaged(_))), "{damage}");
        assert!(!target.path().join(DATABASE_FILE).exists(), "{damage}");
    }
    // and after all that the whole one can still be restored
    restore(&file, target.path()).unwrap();
}
