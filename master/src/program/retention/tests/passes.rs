//! Whole passes of retention, on a store in memory and files on disk, with crashes and full disks between them.

use super::history::{World, build, job};
use super::{NOW, retain};
use crate::commit::driver::Driver;
use crate::commit::events::{Batch, Feed};
use crate::config::Retain;
use crate::config::clock::Clock;
use crate::decide::coordinator::record::*;
use crate::decide::coordinator::{Coordinator, Past, Request, Terms};
use crate::keep::blobs::Blobs;
use crate::keep::logs::Logs;
use crate::keep::store::tests::numbers;
use crate::keep::store::tests::rows::Dice;
use crate::keep::store::{Readers, Store, Weather};
use crate::keep::turns::PROGRAM;
use crate::program::retention::policy::GRACE;
use crate::program::retention::{BUILDS, Passed, ROWS, Retention};
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use schema::values::{Cursor, JobPlan, Plan, State, Trust};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;

/// `Place` is a state directory whose master may crash.
pub(super) struct Place {
    name: String,
    pub(super) dir: tempfile::TempDir,
    /// Readers of the store, which keep the database in memory alive.
    readers: Readers,
    pub(super) full: Rc<Cell<bool>>,
}

struct Sky(Rc<Cell<bool>>);

impl Weather for Sky {
    fn before(&self) -> LocalBoxFuture<'_, bool> {
        Box::pin(std::future::ready(self.0.get()))
    }

    fn after(&self) -> LocalBoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// Returns the result of a future that is ready at once, because everything runs inline here.
pub(super) fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing to wait for")
}

impl Place {
    pub(super) fn new(name: String, records: Vec<Record>) -> Place {
        let store = Store::in_memory(&name).unwrap();
        let dir = tempfile::tempdir().unwrap();
        for record in &records {
            if let Record::Seal(SealRow { key, size, bytes: None, .. }) = record {
                write_log(dir.path(), *key, *size);
            }
        }
        now(store.commit(records)).unwrap();
        let readers = store.readers();
        Place { name, dir, readers, full: Rc::default() }
    }

    /// Starts a master, and returns its retention.
    pub(super) fn start(&self, retain: Retain) -> Retention {
        let store = Store::in_memory(&self.name).unwrap().under(Sky(self.full.clone()));
        let it = Coordinator::load(NOW, Terms::default(), store.load().unwrap(), [0; 32]);
        let readers = store.readers();
        let feed = Rc::new(Feed::new(readers.clone(), 1, store.last_event().unwrap()));
        let readers = readers.of(PROGRAM);
        let seals = Box::new(crate::program::wiring::StoredSeals(readers.clone()));
        let logs = Rc::new(Logs::open_inline(self.dir.path(), 1 << 20, true, seals).unwrap());
        let driver = Driver::new(it, store, feed, Clock::anchored(NOW));
        let index = Box::new(crate::program::wiring::StoredBlobs(readers.clone()));
        let blobs = Rc::new(Blobs::open(self.dir.path(), u64::MAX, true, true, index).unwrap());
        Retention::new(retain, driver, readers, logs, blobs)
    }

    pub(super) fn count(&self, sql: &'static str) -> u64 {
        now(numbers(&self.readers.of(PROGRAM), sql))[0] as u64
    }

    pub(super) fn referenced(&self, hashes: Vec<[u8; 32]>) -> BTreeSet<[u8; 32]> {
        now(self.readers.of(PROGRAM).referenced_blobs(hashes)).unwrap()
    }

    pub(super) fn numbers(&self, sql: &'static str) -> BTreeSet<BuildId> {
        now(numbers(&self.readers.of(PROGRAM), sql)).into_iter().map(|id| BuildId(id as u64)).collect()
    }

    /// Returns the builds that have a directory with logs.
    fn on_disk(&self) -> BTreeSet<BuildId> {
        let groups = std::fs::read_dir(self.dir.path().join("logs")).unwrap();
        let dirs = groups.flat_map(|group| std::fs::read_dir(group.unwrap().path()).unwrap());
        dirs.map(|dir| BuildId(dir.unwrap().file_name().to_string_lossy().parse().unwrap())).collect()
    }
}

pub(super) fn write_log(state: &Path, key: StepKey, size: u64) {
    let build = key.job.build.0;
    let dir = state.join(format!("logs/{}/{build}", build / 1_000));
    std::fs::create_dir_all(&dir).unwrap();
    let file = std::fs::File::create(dir.join(format!("{}.{}.{}.log", key.job.index, key.attempt, key.step))).unwrap();
    file.set_len(size).unwrap();
}

