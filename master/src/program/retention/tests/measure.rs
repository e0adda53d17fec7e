//! Measures the time of retention's passes, and of commits beside them, on a store of 100,000 builds in a file.

use super::history::{attempt, build, job, step};
use super::{NOW, Retain};
use crate::commit::driver::Driver;
use crate::commit::events::Feed;
use crate::config::clock::Clock;
use crate::decide::coordinator::record::*;
use crate::decide::coordinator::{Coordinator, Terms};
use crate::keep::blobs::Blobs;
use crate::keep::logs::Logs;
use crate::keep::store::Store;
use crate::program::retention::{BREATH, Passed, Retention};
use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

const BUILDS: u64 = 100_000;
/// The size of a small log in bytes. Its bytes are in the store.
const LOG: usize = 8 << 10;
/// One of this many builds has a log that is a file.
const FILES: u64 = 20;

#[test]
#[ignore = "a measurement: cargo test --release -p master --lib a_store_of_100_000_builds -- --ignored --nocapture"]
fn a_store_of_100_000_builds() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(tokio::task::LocalSet::new().run_until(measure()));
}

async fn measure() {
    let dir = tempfile::tempdir().unwrap();
    let (store, readers) = fill(dir.path()).await;
    let it = Coordinator::load(NOW, Terms::default(), store.load().unwrap(), [0; 32]);
    let feed = Rc::new(Feed::new(readers.clone(), 1, store.last_event().unwrap()));
    let readers = readers.of(crate::keep::turns::PROGRAM);
    let driver = Driver::new(it, store, feed, Clock::anchored(NOW));
    driver.start(Box::new(|_| ()));
    let seals = Box::new(crate::program::wiring::StoredSeals(readers.clone()));
    let logs = Rc::new(Logs::open(dir.path(), 1 << 20, true, seals).unwrap());
    let index = Box::new(crate::program::wiring::StoredBlobs(readers.clone()));
    let blobs = Rc::new(Blobs::open(dir.path(), u64::MAX, true, false, index).unwrap());
    commits(&driver, "without passes", &Cell::new(false)).await;
    let done = Cell::new(false);
    let mut retention = Retention::new(Retain::default(), driver.clone(), readers, logs, blobs);
    let passes = async {
        pass_all(&mut retention).await;
        done.set(true);
    };
    futures::future::join(passes, commits(&driver, "beside passes", &done)).await;
    size(dir.path(), "after");
}

/// Runs passes as `Retention::keep` does, but without its pauses (`BREATH`).
async fn pass_all(retention: &mut Retention) {
    let (begin, mut took) = (Instant::now(), Vec::new());
    loop {
        let start = Instant::now();
        let passed = retention.pass().await.unwrap();
        took.push(start.elapsed());
        if passed == Passed::Done {
            break;
        }
        tokio::time::sleep(BREATH / 10).await;
    }
    println!("{} passes in {:?}: {}", took.len(), begin.elapsed(), spread(took));
}

/// Makes small commits, 2 ms apart, until `done` is set, or 2,000 of them. Prints their times.
async fn commits(driver: &Driver, what: &str, done: &Cell<bool>) {
    let mut took = Vec::new();
    while !done.get() && (what == "beside passes" || took.len() < 2_000) {
        let start = Instant::now();
        let head = ("r".to_owned(), format!("{:040}", took.len()));
        driver.apply(|it, _| it.see_refs("p", vec![head])).await.unwrap();
        took.push(start.elapsed());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    println!("{} commits {what}: {}", took.len(), spread(took));
}

fn spread(mut took: Vec<Duration>) -> String {
    took.sort();
    let at = |part: usize| took[(took.len() - 1) * part / 1_000];
    format!("p50 {:?}, p99 {:?}, p99.9 {:?}, longest {:?}", at(500), at(990), at(999), at(1_000))
}

async fn fill(dir: &Path) -> (Store, crate::keep::store::Readers) {
    let store = Store::open(dir).unwrap();
    for first in (1..=BUILDS).step_by(2_000) {
        store.commit((first..first + 2_000).flat_map(|id| rows(dir, id)).collect()).await.unwrap();
    }
    size(dir, "before");
    let readers = store.readers();
    (store, readers)
}

/// Returns the records of one build: 10 rows, and 2 rows in other tables of the store.
fn rows(dir: &Path, id: u64) -> Vec<Record> {
    let row = build(id, &format!("p{}", id % 4), u32::try_from(id / 4 + 1).unwrap(), "refs/heads/main");
    let plan = schema::values::Plan { version: 1, jobs: Vec::new(), trust: schema::values::Trust::Trusted };
    let mut records = vec![Record::Build(row), Record::Plan { build: BuildId(id), plan }];
    for index in 0..2 {
        let key = StepKey { job: JobKey { build: BuildId(id), index }, attempt: 1, step: 0 };
        let is_file = index == 0 && id.is_multiple_of(FILES);
        let size = if is_file { 100_000 } else { LOG as u64 };
        let bytes = (!is_file).then(|| vec![b'x'; LOG]);
        if is_file {
            super::passes::write_log(dir, key, size);
        }
        records.extend([Record::Job(job(key.job)), Record::Attempt(attempt(key)), Record::Step(step(key))]);
        records.push(Record::Seal(SealRow { key, size, hash: [0; 32], bytes }));
    }
    records
}

fn size(dir: &Path, when: &str) {
    let bytes = std::fs::metadata(dir.join(crate::keep::store::DATABASE_FILE)).unwrap().len();
    println!("{when}: the database has {} MiB", bytes >> 20);
}
