//! Checkpoints run beside the commits: the log of the database stays small, a reader only delays that, and a stop leaves one file.

use super::*;
use crate::decide::coordinator::record::Record;
use crate::keep::store::Store;
use crate::keep::store::sqlite::tests::sql;
use crate::keep::store::tests::rows::event;
use crate::keep::store::tests::{audit, wait};

/// The longest wait of a test. It is far longer than a checkpoint takes on a slow machine, so only a test that hangs reaches it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Commits some pages of new rows.
fn commit(store: &Store, number: u64) {
    wait(store.commit(vec![Record::Event(event(number)), audit(&"x".repeat(12_000))])).unwrap();
}

fn pages_of(store: &Store) -> WalPages {
    store.database.writer.run_now(|connection| pages(connection)).unwrap().unwrap()
}

fn wait_until(mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "it does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The log of the database begins again at its start, even if commits never pause.
#[test]
fn the_log_of_the_database_stays_small_under_load() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut most = 0;
    for number in 1..=3_000 {
        commit(&store, number);
        most = pages_of(&store).all.max(most);
    }
    // 15,000 pages were written, and the log was always much shorter
    assert!(most < 12_000, "{most} pages");
    wait_until(|| pages_of(&store).left() < PAGES_DUE);
}

/// While a reader reads, the log cannot begin again at its start, and it does as soon as the reader has ended.
#[test]
fn a_read_that_lasts_delays_the_checkpoint_and_holds_no_commit_up() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    commit(&store, 1);
    let reader = store.database.connector.connect_reader().unwrap();
    reader.execute_batch("begin; select count(*) from events").unwrap();
    let seen = |reader: &Connection| reader.query_row("select count(*) from events", [], |row| row.get::<_, i64>(0));
    (2..=600).for_each(|number| commit(&store, number));
    assert_eq!(seen(&reader).unwrap(), 1, "it still sees what it saw");
    assert!(pages_of(&store).left() >= PAGES_DUE, "nothing was copied over what it sees");
    reader.execute_batch("commit").unwrap();
    let mut number = 600;
    wait_until(|| {
        number += 1;
        commit(&store, number);
        pages_of(&store).all < PAGES_DUE
    });
}

/// After a stop, the database file alone is the whole store (F4 in `tests/cases.tsv`).
#[test]
fn a_stop_leaves_the_whole_store_in_one_file() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::open(dir.path()).unwrap();
    (1..=20).for_each(|number| commit(&store, number));
    wait(store.close());
    let files = ["guild.db", "guild.db-wal"].map(|name| dir.path().join(name));
    assert_eq!(std::fs::metadata(&files[1]).map_or(0, |wal| wal.len()), 0);
    std::fs::copy(&files[0], other.path().join("guild.db")).unwrap();
    assert_eq!(Store::open(other.path()).unwrap().last_event().unwrap(), 20);
    // if the master does not stop after all, the store can still be used
    commit(&store, 21);
}

/// A stop beside a reader waits for a moment only, and loses nothing (F4 in `tests/cases.tsv`).
#[test]
fn a_stop_beside_a_reader_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let reader = store.database.connector.connect_reader().unwrap();
    reader.execute_batch("begin; select count(*) from events").unwrap();
    (1..=20).for_each(|number| commit(&store, number));
    wait(store.close());
    drop((reader, store));
    assert_eq!(Store::open(dir.path()).unwrap().last_event().unwrap(), 20);
}

/// A measurement to run by hand: the time of commits, with checkpoints beside the commits and with SQLite's own within them.
#[test]
#[ignore = "measures"]
fn measure_commits() {
    for own in [true, false] {
        let dir = tempfile::tempdir_in(std::env::var("GUILD_MEASURE").unwrap_or(".".to_owned())).unwrap();
        let store = Store::open(dir.path()).unwrap();
        if own {
            sql(&store, "pragma wal_autocheckpoint = 1000");
        }
        let mut times = Vec::new();
        let mut most = 0;
        for number in 1..=20_000 {
            let began = Instant::now();
            wait(store.commit(vec![Record::Event(event(number)), audit(&"x".repeat(4_000))])).unwrap();
            times.push(began.elapsed());
            most = pages_of(&store).all.max(most);
            std::thread::sleep(Duration::from_micros(500));
        }
        times.sort();
        let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
        let name = if own { "within" } else { "beside" };
        println!("{name}: p50 {:?} p99 {:?} p99.9 {:?} max {:?}; {most} pages", at(0.5), at(0.99), at(0.999), at(1.0));
    }
}