/// Runs passes until nothing is left to do, and returns their number. Checks that each pass removes a bounded number of rows.
pub(super) fn pass_all(place: &Place, retention: &mut Retention) -> u32 {
    for passes in 1..10_000 {
        let (builds, rows) = (place.count("select count(*) from builds"), place.count(ROWS_OF_BUILDS));
        let passed = now(retention.pass()).unwrap();
        assert!(builds - place.count("select count(*) from builds") <= u64::from(BUILDS));
        assert!(rows - place.count(ROWS_OF_BUILDS) <= u64::from(ROWS), "a pass took {rows} rows");
        if passed == Passed::Done {
            return passes;
        }
    }
    panic!("retention never ends");
}

const ROWS_OF_BUILDS: &str = "select (select count(*) from jobs) + (select count(*) from steps) + \
                              (select count(*) from attempts) + (select count(*) from logs) + \
                              (select count(*) from plans) + (select count(*) from changes) + (select count(*) from events)";

#[test]
fn random_histories_keep_what_must_stay_and_nothing_else() {
    let mut went = 0;
    for seed in 0..60 {
        let mut dice = Dice(seed);
        let world = World::draw(&mut dice, 80);
        let place = Place::new(format!("retention-{seed}"), world.records());
        let mut retention = place.start(retain());
        for _ in 0..dice.below(12) {
            // the master crashes between two passes, or the disk is full during one
            place.full.set(dice.below(3) == 0);
            now(retention.pass()).unwrap();
            if dice.below(3) == 0 {
                retention = place.start(retain());
            }
        }
        place.full.set(false);
        pass_all(&place, &mut retention);
        // once more from the beginning, because a build to which another referred may have been passed before that was removed
        pass_all(&place, &mut retention);
        went += check(seed, &place, &world);
    }
    assert!(went > 400, "the histories are too poor: {went} builds went");
}

fn check(seed: u64, place: &Place, world: &World) -> usize {
    let going: BTreeSet<BuildId> =
        ["p0", "p1"].iter().flat_map(|project| world.going(project, retain().builds)).collect();
    let stay: BTreeSet<BuildId> =
        world.builds.iter().map(|build| build.row.id).filter(|id| !going.contains(id)).collect();
    assert_eq!(place.numbers("select id from builds"), stay, "seed {seed}");
    for sql in
        ["select build from jobs", "select build from plans", "select build from changes where build is not null"]
    {
        assert!(place.numbers(sql).is_subset(&stay), "seed {seed}: {sql} of what is gone");
    }
    let logged = place.numbers("select build from logs");
    for sql in ["select build from steps", "select build from attempts"] {
        assert!(place.numbers(sql).is_subset(&stay), "seed {seed}: {sql} of what is gone");
    }
    let wanted: BTreeSet<BuildId> = logs_that_stay(world, &stay);
    assert_eq!(logged, wanted, "seed {seed}");
    assert!(place.on_disk().is_subset(&wanted), "seed {seed}: files without a log");
    let files: BTreeSet<BuildId> = place.numbers("select build from logs where bytes is null");
    assert_eq!(place.on_disk(), files, "seed {seed}: logs without a file");
    let counted = place.count("select value from counters where name = 'log-bytes'");
    assert_eq!(counted, place.count("select coalesce(sum(size), 0) from logs"), "seed {seed}");
    assert!(place.numbers("select build from removals").is_subset(&stay), "seed {seed}: all is swept");
    assert_eq!(place.count("select count(*) from removals where swept = 0"), 0, "seed {seed}");
    let told = place.numbers("select build from removals");
    assert!(told.is_disjoint(&logged), "seed {seed}: logs that are there are not told as removed");
    going.len()
}

/// Returns the builds whose logs stay: old logs are removed, and then the oldest until the rest fits the limit.
fn logs_that_stay(world: &World, stay: &BTreeSet<BuildId>) -> BTreeSet<BuildId> {
    let kept = world.builds.iter().filter(|build| stay.contains(&build.row.id) && !build.logs.is_empty());
    let bytes = |build: &super::history::Past| build.logs.iter().map(|log| log.size).sum::<u64>();
    let mut total: u64 = kept.clone().map(bytes).sum();
    let mut left = BTreeSet::new();
    for build in kept {
        let ago = build.row.finished.map(|finished| NOW.since(finished)).filter(|ago| *ago > GRACE);
        if ago.is_some_and(|ago| ago > retain().logs || total > retain().log_bytes_total) {
            total -= bytes(build);
        } else {
            left.insert(build.row.id);
        }
    }
    left
}

/// Returns the records of this many finished builds of one ref, each with three jobs.
fn many(count: u64) -> Vec<Record> {
    let rows = (1..=count).map(|id| build(id, "p", u32::try_from(id).unwrap(), "refs/heads/main"));
    let with_jobs = rows.flat_map(|row| {
        let jobs = (0..3).map(|index| Record::Job(job(JobKey { build: row.id, index }))).collect::<Vec<_>>();
        std::iter::once(Record::Build(row)).chain(jobs)
    });
    with_jobs.collect()
}

