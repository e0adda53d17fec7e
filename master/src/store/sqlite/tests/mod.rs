//! The store against a plain model: what is committed is loaded, listed, chained and copied; what is full or broken says so.

mod grant_rows;
mod lane_rows;
mod removal;
mod reporter_rows;
pub(crate) mod rows;

use super::*;
use crate::coordinator::record::*;
use futures::FutureExt as _;
use query::BuildFilter;
use reporter_rows::reporter;
use rows::{Dice, build, change, event, plan};
use schema::values::{Filter, State, Time};
use std::collections::{BTreeMap, BTreeSet};

/// In memory, commits and queries run where they are called.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the store in memory runs inline")
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    futures::executor::block_on(future)
}

fn sql(store: &Store, text: &'static str) {
    store.writer.run_now(move |connection| connection.execute_batch(text)).unwrap().unwrap();
}

/// How SQLite would answer a question.
pub(super) fn steps_of(store: &Connection, sql: &str) -> String {
    let mut statement = store.prepare(&format!("explain query plan {sql}")).unwrap();
    let unbound = statement.parameter_count();
    let values = vec![rusqlite::types::Null; unbound];
    let rows = statement.query_map(rusqlite::params_from_iter(values), |row| row.get::<_, String>(3)).unwrap();
    rows.map(Result::unwrap).collect::<Vec<_>>().join("; ")
}

fn failed(result: Result<(), CommitError>) -> String {
    match result.unwrap_err() {
        CommitError::Failed(why) => why,
        CommitError::Full(_) => panic!("the disk is not full"),
    }
}

fn audit(text: &str) -> Record {
    Record::Audit { time: Time(5), by: GrantId(1), text: text.to_owned() }
}

/// What `load` must give back, kept the simplest way.
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
    requests: Vec<RequestRow>,
    last_grant: u64,
    last_event: u64,
}

impl Model {
    fn draw(&mut self, dice: &mut Dice) -> Record {
        match dice.below(12) {
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
                self.grants.insert(row.id, row.clone());
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
        (row.clone(), self.plans.get(&row.id).cloned(), jobs, latest.into_values().collect())
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
    assert_eq!(why, "event 3 was to follow event 1: the sequence would have a gap");
    let again = failed(now(store.commit(vec![Record::Build(build(1)), Record::Event(event(1))])));
    assert!(again.contains("UNIQUE"), "{again}");
    assert_eq!(store.load().unwrap().builds, []);
    now(store.commit(vec![Record::Event(event(2)), Record::Event(event(3))])).unwrap();
    let read = now(store.readers().of(crate::turns::PROGRAM).query(|store| query::events(store, 1, 10))).unwrap();
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
    // whoever waits for the commit is gone; what was given to the writer is written nevertheless
    let mut unheard = Box::pin(store.commit(vec![Record::Build(build(2))]));
    assert!(unheard.as_mut().now_or_never().is_none_or(|done| done.is_ok()));
    drop(unheard);
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert!(store.is_same_boot());
    assert_eq!(store.load().unwrap().last_build, 2);
}

#[test]
fn a_commit_is_synced_before_it_answers() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let read = |it: &mut Connection| {
        let mode = it.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0))?;
        let sync = it.pragma_query_value(None, "synchronous", |row| row.get::<_, u32>(0))?;
        Ok::<_, rusqlite::Error>((mode, sync))
    };
    assert_eq!(store.writer.run_now(read).unwrap().unwrap(), ("wal".to_owned(), 2), "2 is FULL");
}

