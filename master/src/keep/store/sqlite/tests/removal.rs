//! Removals from the store: which rows they leave, and that they can free a full disk.

use super::numbers;
use crate::decide::coordinator::record::*;
use crate::keep::store::tests::rows::build;
use crate::keep::store::tests::{audit, reading, wait};
use crate::keep::store::*;
use rusqlite::Connection;
use schema::values::{State, Time};

fn finished(id: u64) -> Record {
    Record::Build(BuildRow { state: State::Finished, finished: Some(Time(5)), ..build(id) })
}

fn seal(build: u64, index: u32, length: usize) -> Record {
    let key = StepKey { job: JobKey { build: BuildId(build), index }, attempt: 1, step: 0 };
    Record::Seal(SealRow { key, size: length as u64, hash: [0; 32], bytes: Some(vec![b'x'; length]) })
}

fn upload(build: u64, name: &str, project: &str) -> UploadKey {
    let job = JobKey { build: BuildId(build), index: 0 };
    UploadKey { job, attempt: 1, name: name.to_owned(), project: project.to_owned() }
}

fn log_bytes(store: &Store) -> u64 {
    wait(reading(store).log_bytes()).unwrap()
}

fn rows(store: &Store, sql: &'static str) -> u32 {
    u32::try_from(wait(numbers(&reading(store), sql))[0]).unwrap()
}

fn removal(builds: &[u64], logs: &[u64]) -> Removal {
    let logs = logs.iter().map(|id| (BuildId(*id), "too old".to_owned())).collect();
    Removal { builds: builds.iter().map(|id| BuildId(*id)).collect(), logs }
}

fn sweep(store: &Store, build: u64, rows: u32) -> u32 {
    wait(store.sweep(Sweep { unlinked: vec![BuildId(build)], rows, ..Sweep::default() })).unwrap()
}

#[test]
fn a_full_disk_is_freed_by_what_goes() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let old = (1..=40).flat_map(|id| [finished(id), seal(id, 0, 50_000)]);
    wait(store.commit(old.collect())).unwrap();
    // the database may not get another page
    let pages = |it: &mut Connection| it.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0));
    let pages = store.database.writer.run_now(pages).unwrap().unwrap();
    let limit = move |it: &mut Connection| it.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()));
    store.database.writer.run_now(limit).unwrap().unwrap();
    let mut batch = vec![audit(&"x".repeat(200_000))];
    for _ in 0..3 {
        let Err(CommitError::Full(back)) = wait(store.commit(batch)) else { panic!("the disk is full") };
        batch = back;
    }
    wait(store.remove(removal(&[1, 2], &[3, 4, 5]))).unwrap();
    for id in 1..=5 {
        assert!(sweep(&store, id, 50) < 50);
    }
    wait(store.commit(batch)).unwrap();
}

#[test]
fn what_goes_is_gone_at_once_and_swept_little_by_little() {
    let store = Store::in_memory("removal").unwrap();
    let mut batch = vec![finished(1), finished(2)];
    batch.extend((0..30).map(|index| seal(1, index, 100)).chain([seal(2, 0, 100), seal(2, 0, 300)]));
    wait(store.commit(batch)).unwrap();
    assert_eq!(log_bytes(&store), 3_300, "a log that is sealed again is counted once");
    wait(store.remove(removal(&[1], &[]))).unwrap();
    assert_eq!((rows(&store, "select count(*) from builds"), log_bytes(&store)), (1, 300));
    for left in [20, 10, 0] {
        assert_eq!(wait(reading(&store).unswept(9)).unwrap(), [BuildId(1)]);
        assert_eq!(sweep(&store, 1, 10), 10);
        assert_eq!(rows(&store, "select count(*) from logs where build = 1"), left);
    }
    assert!(sweep(&store, 1, 10) < 10);
    assert_eq!(wait(reading(&store).unswept(9)).unwrap(), []);
    assert_eq!((rows(&store, "select count(*) from removals"), log_bytes(&store)), (0, 300));
}

