//! The store compared with a plain model: what is committed can be loaded, listed, read and copied. Another implementation of the
//! store would have to pass these tests too.

pub(crate) mod lane_rows;
mod mark;
pub(crate) mod reporter_rows;
pub(crate) mod rows;
mod test_lanes;
pub(crate) mod test_rows;

pub(crate) use super::sqlite::tests::{alter, numbers};

use super::*;
use crate::decide::coordinator::record::*;
use futures::FutureExt as _;
use rows::{Dice, build, change, event, plan};
use schema::values::{Filter, State, Time};
use std::collections::{BTreeMap, BTreeSet};

/// Returns the reads of a store, on the account of the master itself.
pub(super) fn reading(store: &Store) -> Reading {
    store.readers().of(crate::keep::turns::PROGRAM)
}

/// Returns the result of a future that is ready at once, because a store in memory runs commits and queries inline.
pub(super) fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the store in memory runs inline")
}

pub(super) fn wait<T>(future: impl Future<Output = T>) -> T {
    futures::executor::block_on(future)
}

fn failed(result: Result<(), CommitError>) -> String {
    match result.unwrap_err() {
        CommitError::Failed(why) => why,
        CommitError::Full(_) => panic!("the disk is not full"),
    }
}

pub(super) fn audit(text: &str) -> Record {
    Record::Audit { time: Time(5), by: GrantId(1), text: text.to_owned() }
}

/// `Model` keeps what `load` must return, in the simplest way.
#[derive(Default)]
struct Model {
    builds: BTreeMap<BuildId, BuildRow>,
    plans: BTreeMap<BuildId, schema::values::Plan>,
    jobs: BTreeMap<JobKey, JobRow>,
    attempts: BTreeMap<(JobKey, u16), AttemptRow>,
    steps: BTreeMap<(JobKey, u16, u16), StepRow>,
    grants: BTreeMap<GrantId, GrantRow>,
    workers: BTreeMap<String, WorkerRow>,
    heads: BTreeMap<(String, String), Head>,
    followed: BTreeMap<String, FollowedRow>,
    crons: BTreeMap<CronKey, CronRow>,
    claims: BTreeMap<ClaimKey, ClaimRow>,
    requests: Vec<RequestRow>,
    last_grant: u64,
    last_event: u64,
}

impl Model {
    fn draw(&mut self, dice: &mut Dice) -> Record {
        match dice.below(14) {
            0 => {
                let row = dice.build();
                self.builds.insert(row.id, row.clone());
                Record::Build(row)
            }
            1 => {
                let (build, plan) = (BuildId(1 + dice.below(6)), plan(&format!("j{}", dice.below(9))));
                self.plans.insert(build, plan.clone());
                Record::Plan { build, plan }
            }
            2 => {
                let row = dice.job();
                self.jobs.insert(row.key, row.clone());
                Record::Job(row)
            }
            3 => {
                let row = dice.attempt();
                self.attempts.insert((row.job, row.number), row.clone());
                Record::Attempt(row)
            }
            4 => {
                let row = dice.grant();
                self.last_grant = row.id.0.max(self.last_grant);
                if dice.below(3) == 0 && self.grants.remove(&row.id).is_some() {
                    return Record::GrantForgotten(row.id);
                }
                // the kind and the rights of a grant stay as they were first written
                let known = self.grants.get(&row.id).map(|known| (known.kind, known.what.clone()));
                let (kind, what) = known.unwrap_or_else(|| (row.kind, row.what.clone()));
                self.grants.insert(row.id, GrantRow { kind, what, ..row.clone() });
                Record::Grant(row)
            }
            5 => {
                let row = dice.worker();
                self.workers.insert(row.name.clone(), row.clone());
                Record::Worker(row)
            }
            6 => {
                let row = dice.request();
                self.requests.push(row.clone());
                Record::Request(row)
            }
            7 => {
                let (project, ref_name, head) = dice.head();
                let key = (project.clone(), ref_name.clone());
                match head {
                    Some(head) => {
                        self.heads.insert(key, head.clone());
                        Record::Head(HeadRow { project, ref_name, head })
                    }
                    None => {
                        self.heads.remove(&key);
                        Record::HeadForgotten { project, ref_name }
                    }
                }
            }
            8 => {
                self.last_event += 1;
                Record::Event(event(self.last_event))
            }
            9 => {
                let row = dice.step();
                self.steps.insert((row.key.job, row.key.attempt, row.key.step), row.clone());
                Record::Step(row)
            }
            10 => {
                let row = dice.followed();
                self.followed.insert(row.project.clone(), row.clone());
                Record::Followed(row)
            }
            11 => {
                let row = dice.cron();
                if dice.below(3) == 0 && self.crons.remove(&row.key).is_some() {
                    return Record::CronForgotten(row.key);
                }
                self.crons.insert(row.key.clone(), row.clone());
                Record::Cron(row)
            }
            12 => {
                let row = dice.claim();
                if dice.below(3) == 0 && self.claims.remove(&row.key).is_some() {
                    return Record::ClaimForgotten(row.key);
                }
                self.claims.insert(row.key.clone(), row.clone());
                Record::Claim(row)
            }
            _ => audit("it happened"),
        }
    }