#[test]
fn a_full_disk_heals_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    sql(&store, "pragma max_page_count = 60");
    let (mut sent, mut refused) = (0, 0);
    while sent < 400 {
        let batch = vec![Record::Event(event(sent + 1)), audit(&"x".repeat(1_000))];
        match wait(store.commit(batch.clone())) {
            Ok(()) => sent += 1,
            Err(CommitError::Full(back)) => {
                assert_eq!(back, batch);
                assert_eq!(store.load().unwrap().last_event, sent, "nothing of it was written");
                refused += 1;
                sql(&store, "pragma max_page_count = 100000");
            }
            Err(CommitError::Failed(why)) => panic!("{why}"),
        }
    }
    assert_eq!(refused, 1);
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    let events = wait(store.readers().of(crate::turns::PROGRAM).query(|store| query::events(store, 0, 1_000))).unwrap();
    assert_eq!(events, (1..=400).map(event).collect::<Vec<_>>());
    assert_eq!(store.writer.run_now(|it| verify_audit(it)).unwrap().unwrap(), 400);
}

#[test]
fn a_store_of_the_first_step_goes_on() {
    let mut connection = Connection::open_in_memory().unwrap();
    migrate::migrate_to(&mut connection, 1).unwrap();
    let rows = "insert into builds values (7, 'p', 3, 'r', 'abcd', 'finished', null, '{}', '{}', 'trusted', 1, null, null, \
                '', '', '', 0, 0); insert into numbers values ('p', 3); \
                insert into logs values (7, 0, 1, 0, 40, zeroblob(32), null), (7, 0, 1, 1, 2, zeroblob(32), x'0000'); \
                insert into events values (1, 1, '', 0, '{\"kind\":\"alarm\",\"text\":\"x\"}'); \
                insert into requests values (x'02020202020202020202020202020202', 1, zeroblob(32), '\"done\"', 20); \
                insert into requests values (x'01010101010101010101010101010101', 1, zeroblob(32), '\"done\"', 30);";
    connection.execute_batch(rows).unwrap();
    migrate::migrate(&mut connection).unwrap();
    let loaded = load::load(&connection).unwrap();
    assert_eq!((loaded.last_build, loaded.last_grant, loaded.last_event), (7, 0, 1));
    assert_eq!(loaded.requests.iter().map(|row| row.id.0[0]).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(loaded.numbers, [("p".to_owned(), 3)]);
    commit::commit(&mut connection, vec![Record::Event(event(2)), audit("x")]).unwrap();
    assert_eq!(verify_audit(&connection).unwrap(), 1);
    assert_eq!(ageing::log_bytes(&connection).unwrap(), 42);
}

#[test]
fn a_store_without_reporters_goes_on() {
    let mut connection = Connection::open_in_memory().unwrap();
    migrate::migrate_to(&mut connection, 3).unwrap();
    connection.execute("update counters set value = 1 where name = 'build'", []).unwrap();
    migrate::migrate(&mut connection).unwrap();
    assert_eq!(load::load(&connection).unwrap().last_build, 1);
    assert_eq!(reporters::reporter_names(&connection).unwrap(), Vec::<String>::new());
    let row = reporter("r");
    commit::commit(&mut connection, vec![Record::Reporter(row.clone())]).unwrap();
    assert_eq!(reporters::reporter(&connection, "r").unwrap(), Some(row));
}

#[test]
fn a_store_that_did_not_note_what_it_saw_goes_on() {
    let mut connection = Connection::open_in_memory().unwrap();
    migrate::migrate_to(&mut connection, 5).unwrap();
    let rows = "update meta set value = '77' where name = 'incarnation'; \
                insert into heads values ('p', 'refs/heads/main', 'abcd'), ('p', 'refs/tags/v1', 'ef'), ('q', 'r', 'gh')";
    connection.execute_batch(rows).unwrap();
    migrate::migrate(&mut connection).unwrap();
    let loaded = load::load(&connection).unwrap();
    assert!(loaded.heads.len() == 3 && loaded.heads.iter().all(|row| row.head.is_told && row.head.gone.is_none()));
    let followed = |project: &str| FollowedRow {
        project: project.to_owned(),
        address: String::new(),
        scopes: Vec::new(),
        looked_in: 77,
    };
    assert_eq!(loaded.followed, ["p", "q"].map(followed));
}

/// A master of version 0.1 had no limits for what its peers said.
#[test]
fn a_store_that_holds_too_long_texts_is_cut() {
    let mut connection = Connection::open_in_memory().unwrap();
    migrate::migrate_to(&mut connection, 8).unwrap();
    let rows = "insert into workers (name, by_grant, draining, held, forgotten, last_heard, description) values
          ('many', 1, 0, '', 0, 1, json_object('platform', 'p', 'labels', (with recursive n (i) as
             (select 1 union all select i + 1 from n where i < 100000) select json_group_array(json_array('', '')) from n),
             'total', json_object('slots', 1, 'cpus_milli', 1, 'memory', 1), 'host', 'h', 'version', 'v', 'isolation', json('[]'))),
          ('long', 1, 0, printf('%.*c', 9000, 'h'), 0, 1, json_object('platform', 'p', 'labels', json('[[\"a\",\"b\"]]'),
             'total', json_object('slots', 1, 'cpus_milli', 1, 'memory', 1), 'host', printf('%.*c', 9000, 'h'), 'version', 'v',
             'isolation', json('[\"plain\"]')));
        insert into events values
          (1, 1, 'p', 1, json_object('kind', 'jobFinished', 'job', 'j', 'outcome', 'failed', 'reason', printf('%.*c', 5000000, 'ä'))),
          (2, 1, 'p', 1, json_object('kind', 'jobFinished', 'job', 'j', 'outcome', 'failed', 'reason', 'short')),
          (3, 1, 'p', 1, json_object('kind', 'stepStarted', 'job', 'j', 'attempt', 1, 'step', 1, 'name', printf('%.*c', 90000, 'x')));
        insert into jobs values (1, 0, 'j', 'finished', 'failed', printf('%.*c', 4096, 'x'), 1, 0, null, null, null, 'w', 'p', 0),
                                (1, 1, 'k', 'finished', 'failed', printf('%.*c', 4097, 'x'), 1, 0, null, null, null, 'w', 'p', 0);
        insert into steps values (1, 0, 1, 0, printf('%.*c', 90000, 'x'), 'finished', 'failed',
                                  json_object('lost', printf('%.*c', 90000, 'x')), 1, 1, 0, x'')";
    connection.execute_batch(rows).unwrap();
    let what = "insert into grants values
          (1, null, 'operator', 'root', '{\"may\":[\"view\"],\"projects\":[\"*\"]}', 1, null, null, '', null, null, null),
          (2, 1, 'user', 'huge', json_object('may', json('[\"view\"]'), 'projects', json_array(printf('%.*c', 3000000, 'p'))),
           5, null, null, '', null, null, null)";
    connection.execute_batch(what).unwrap();
    migrate::migrate(&mut connection).unwrap();
    let grants = load::load(&connection).unwrap().grants;
    assert_eq!((grants[0].revoked, grants[1].revoked, grants[1].what.may.len()), (None, Some(Time(5)), 0));
    let events = query::events(&connection, 0, 10).unwrap();
    assert_eq!(events.len(), 3);
    let text = format!("{:?}", events.iter().map(|event| &event.fact).collect::<Vec<_>>());
    assert!(text.len() < 10_000, "{}", text.len());
    assert!(text.contains("bytes in all]") && text.contains("short"));
    let workers = load::load(&connection).unwrap().workers;
    let of = |name: &str| workers.iter().find(|row| row.name == name).unwrap();
    assert_eq!((of("many").description.labels.len(), of("many").description.host.as_str()), (0, "h"));
    assert_eq!((of("long").description.labels.len(), of("long").description.host.len()), (1, 60));
    assert!(of("long").held.len() < 4_096);
    let jobs = query::jobs(&connection, BuildId(1)).unwrap();
    assert_eq!(jobs[0].reason, "x".repeat(4_096), "what is within the limit stays");
    assert!(jobs[1].reason.len() < 4_096 && jobs[1].reason.ends_with("… [cut: 4097 bytes in all]"));
    let steps = query::steps(&connection, BuildId(1)).unwrap();
    assert!(steps[0].name.len() <= 200 && format!("{:?}", steps[0].exit).len() < 4_096);
}

#[test]
fn a_step_that_fails_leaves_the_store_as_it_was() {
    let mut connection = Connection::open_in_memory().unwrap();
    migrate::migrate_to(&mut connection, 1).unwrap();
    // something is in the way of the second step, late in it
    connection.execute_batch("drop index requests_time; create table requests_time (x)").unwrap();
    migrate::migrate(&mut connection).unwrap_err();
    let step: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(step, 1);
    connection.execute_batch("drop table requests_time; create index requests_time on requests (time)").unwrap();
    migrate::migrate(&mut connection).unwrap();
}

#[test]
fn no_number_is_used_again_after_rows_are_deleted() {
    let store = Store::in_memory("counters").unwrap();
    let mut grant = Dice(3).grant();
    grant.id = GrantId(12);
    now(store.commit(vec![Record::Build(build(9)), Record::Event(event(1)), Record::Grant(grant)])).unwrap();
    sql(&store, "delete from builds; delete from events; delete from grants");
    let loaded = store.load().unwrap();
    assert_eq!((loaded.last_build, loaded.last_event, loaded.last_grant), (9, 1, 12));
    assert_eq!(loaded.numbers, [("p1".to_owned(), 5)]);
}

#[test]
fn answers_are_forgotten_when_old_or_too_many() {
    let store = Store::in_memory("answers").unwrap();
    sql(
        &store,
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 100010) insert into requests \
         select i, randomblob(16), 0, zeroblob(32), '\"done\"', case when i <= 5 then 1 else 900000000 end from n",
    );
    let mut row = Dice(1).request();
    row.time = Time(900_000_000);
    now(store.commit(vec![Record::Request(row.clone())])).unwrap();
    let count = |store: &Connection| store.query_row("select count(*) from requests", [], |row| row.get::<_, u32>(0));
    let left = now(store.readers().of(crate::turns::PROGRAM).query(count)).unwrap();
    assert_eq!(left, 100_010 + 1 - 5 - 6, "5 were too old; the rest of 11 too many were swept");
    assert_eq!(store.load().unwrap().requests.last(), Some(&row));
}