#[test]
fn small_logs_count_for_the_pages_they_give_back() {
    let store = Store::in_memory("removal-bytes").unwrap();
    let logs = (0..10).map(|index| seal(1, index, 64 << 10));
    wait(store.commit([finished(1)].into_iter().chain(logs).collect())).unwrap();
    wait(store.remove(removal(&[1], &[]))).unwrap();
    assert_eq!(sweep(&store, 1, 10), 10);
    assert_eq!(rows(&store, "select count(*) from logs"), 8, "each counts for five rows");
}

#[test]
fn logs_that_went_are_told_with_their_reason_until_the_build_goes() {
    let store = Store::in_memory("removal-reason").unwrap();
    let open = Record::Build(BuildRow { state: State::Running, ..build(2) });
    wait(store.commit(vec![finished(1), seal(1, 0, 100), open, seal(2, 0, 100)])).unwrap();
    let told = |id| wait(reading(&store).logs_removed(BuildId(id))).unwrap();
    assert_eq!((told(1), told(9)), (None, Some(NOT_KEPT.to_owned())));
    wait(store.remove(removal(&[], &[1, 2]))).unwrap();
    assert_eq!(told(1).unwrap(), "the logs of p1/1 were removed by retention: too old");
    assert_eq!((told(2), log_bytes(&store)), (None, 100), "what is not finished stays");
    sweep(&store, 1, 10);
    assert_eq!(rows(&store, "select count(*) from logs where build = 1"), 0);
    assert!(told(1).is_some(), "also when all is swept");
    wait(store.remove(removal(&[1, 2], &[]))).unwrap();
    assert_eq!((told(1), told(2), log_bytes(&store)), (Some(NOT_KEPT.to_owned()), None, 100));
    sweep(&store, 1, 10);
    assert_eq!(rows(&store, "select count(*) from removals"), 0);
}

#[test]
fn logs_are_taken_out_of_the_total_once() {
    let store = Store::in_memory("removal-once").unwrap();
    wait(store.commit(vec![finished(1), seal(1, 0, 100), finished(2), seal(2, 0, 1_000)])).unwrap();
    // the build is removed before its logs are swept
    wait(store.remove(removal(&[], &[1]))).unwrap();
    wait(store.remove(removal(&[], &[1]))).unwrap();
    wait(store.remove(removal(&[1], &[]))).unwrap();
    assert_eq!(log_bytes(&store), 1_000);
}

#[test]
fn a_blob_is_counted_once_and_goes_with_its_last_reference() {
    let store = Store::in_memory("removal-blobs").unwrap();
    let blob = |build, name, project, content: u8| {
        let (size, hash) = (u64::from(content), [content; 32]);
        Record::Blob(BlobRow { key: upload(build, name, project), size, hash, sealed: Time(1) })
    };
    let again = blob(1, "a", "p1", 10);
    let refs =
        vec![blob(1, "a", "p1", 10), again, blob(1, "b", "p1", 10), blob(1, "c", "p1", 20), blob(2, "a", "p0", 10)];
    wait(store.commit([finished(1), finished(2)].into_iter().chain(refs).collect())).unwrap();
    let of = |build, project| wait(reading(&store).blob_usage(upload(build, "", project))).unwrap();
    let usage = of(1, "p1");
    assert_eq!((usage.project, usage.attempt, usage.count), (30, 40, 3), "a project counts the same bytes once");
    assert_eq!(wait(reading(&store).blob_bytes()).unwrap(), 30);
    assert!(wait(reading(&store).blob_of(BuildId(1), [20; 32])).unwrap().is_some());

    wait(store.remove(removal(&[1], &[]))).unwrap();
    assert_eq!(wait(reading(&store).blob_of(BuildId(1), [20; 32])).unwrap(), None, "gone with its build, at once");
    assert_eq!(wait(reading(&store).unreferenced_blobs(9)).unwrap(), Vec::<[u8; 32]>::new());
    sweep(&store, 1, 10);
    assert_eq!(wait(reading(&store).unreferenced_blobs(9)).unwrap(), [[20; 32]], "the other has a reference");
    let gone = Sweep { unlinked_blobs: vec![[10; 32], [20; 32]], rows: 10, ..Sweep::default() };
    assert_eq!(wait(store.sweep(gone)).unwrap(), 1, "what is referred to stays, whoever asks");
    assert_eq!(wait(reading(&store).blob_bytes()).unwrap(), 10);
    assert_eq!((of(1, "p1").project, of(2, "p0").project), (0, 10));
}
