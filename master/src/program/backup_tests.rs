//! Backups that are whole, that are refused, that are damaged, or that have paths which they must not have.

use super::*;
use crate::keep::store::Store;
use crate::keep::store::archive::PART_BYTES;
use std::os::unix::fs::PermissionsExt as _;

/// `Harm` damages the file of a log or blob.
type Harm = fn(&Path);

/// Makes the state directory of a running master, with a log of several parts.
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

/// A backup contains the files of projects that were added by a command, because nobody else has a copy of them (T10.3 in
/// `tests/cases.tsv`). A restore replaces no file.
#[test]
fn the_files_of_projects_come_back_and_replace_none() {
    let (dir, _store) = state();
    let [base, again] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let files = [("calc.toml", "[project.calc]"), ("hook.calc", "secret"), ("token.calc", "other")];
    std::fs::create_dir_all(base.path().join("projects/below")).unwrap();
    std::fs::write(base.path().join("projects/below/x"), "not ours").unwrap();
    for (name, text) in files {
        std::fs::write(base.path().join("projects").join(name), text).unwrap();
    }
    let file = base.path().join("b.guild");
    let (held, damage) = write_and_tell(dir.path(), Some(base.path()), &file, false).unwrap();
    assert_eq!((held.files, damage), (8, Vec::new()));
    std::fs::create_dir_all(again.path().join("projects")).unwrap();
    std::fs::write(again.path().join("projects/token.calc"), "newer").unwrap();
    restore_beside(&file, &again.path().join("state"), Some(again.path())).unwrap();
    let read = |name: &str| std::fs::read_to_string(again.path().join("projects").join(name)).unwrap();
    assert_eq!([read("calc.toml"), read("hook.calc"), read("token.calc")], ["[project.calc]", "secret", "newer"]);
    assert!(!again.path().join("projects/below").exists());
    // a restore can leave out the files of projects
    let alone = tempfile::tempdir().unwrap();
    assert_eq!(restore(&file, &alone.path().join("state")).unwrap().files, 5);
    assert!(!alone.path().join("state/projects").exists());
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
    // after all that, the undamaged backup can still be restored
    restore(&file, target.path()).unwrap();
}

/// Makes a state directory whose store names one large log and one blob. Returns their files.
fn sealed_state() -> (tempfile::TempDir, Store, [PathBuf; 2]) {
    use crate::decide::coordinator::record::{BlobRow, BuildId, JobKey, Record, SealRow, StepKey, UploadKey};
    let (dir, store) = state();
    let (log, blob) = (vec![b'l'; 100_000], vec![b'b'; 1_000]);
    let (log_hash, blob_hash) = (*blake3::hash(&log).as_bytes(), *blake3::hash(&blob).as_bytes());
    let job = JobKey { build: BuildId(7), index: 0 };
    let key = StepKey { job, attempt: 1, step: 0 };
    let upload = UploadKey { job, attempt: 1, name: "a".to_owned(), project: "p".to_owned() };
    let rows = vec![
        Record::Seal(SealRow { key, size: 100_000, hash: log_hash, bytes: None }),
        Record::Blob(BlobRow { key: upload, size: 1_000, hash: blob_hash, sealed: schema::values::Time(1) }),
    ];
    futures::executor::block_on(store.commit(rows)).unwrap();
    let files = [crate::keep::logs::path_below(key), crate::keep::blobs::path_below(&blob_hash)];
    let files = files.map(|path| dir.path().join(path));
    for (file, bytes) in files.iter().zip([&log, &blob]) {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
    (dir, store, files)
}

/// A backup with damaged logs or blobs does not replace a good backup, unless a person asks for that (F5 in `tests/cases.tsv`).
#[test]
fn a_backup_of_damaged_logs_is_refused_unless_it_is_wanted() {
    let harms: [(Harm, &str); 3] = [
        (|file| std::fs::write(file, "short").unwrap(), "has 5 of"),
        (|file| std::fs::remove_file(file).unwrap(), "is gone"),
        (
            |file| {
                let mut bytes = std::fs::read(file).unwrap();
                bytes[500] ^= 1;
                std::fs::write(file, bytes).unwrap();
            },
            "its hash differs",
        ),
    ];
    for (harm, told) in harms {
        for which in 0..2 {
            let (dir, _store, files) = sealed_state();
            let output = dir.path().join("b.guild");
            write(dir.path(), &dir.path().join("good.guild")).unwrap();
            harm(&files[which]);
            let refused = write(dir.path(), &output).unwrap_err();
            assert!(matches!(refused, BackupError::Unsound(_)) && refused.to_string().contains(told), "{refused}");
            assert!(!output.exists());
            let (_, damage) = write_and_tell(dir.path(), None, &output, true).unwrap();
            assert!(damage.len() == 1 && damage[0].contains(told), "{damage:?}");
            assert!(output.exists());
        }
    }
}

/// A backup of a damaged store is refused, and the earlier backup stays (F5 in `tests/cases.tsv`).
#[test]
fn a_backup_of_a_damaged_store_is_refused() {
    use std::os::unix::fs::FileExt as _;
    let (dir, store, _) = sealed_state();
    let output = dir.path().join("b.guild");
    futures::executor::block_on(store.close());
    drop(store);
    let file = File::options().read(true).write(true).open(dir.path().join(DATABASE_FILE)).unwrap();
    let pages = file.metadata().unwrap().len() / 4_096;
    // only pages in the middle are damaged, so that the store can still be opened
    for page in pages / 2..pages {
        file.write_all_at(&[0xa5; 4_096], page * 4_096).unwrap();
    }
    let refused = write(dir.path(), &output).unwrap_err();
    assert!(refused.to_string().contains("the store is damaged"), "{refused}");
    assert!(!output.exists());
}

/// After a restore into a directory with the mark of a newer store, the restored store is opened (F4 in `tests/cases.tsv`).
#[test]
fn a_restore_is_taken_where_a_newer_store_was() {
    use crate::decide::coordinator::record::Record;
    use crate::keep::store::tests::rows::event;
    let (dir, store) = state();
    let backup = dir.path().join("b.guild");
    write(dir.path(), &backup).unwrap();
    futures::executor::block_on(store.commit(vec![Record::Event(event(1))])).unwrap();
    drop(store);
    drop(Store::open(dir.path()).unwrap());
    for name in ["guild.db", "guild.db-wal", "guild.db-shm"] {
        let _ = std::fs::remove_file(dir.path().join(name));
    }
    assert!(Store::open(dir.path()).is_err());
    restore(&backup, dir.path()).unwrap();
    assert_eq!(Store::open(dir.path()).unwrap().last_event().unwrap(), 0);
}

/// The new program can back up the store of an earlier version before it has migrated that. People need this before an upgrade.
#[test]
fn a_store_of_an_earlier_version_is_backed_up_as_it_is() {
    for version in ["0.1.0", "0.2.0"] {
        let (dir, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        crate::keep::installation::identity(dir.path()).unwrap();
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/golden/{version}.db"));
        std::fs::copy(golden, dir.path().join(DATABASE_FILE)).unwrap();
        let held = write(dir.path(), &there.path().join("b.guild"));
        assert_eq!(held.unwrap_or_else(|error| panic!("{version}: {error}")).files, 2, "{version}");
    }
}
