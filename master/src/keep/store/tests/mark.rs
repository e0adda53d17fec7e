//! A store that was lost, emptied or replaced is refused, and each valid store is opened (F4 in `tests/cases.tsv`).

use super::wait;
use crate::decide::coordinator::record::Record;
use crate::keep::store::mark::{self, MARK_FILE};
use crate::keep::store::tests::rows::event;
use crate::keep::store::{Store, StoreError};
use std::fs::File;
use std::path::Path;
use tempfile::TempDir;

/// Makes the directory of a master that ran and stopped, with this many events.
fn stopped(events: u64) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (1..=events).for_each(|number| wait(store.commit(vec![Record::Event(event(number))])).unwrap());
    wait(store.close());
    std::fs::create_dir_all(dir.path().join("mirrors/demo")).unwrap();
    drop(store);
    // this writes the mark, which the thread of the checkpoints would write a second after a commit
    let store = Store::open(dir.path()).unwrap();
    wait(store.close());
    dir
}

fn refusal(dir: &Path) -> String {
    match Store::open(dir) {
        Ok(_) => panic!("it was taken"),
        Err(error @ StoreError::Lost { .. }) => error.to_string(),
        Err(error) => panic!("{error}"),
    }
}

fn remove(dir: &Path, names: &[&str]) {
    names.iter().for_each(|name| drop(std::fs::remove_file(dir.join(name))));
}

#[test]
fn a_store_that_is_gone_is_refused_with_the_way_out() {
    let dir = stopped(3);
    remove(dir.path(), &["guild.db", "guild.db-wal", "guild.db-shm"]);
    let text = refusal(dir.path());
    assert!(text.contains("its store is missing") && text.contains("guild-master restore"), "{text}");
    assert!(text.contains("guild-master begin-anew"), "{text}");
    assert!(!dir.path().join("guild.db").exists(), "and none was made");
    // this also holds if an older version left no mark
    remove(dir.path(), &[MARK_FILE]);
    assert!(refusal(dir.path()).contains("its store is missing"));
}

#[test]
fn a_store_that_is_empty_or_no_database_is_refused() {
    let dir = stopped(3);
    let path = dir.path().join("guild.db");
    let whole = std::fs::read(&path).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    assert!(refusal(dir.path()).contains("its store is empty"));
    std::fs::write(&path, [&[0; 16][..], &whole[16..]].concat()).unwrap();
    assert!(refusal(dir.path()).contains("is not a database"));
    std::fs::write(&path, &whole[..10]).unwrap();
    assert!(refusal(dir.path()).contains("is not a database"));
    std::fs::write(&path, whole).unwrap();
    assert_eq!(Store::open(dir.path()).unwrap().last_event().unwrap(), 3);
}

#[test]
fn an_older_store_and_one_of_another_master_are_refused() {
    let dir = stopped(3);
    let older = std::fs::read(dir.path().join("guild.db")).unwrap();
    let store = Store::open(dir.path()).unwrap();
    wait(store.commit(vec![Record::Event(event(4))])).unwrap();
    wait(store.close());
    drop(store);
    drop(Store::open(dir.path()).unwrap());
    std::fs::write(dir.path().join("guild.db"), older).unwrap();
    remove(dir.path(), &["guild.db-wal", "guild.db-shm"]);
    assert!(
        refusal(dir.path()).contains("is too old: it ends with event 3, but this master had already written event 4")
    );
    std::fs::copy(stopped(9).path().join("guild.db"), dir.path().join("guild.db")).unwrap();
    assert!(refusal(dir.path()).contains("belongs to another master"));
    mark::forget(dir.path()).unwrap();
    assert_eq!(Store::open(dir.path()).unwrap().last_event().unwrap(), 9, "somebody said that it shall be so");
}

/// A store is refused if the log of its database was removed after a kill, for example by a person who cleans up.
#[test]
fn a_store_without_its_log_is_refused() {
    let (dir, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::open(dir.path()).unwrap();
    wait(store.commit(vec![Record::Event(event(1))])).unwrap();
    let is_marked = || std::fs::read_to_string(dir.path().join(MARK_FILE)).unwrap().trim_end().ends_with("01");
    while !is_marked() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // this is what a kill leaves, without the log
    for name in ["guild.db", MARK_FILE] {
        std::fs::copy(dir.path().join(name), killed.path().join(name)).unwrap();
    }
    assert!(refusal(killed.path()).contains("its store"));
    std::fs::copy(dir.path().join("guild.db-wal"), killed.path().join("guild.db-wal")).unwrap();
    assert_eq!(Store::open(killed.path()).unwrap().last_event().unwrap(), 1);
}

#[test]
fn what_a_new_master_or_a_power_cut_leaves_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path()).unwrap());
    drop(Store::open(dir.path()).unwrap());
    for text in ["", "\0\0\0\0", "guild-store-1 00"] {
        std::fs::write(dir.path().join(MARK_FILE), text).unwrap();
        drop(Store::open(dir.path()).unwrap());
        assert!(std::fs::read_to_string(dir.path().join(MARK_FILE)).unwrap().starts_with("guild-store-1 "));
    }
    // an empty file is left if the first start ends before the database has a page
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("guild.db"), "").unwrap();
    drop(Store::open(dir.path()).unwrap());
}
