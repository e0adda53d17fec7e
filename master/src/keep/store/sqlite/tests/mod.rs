//! Tests of what only SQLite has: the steps of its schema, full disks, statements, and rows that were changed behind the store.

mod grant_rows;
mod old_lanes;
mod removal;
mod test_names;

use super::*;
use crate::decide::coordinator::record::*;
use crate::keep::store::tests::reporter_rows::reporter;
use crate::keep::store::tests::rows::{Dice, build, event};
use crate::keep::store::tests::{audit, now, reading, wait};
use crate::keep::store::{BuildFilter, Reading, Store};
use futures::FutureExt as _;
use schema::values::Time;
use std::sync::mpsc;
use std::time::Duration;

/// The longest wait of a test. It is far longer than a read takes on a slow machine, so only a test that hangs reaches it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Changes the rows of an open store behind its back.
pub(super) fn sql(store: &Store, text: &'static str) {
    store.database.writer.run_now(move |connection| connection.execute_batch(text)).unwrap().unwrap();
}

/// Changes a database file of any kind.
pub(crate) fn alter(file: &Path, text: &str) {
    Connection::open(file).unwrap().execute_batch(text).unwrap();
}

/// Returns the first column of all rows that a query has.
pub(crate) async fn numbers(readers: &Reading, sql: &'static str) -> Vec<i64> {
    let read = readers.ask(move |store| {
        let mut statement = store.0.prepare(sql)?;
        statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()
    });
    read.await.unwrap()
}

/// Returns the plan by which SQLite would run a query.
pub(super) fn steps_of(store: &Connection, sql: &str) -> String {
    let mut statement = store.prepare(&format!("explain query plan {sql}")).unwrap();
    let unbound = statement.parameter_count();
    let values = vec![rusqlite::types::Null; unbound];
    let rows = statement.query_map(rusqlite::params_from_iter(values), |row| row.get::<_, String>(3)).unwrap();
    rows.map(Result::unwrap).collect::<Vec<_>>().join("; ")
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
    assert_eq!(store.database.writer.run_now(read).unwrap().unwrap(), ("wal".to_owned(), 2), "2 is FULL");
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
    let events = wait(reading(&store).events_after(0, 1_000)).unwrap();
    assert_eq!(events, (1..=400).map(event).collect::<Vec<_>>());
    assert_eq!(wait(reading(&store).verify_audit()).unwrap(), 400);
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
    let loaded = load::load(Tables(&connection)).unwrap();
    assert_eq!((loaded.last_build, loaded.last_grant, loaded.last_event), (7, 0, 1));
    assert_eq!(loaded.requests.iter().map(|row| row.id.0[0]).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(loaded.numbers, [("p".to_owned(), 3)]);
    commit::commit(&mut connection, vec![Record::Event(event(2)), audit("x")]).unwrap();
    assert_eq!(Tables(&connection).verify_audit().unwrap(), 1);
    assert_eq!(Tables(&connection).log_bytes().unwrap(), 42);
}

#[test]
fn a_store_without_reporters_goes_on() {
    let mut connection = Connection::open_in_memory().unwrap();
    migrate::migrate_to(&mut connection, 3).unwrap();
    connection.execute("update counters set value = 1 where name = 'build'", []).unwrap();
    migrate::migrate(&mut connection).unwrap();
    assert_eq!(load::load(Tables(&connection)).unwrap().last_build, 1);
    assert_eq!(Tables(&connection).reporter_names().unwrap(), Vec::<String>::new());
    let row = reporter("r");
    commit::commit(&mut connection, vec![Record::Reporter(row.clone())]).unwrap();
    assert_eq!(Tables(&connection).reporter("r").unwrap(), Some(row));
}

#[test]
fn a_store_that_did_not_note_what_it_saw_goes_on() {
    let mut connection = Connection::open_in_memory().unwrap();
    migrate::migrate_to(&mut connection, 5).unwrap();
    let rows = "update meta set value = '77' where name = 'incarnation'; \
                insert into heads values ('p', 'refs/heads/main', 'abcd'), ('p', 'refs/tags/v1', 'ef'), ('q', 'r', 'gh')";
    connection.execute_batch(rows).unwrap();
    migrate::migrate(&mut connection).unwrap();
    let loaded = load::load(Tables(&connection)).unwrap();
    assert!(loaded.heads.len() == 3 && loaded.heads.iter().all(|row| row.head.is_told && row.head.gone.is_none()));
    let followed = |project: &str| FollowedRow {
        project: project.to_owned(),
        address: String::new(),
        scopes: Vec::new(),
        looked_in: 77,
    };
    assert_eq!(loaded.followed, ["p", "q"].map(followed));
}

/// A store of version 0.1 may have texts of any length, because that master had no limits. Its texts are cut when it is opened.
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
    let grants = load::load(Tables(&connection)).unwrap().grants;
    assert_eq!((grants[0].revoked, grants[1].revoked, grants[1].what.may.len()), (None, Some(Time(5)), 0));
    let events = Tables(&connection).events_after(0, 10).unwrap();
    assert_eq!(events.len(), 3);
    let text = format!("{:?}", events.iter().map(|event| &event.fact).collect::<Vec<_>>());
    assert!(text.len() < 10_000, "{}", text.len());
    assert!(text.contains("bytes in all]") && text.contains("short"));
    let workers = load::load(Tables(&connection)).unwrap().workers;
    let of = |name: &str| workers.iter().find(|row| row.name == name).unwrap();
    assert_eq!((of("many").description.labels.len(), of("many").description.host.as_str()), (0, "h"));
    assert_eq!((of("long").description.labels.len(), of("long").description.host.len()), (1, 60));
    assert!(of("long").held.len() < 4_096);
    let jobs = Tables(&connection).jobs(BuildId(1)).unwrap();
    assert_eq!(jobs[0].reason, "x".repeat(4_096), "what is within the limit stays");
    assert!(jobs[1].reason.len() < 4_096 && jobs[1].reason.ends_with("… [cut: 4097 bytes in all]"));
    let steps = Tables(&connection).steps(BuildId(1)).unwrap();
    assert!(steps[0].name.len() <= 200 && format!("{:?}", steps[0].exit).len() < 4_096);
}