#[test]
fn a_pass_is_bounded_and_passes_come_to_an_end() {
    let place = Place::new("retention-bounded".to_owned(), many(600));
    let mut retention = place.start(retain());
    let passes = pass_all(&place, &mut retention);
    assert!(passes > 6, "595 builds and 1,785 jobs went in {passes} passes");
    assert_eq!(place.numbers("select id from builds"), (596..=600).map(BuildId).collect());
    assert_eq!(place.count("select count(*) from jobs"), 15);
    // the last number stays, so it is never given again
    assert_eq!(place.count("select number from numbers"), 600);
    assert_eq!(pass_all(&place, &mut retention), 2, "nothing is left to do");
}

#[test]
fn a_build_that_carries_jobs_of_a_removed_one_is_removed_with_it_in_one_look() {
    let mut records = many(20);
    let mut carrier = job(JobKey { build: BuildId(10), index: 7 });
    carrier.carried_from = 3;
    records.push(Record::Job(carrier));
    let place = Place::new("retention-carriers".to_owned(), records);
    pass_all(&place, &mut place.start(retain()));
    assert_eq!(place.numbers("select id from builds"), (16..=20).map(BuildId).collect());
}

#[test]
fn a_full_disk_removes_nothing_ends_nothing_and_heals() {
    let place = Place::new("retention-full".to_owned(), many(20));
    let mut retention = place.start(retain());
    place.full.set(true);
    for _ in 0..5 {
        assert_eq!(now(retention.pass()).unwrap(), Passed::Blocked);
    }
    assert!(retention.driver.failure().now_or_never().is_none(), "a full disk ends no process");
    assert_eq!(place.count("select count(*) from builds"), 20);
    place.full.set(false);
    pass_all(&place, &mut retention);
    assert_eq!(place.count("select count(*) from builds"), 5);
}

#[test]
fn while_a_retry_is_not_committed_no_build_goes() {
    let place = Place::new("retention-retry".to_owned(), many(20));
    let mut retention = place.start(retain());
    let plan = Plan { version: 1, jobs: vec![JobPlan::default()], trust: Trust::Trusted };
    let past = Past { row: build(3, "p", 3, "refs/heads/main"), plan, jobs: Vec::new(), removals: 0 };
    let request = Request { id: RequestId([1; 16]), by: GrantId(1), body: [0; 32] };
    // this driver was not started, so it never commits the retry
    retention.driver.note(|it, now| {
        it.retry(now, request, "somebody", past, &[0]).unwrap();
    });
    assert_eq!(now(retention.pass()).unwrap(), Passed::Blocked);
    assert_eq!(place.count("select count(*) from builds"), 20);
}

#[test]
fn an_unfinished_build_stays_whatever_its_age() {
    let mut records = many(20);
    for record in &mut records {
        if let Record::Build(row) = record
            && row.id.0 == 2
        {
            (row.state, row.finished) = (State::Running, None);
        }
    }
    let place = Place::new("retention-unfinished".to_owned(), records);
    pass_all(&place, &mut place.start(retain()));
    let stay: BTreeSet<BuildId> = (16..=20).chain([2]).map(BuildId).collect();
    assert_eq!(place.numbers("select id from builds"), stay);
}

#[test]
fn a_cursor_older_than_the_events_gets_a_gap_and_goes_on() {
    let mut records = Vec::new();
    for sequence in 1..=20 {
        let fact = schema::values::Fact::Alarm { text: "x".to_owned() };
        let ago = if sequence <= 15 { 2 * GRACE.as_millis() as u64 } else { 0 };
        let time = schema::values::Time(NOW.0 - ago);
        records.push(Record::Event(schema::values::Event {
            sequence,
            time,
            origin: None,
            project: String::new(),
            build: 0,
            fact,
        }));
    }
    let place = Place::new("retention-events".to_owned(), records);
    pass_all(&place, &mut place.start(retain()));
    let feed = Feed::new(place.readers.clone(), 1, 20);
    let cursor = Cursor { incarnation: 1, after: 3 };
    let gap = now(feed.next(PROGRAM, cursor, 100)).unwrap();
    assert!(matches!(gap, Batch::Gap { first: 4, last: 15 }), "{gap:?}");
    let rest = now(feed.next(PROGRAM, gap.end(1), 100)).unwrap();
    assert_eq!(rest.events().iter().map(|event| event.sequence).collect::<Vec<_>>(), (16..=20).collect::<Vec<_>>());
    // the next event still gets the next number
    let store = Store::in_memory(&place.name).unwrap();
    assert_eq!(store.load().unwrap().last_event, 20);
}