#[test]
fn the_audit_chain_shows_what_is_gone_or_altered() {
    let damages = [
        ("", "5 rows"),
        (
            "delete from audit where sequence = 2",
            "the store holds what cannot be read: the audit chain breaks at row 2",
        ),
        (
            "delete from audit where sequence = 1",
            "the store holds what cannot be read: the audit chain breaks at row 1",
        ),
        (
            "delete from audit where sequence = 5",
            "the store holds what cannot be read: the audit chain ends at row 4, and there were more",
        ),
        (
            "delete from audit",
            "the store holds what cannot be read: the audit chain ends at row 0, and there were more",
        ),
        (
            "update audit set text = 'nothing' where sequence = 3",
            "the store holds what cannot be read: the audit chain breaks at row 3",
        ),
        (
            "update audit set time = 6 where sequence = 5",
            "the store holds what cannot be read: the audit chain breaks at row 5",
        ),
        (
            "update audit set by_grant = 2 where sequence = 4",
            "the store holds what cannot be read: the audit chain breaks at row 4",
        ),
    ];
    for (number, (damage, verdict)) in damages.into_iter().enumerate() {
        let store = Store::in_memory(&format!("audit-{number}")).unwrap();
        now(store.commit((0..5).map(|row| audit(&format!("row {row}"))).collect())).unwrap();
        sql(&store, damage);
        let found = match store.writer.run_now(|it| verify_audit(it)).unwrap() {
            Ok(rows) => format!("{rows} rows"),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, verdict, "{damage}");
    }
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
        let asked = filter.clone();
        let found =
            now(store.readers().of(crate::turns::PROGRAM).query(move |store| query::builds(store, &asked, limit)))
                .unwrap();
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
        let found =
            now(store.readers().of(crate::turns::PROGRAM).query(move |store| query::builds(store, &filter, 10)))
                .unwrap();
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
    let take = |filter: Filter, allowed: Option<Vec<String>>| {
        let readers = store.readers().of(crate::turns::PROGRAM);
        now(readers.query(move |store| query::snapshot(store, &filter, allowed.as_deref()))).unwrap()
    };
    let ids = |snapshot: &query::Snapshot| snapshot.builds.iter().map(|(row, _, _)| row.id.0).collect::<Vec<_>>();
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
    assert_eq!(
        now(store.readers().of(crate::turns::PROGRAM).query(move |it| query::attempts(it, key))).unwrap(),
        [row(1), row(2), row(3)]
    );
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
    let readers = store.readers().of(crate::turns::PROGRAM);
    let found = readers.query(move |it| Ok((query::seal(it, first)?, query::seal(it, second)?)));
    assert_eq!(now(found).unwrap(), (Some(seal), Some(large)));
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

#[test]
#[ignore = "a measurement: cargo test -p master --lib a_million_builds -- --ignored --nocapture"]
fn a_million_builds() {
    let dir = tempfile::tempdir_in(".").unwrap();
    let store = Store::open(dir.path()).unwrap();
    sql(
        &store,
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000000) \
         insert into builds select i, 'p' || (i % 20), i / 20 + 1, 'refs/heads/' || (i % 7), \
         lower(hex(randomblob(20))), 'finished', 'succeeded', '{\"sources\":[]}', '\"change\"', 'trusted', i, i, i, \
         's', 'a', '', 1, 1 from n; \
         insert into numbers select project, max(number) from builds group by project; \
         update counters set value = 1000000 where name = 'build'",
    );
    drop(store);
    let start = std::time::Instant::now();
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.load().unwrap().last_build, 1_000_000);
    println!("opened and loaded in {:?}", start.elapsed());
    let some = |text: &str| Some(text.to_owned());
    let project = BuildFilter { project: some("p3"), ..BuildFilter::default() };
    let filters = [
        ("all", BuildFilter::default()),
        ("allowed", BuildFilter { allowed: Some(vec!["p3".to_owned(), "none".to_owned()]), ..BuildFilter::default() }),
        ("project", project.clone()),
        ("project, ref", BuildFilter { ref_name: some("refs/heads/3"), ..project.clone() }),
        ("project, ref that is not there", BuildFilter { ref_name: some("refs/heads/9"), ..project.clone() }),
        ("ref", BuildFilter { ref_name: some("refs/heads/3"), ..BuildFilter::default() }),
        ("revision", BuildFilter { revision: some("abcd"), ..BuildFilter::default() }),
    ];
    for (name, filter) in filters {
        let mut times: Vec<_> = (0..200)
            .map(|_| {
                let (start, filter) = (std::time::Instant::now(), filter.clone());
                wait(store.readers().of(crate::turns::PROGRAM).query(move |store| query::builds(store, &filter, 50)))
                    .unwrap();
                start.elapsed()
            })
            .collect();
        times.sort();
        println!("50 of {name}: p50 {:?}, p95 {:?}", times[100], times[190]);
    }
}

#[tokio::test]
async fn a_read_that_nobody_polls_holds_up_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let readers = store.readers().of(crate::turns::PROGRAM);
    let query = |number: i64| readers.query(move |store| store.query_row("select ?1", [number], |row| row.get(0)));
    let (mut one, mut other) = (Box::pin(query(1)), Box::pin(query(2)));
    assert!(futures::poll!(&mut one).is_pending());
    let _ = futures::poll!(&mut other);
    let last: i64 = tokio::time::timeout(Duration::from_secs(10), query(3)).await.expect("it gets its turn").unwrap();
    assert_eq!((last, one.await.unwrap(), other.await.unwrap()), (3, 1, 2));
}

#[tokio::test]
async fn a_query_that_panics_takes_no_connection_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let readers = Store::open(dir.path()).unwrap().readers().of(crate::turns::PROGRAM);
    for _ in 0..5 {
        assert!(readers.query(|_| -> rusqlite::Result<()> { panic!("as this test wants it") }).await.is_err());
        let answer: i64 = readers.query(|store| store.query_row("select 7", [], |row| row.get(0))).await.unwrap();
        assert_eq!(answer, 7);
    }
}