#[test]
fn a_step_that_fails_leaves_the_store_as_it_was() {
    let mut connection = Connection::open_in_memory().unwrap();
    migrate::migrate_to(&mut connection, 1).unwrap();
    // the second step fails near its end, because a table has the name of an index
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
    let left = now(numbers(&reading(&store), "select count(*) from requests"));
    assert_eq!(left, [100_010 + 1 - 5 - 6], "5 were too old; the rest of 11 too many were swept");
    assert_eq!(store.load().unwrap().requests.last(), Some(&row));
}

#[test]
fn the_audit_chain_shows_what_is_gone_or_altered() {
    let damages = [
        ("", "5 rows"),
        (
            "delete from audit where sequence = 2",
            "the store has data that cannot be read: the audit chain breaks at row 2",
        ),
        (
            "delete from audit where sequence = 1",
            "the store has data that cannot be read: the audit chain breaks at row 1",
        ),
        (
            "delete from audit where sequence = 5",
            "the store has data that cannot be read: the audit chain ends at row 4, but it had more rows",
        ),
        (
            "delete from audit",
            "the store has data that cannot be read: the audit chain ends at row 0, but it had more rows",
        ),
        (
            "update audit set text = 'nothing' where sequence = 3",
            "the store has data that cannot be read: the audit chain breaks at row 3",
        ),
        (
            "update audit set time = 6 where sequence = 5",
            "the store has data that cannot be read: the audit chain breaks at row 5",
        ),
        (
            "update audit set by_grant = 2 where sequence = 4",
            "the store has data that cannot be read: the audit chain breaks at row 4",
        ),
    ];
    for (number, (damage, verdict)) in damages.into_iter().enumerate() {
        let store = Store::in_memory(&format!("audit-{number}")).unwrap();
        now(store.commit((0..5).map(|row| audit(&format!("row {row}"))).collect())).unwrap();
        sql(&store, damage);
        let found = match wait(reading(&store).verify_audit()) {
            Ok(rows) => format!("{rows} rows"),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, verdict, "{damage}");
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
                wait(reading(&store).builds(filter, 50)).unwrap();
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
    let readers = reading(&store);
    let (goes_on, held) = mpsc::channel();
    let mut one = Box::pin(readers.ask(move |_| {
        held.recv().unwrap();
        Ok::<_, rusqlite::Error>(1)
    }));
    let mut other = Box::pin(numbers(&readers, "select 2"));
    assert!(futures::poll!(&mut one).is_pending(), "its turn has come, and it is held");
    assert!(futures::poll!(&mut other).is_pending(), "its turn has not come");
    goes_on.send(()).unwrap();
    let last = tokio::time::timeout(PATIENCE, numbers(&readers, "select 3"));
    assert_eq!(last.await.expect("it gets its turn, though nobody polls those before it"), [3]);
    assert_eq!((one.await.unwrap(), other.await), (1, vec![2]));
}

#[tokio::test]
async fn a_query_that_panics_takes_no_connection_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let readers = reading(&Store::open(dir.path()).unwrap());
    for _ in 0..5 {
        assert!(readers.ask(|_| -> rusqlite::Result<()> { panic!("as this test wants it") }).await.is_err());
        assert_eq!(numbers(&readers, "select 7").await, [7]);
    }
}

#[test]
fn a_read_is_of_one_moment() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let ((begins, begun), (commits, committed)) = (mpsc::channel(), mpsc::channel());
    let readers = reading(&store);
    let mut read = Box::pin(readers.ask(move |store| {
        let first = store.counter("event")?;
        begins.send(()).unwrap();
        committed.recv().unwrap();
        Ok::<_, rusqlite::Error>((first, store.counter("event")?))
    }));
    assert!(read.as_mut().now_or_never().is_none());
    begun.recv().unwrap();
    wait(store.commit(vec![Record::Event(event(1))])).unwrap();
    commits.send(()).unwrap();
    assert_eq!(wait(read).unwrap(), (0, 0), "what was committed meanwhile is not seen");
    assert_eq!(wait(readers.events_after(0, 9)).unwrap(), [event(1)]);
}