    fn loaded(&self) -> Loaded {
        let open = self.builds.values().filter(|row| row.state != State::Finished);
        let mut numbers = BTreeMap::new();
        for row in self.builds.values() {
            let highest: &mut u32 = numbers.entry(row.project.clone()).or_default();
            *highest = row.number.max(*highest);
        }
        Loaded {
            incarnation: 1,
            builds: open.map(|row| self.loaded_build(row)).collect(),
            grants: self.grants.values().cloned().collect(),
            workers: self.workers.values().cloned().collect(),
            heads: self.heads.iter().map(head_row).collect(),
            followed: self.followed.values().cloned().collect(),
            crons: self.crons.values().cloned().collect(),
            claims: self.claims.values().cloned().collect(),
            requests: self.requests.clone(),
            numbers: numbers.into_iter().collect(),
            last_build: self.builds.keys().max().map_or(0, |id| id.0),
            last_grant: self.last_grant,
            last_event: self.last_event,
        }
    }

    fn loaded_build(&self, row: &BuildRow) -> LoadedBuild {
        let jobs = self.jobs.values().filter(|job| job.key.build == row.id).cloned().collect();
        let mut latest = BTreeMap::new();
        for attempt in self.attempts.values().filter(|attempt| attempt.job.build == row.id) {
            let range = (attempt.job, attempt.number, 0)..=(attempt.job, attempt.number, u16::MAX);
            let steps = self.steps.range(range).map(|(_, row)| row.clone()).collect();
            latest.insert(attempt.job, (attempt.clone(), steps));
        }
        (row.clone(), Ok(self.plans.get(&row.id).cloned()), jobs, latest.into_values().collect())
    }
}

fn head_row(((project, ref_name), head): (&(String, String), &Head)) -> HeadRow {
    HeadRow { project: project.clone(), ref_name: ref_name.clone(), head: head.clone() }
}

#[test]
fn what_was_committed_is_loaded() {
    for seed in 0..60 {
        let store = Store::in_memory(&format!("model-{seed}")).unwrap();
        let (mut dice, mut model) = (Dice(seed), Model::default());
        for _ in 0..12 {
            let batch: Vec<Record> = (0..dice.below(12)).map(|_| model.draw(&mut dice)).collect();
            now(store.commit(batch)).unwrap();
            let mut loaded = store.load().unwrap();
            for (_, _, _, attempts) in &mut loaded.builds {
                attempts.sort_by_key(|(attempt, _)| attempt.job);
            }
            assert_eq!(loaded, model.loaded(), "seed {seed}");
        }
    }
}

#[test]
fn a_batch_is_written_whole_or_not_at_all() {
    let store = Store::in_memory("whole").unwrap();
    now(store.commit(vec![Record::Event(event(1))])).unwrap();
    let why = failed(now(store.commit(vec![Record::Build(build(1)), Record::Event(event(3))])));
    assert_eq!(why, "event 3 cannot follow event 1: the sequence of events would have a gap");
    let again = failed(now(store.commit(vec![Record::Build(build(1)), Record::Event(event(1))])));
    assert!(again.contains("UNIQUE"), "{again}");
    assert_eq!(store.load().unwrap().builds, []);
    now(store.commit(vec![Record::Event(event(2)), Record::Event(event(3))])).unwrap();
    let read = now(reading(&store).events_after(1, 10)).unwrap();
    assert_eq!(read, [event(2), event(3)]);
}

#[test]
fn one_master_owns_a_state_directory_and_hands_it_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert!(!store.is_same_boot());
    wait(store.commit(vec![Record::Build(build(1))])).unwrap();
    let Err(second) = Store::open(dir.path()) else { panic!("two masters") };
    assert!(second.to_string().ends_with("is used by another master: stop it, or use another state directory"));
    // a commit that the writer has got is written, even if nobody waits for it any more
    let mut unheard = Box::pin(store.commit(vec![Record::Build(build(2))]));
    assert!(unheard.as_mut().now_or_never().is_none_or(|done| done.is_ok()));
    drop(unheard);
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert!(store.is_same_boot());
    assert_eq!(store.load().unwrap().last_build, 2);
}

#[test]
fn lists_of_builds_are_what_a_filter_says() {
    let store = Store::in_memory("lists").unwrap();
    let all: Vec<BuildRow> = (1..=60).map(build).collect();
    now(store.commit(all.iter().cloned().map(Record::Build).collect())).unwrap();
    for seed in 0..400 {
        let mut dice = Dice(seed);
        let mut one_of =
            |options: &[&str]| options[usize::try_from(dice.below(options.len() as u64)).unwrap()].to_owned();
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let filter = BuildFilter {
            project: some(one_of(&["", "", "p0", "p1", "none"])),
            allowed: some(one_of(&["", "", "p0", "p0 p1", "p1 none", "none"]))
                .map(|names| names.split(' ').map(str::to_owned).collect()),
            ref_name: some(one_of(&["", "", "refs/heads/main", "topic", "refs/heads/topic", "none"])),
            revision: some(one_of(&["", "", "5"])).map(|_| all[30].stamp.sources[0].revision[..6].to_owned()),
            before: some(one_of(&["", "12"])).map(|number| number.parse().unwrap()),
        };
        let limit = u32::try_from(1 + dice.below(20)).unwrap();
        let wanted = all.iter().rev().filter(|row| matches(&filter, row)).take(limit as usize);
        let wanted: Vec<BuildRow> = wanted.cloned().collect();
        let found = now(reading(&store).builds(filter.clone(), limit)).unwrap();
        assert_eq!(found, wanted, "seed {seed}: {filter:?}");
    }
}

#[test]
fn a_short_name_is_the_branch_that_was_built_else_the_tag() {
    let store = Store::in_memory("short").unwrap();
    let names =
        ["refs/heads/main", "refs/tags/main", "refs/tags/v1", "refs/heads/heads/main", "refs/heads/refs/heads/x"];
    let rows = (1..).zip(names).map(|(number, name)| {
        let mut row = build(number);
        (row.project, row.number) = ("p".to_owned(), u32::try_from(number).unwrap());
        row.stamp.sources[0].ref_name = name.to_owned();
        Record::Build(row)
    });
    now(store.commit(rows.collect())).unwrap();
    let numbers = |name: &str, before: Option<u32>| {
        let filter = BuildFilter {
            project: Some("p".to_owned()),
            ref_name: Some(name.to_owned()),
            before,
            ..BuildFilter::default()
        };
        let found = now(reading(&store).builds(filter, 10)).unwrap();
        found.iter().map(|row| row.number).collect::<Vec<_>>()
    };
    for (name, expected) in
        [("main", 1), ("refs/tags/main", 2), ("v1", 3), ("heads/main", 4), ("refs/heads/refs/heads/x", 5)]
    {
        assert_eq!(numbers(name, None), [expected], "{name}");
    }
    assert!(numbers("heads/v1", None).is_empty() && numbers("refs/heads/v1", None).is_empty());
    assert!(numbers("main", Some(1)).is_empty(), "the page after the branch's last build is empty, and not the tag's");
}

fn matches(filter: &BuildFilter, row: &BuildRow) -> bool {
    let source = &row.stamp.sources[0];
    filter.project.as_ref().is_none_or(|project| *project == row.project)
        && filter.allowed.as_ref().is_none_or(|allowed| allowed.contains(&row.project))
        && filter.ref_name.as_ref().is_none_or(|ref_name| {
            *ref_name == source.ref_name || source.ref_name.strip_prefix("refs/heads/") == Some(ref_name)
        })
        && filter.revision.as_ref().is_none_or(|prefix| source.revision.starts_with(prefix))
        && filter.before.is_none_or(|before| row.number < before)
}

#[test]
fn a_snapshot_holds_open_builds_and_the_newest_of_each_project() {
    let store = Store::in_memory("snapshot").unwrap();
    let rows =
        (1..=8).map(|id| BuildRow { state: if id == 2 { State::Running } else { State::Finished }, ..build(id) });
    let mut batch: Vec<Record> = rows.map(Record::Build).collect();
    let mut dice = Dice(5);
    let job = JobRow { key: JobKey { build: BuildId(2), index: 0 }, attempt: 2, ..dice.job() };
    let step = |attempt| StepRow { key: StepKey { job: job.key, attempt, step: 0 }, ..Dice(6).step() };
    batch.extend([Record::Job(job.clone()), Record::Step(step(1)), Record::Step(step(2)), Record::Event(event(1))]);
    now(store.commit(batch)).unwrap();
    let take = |filter: Filter, allowed: Option<Vec<String>>| now(reading(&store).snapshot(filter, allowed)).unwrap();
    let ids = |snapshot: &Snapshot| snapshot.builds.iter().map(|(row, _, _)| row.id.0).collect::<Vec<_>>();
    let all = take(Filter::default(), None);
    assert_eq!((ids(&all), all.last_event), (vec![2, 7, 8], 1));
    assert_eq!(all.builds[0].2, [(job.clone(), vec![step(2)])], "only the latest attempt's steps");
    assert_eq!(ids(&take(Filter::default(), Some(vec!["p1".to_owned()]))), [7]);
    let one = Filter { projects: vec!["p0".to_owned()], build: 3, ..Filter::default() };
    assert_eq!(ids(&take(one.clone(), None)), [6]);
    assert_eq!(ids(&take(one, Some(vec!["p1".to_owned()]))), [0; 0]);
}

#[test]
fn every_attempt_of_a_job_is_kept_in_order() {
    let store = Store::in_memory("attempts").unwrap();
    let key = JobKey { build: BuildId(1), index: 1 };
    let row = |number| AttemptRow { job: key, number, ..Dice(u64::from(number)).attempt() };
    let other = AttemptRow { job: JobKey { index: 2, ..key }, ..row(9) };
    now(store.commit([row(2), row(1), other, row(3)].map(Record::Attempt).to_vec())).unwrap();
    assert_eq!(now(reading(&store).attempts(key)).unwrap(), [row(1), row(2), row(3)]);
}

#[test]
fn seals_and_changes_are_kept() {
    let store = Store::in_memory("seals").unwrap();
    let key = Dice(8).step().key;
    let seal = SealRow { key, size: 3, hash: [9; 32], bytes: Some(vec![0, 10, 255]) };
    let large = SealRow { key: StepKey { step: 40, ..key }, bytes: None, ..seal.clone() };
    let changes = (0..2).map(|_| Record::Change { build: Some(BuildId(1)), change: change("abc"), time: Time(1) });
    let records = [Record::Seal(seal.clone()), Record::Seal(large.clone())].into_iter().chain(changes).collect();
    now(store.commit(records)).unwrap();
    let (first, second) = (seal.key, large.key);
    assert_eq!(now(reading(&store).seal(first)).unwrap(), Some(seal));
    assert_eq!(now(reading(&store).seal(second)).unwrap(), Some(large));
}

#[test]
fn an_image_is_what_was_committed_so_far() {
    let store = Store::in_memory("image-of").unwrap();
    now(store.commit(vec![Record::Build(build(1)), audit("one")])).unwrap();
    let image = store.image("image").unwrap();
    now(store.commit(vec![Record::Build(build(2))])).unwrap();
    assert_eq!((image.load().unwrap().last_build, store.load().unwrap().last_build), (1, 2));
    now(image.commit(vec![Record::Build(build(3))])).unwrap();
    assert_eq!(image.load().unwrap().incarnation, 1);
}

#[test]
fn a_backup_is_whole_and_begins_another_incarnation() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::open(dir.path()).unwrap();
    wait(store.commit(vec![Record::Build(build(1)), audit("one")])).unwrap();
    let copy = other.path().join(DATABASE_FILE);
    super::copy(dir.path(), &copy).unwrap();
    super::copy(dir.path(), &copy).unwrap_err();
    wait(store.commit(vec![Record::Build(build(2))])).unwrap();
    let restored = Store::open(other.path()).unwrap();
    let (first, again) = (restored.incarnation().unwrap(), store.incarnation().unwrap());
    assert!(first > again, "{first} after {again}");
    assert_eq!(restored.load().unwrap().last_build, 1);
    drop(restored);
    assert_eq!(Store::open(other.path()).unwrap().incarnation().unwrap(), first, "only once");
}

#[test]
#[ignore = "a measurement: cargo test --release -p master --lib commits_per_second -- --ignored --nocapture"]
fn commits_per_second() {
    let dir = tempfile::tempdir_in(".").unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut next = 0;
    for (size, commits) in [(1, 500), (100, 100)] {
        let start = std::time::Instant::now();
        for _ in 0..commits {
            let batch = (0..size).map(|_| {
                next += 1;
                Record::Event(event(next))
            });
            wait(store.commit(batch.collect())).unwrap();
        }
        let seconds = start.elapsed().as_secs_f64();
        let (rate, rows) = (f64::from(commits) / seconds, f64::from(commits * size) / seconds);
        println!("batches of {size}: {rate:.0} commits/s, {rows:.0} rows/s");
    }
}
