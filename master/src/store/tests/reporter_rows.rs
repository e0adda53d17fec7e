//! What reporters read and write: windows of branches, cursors, and what was told.

use super::*;
use crate::store::reporters as lanes;
use schema::values::{Cursor, Trust};

pub(super) fn reporter(name: &str) -> ReporterRow {
    ReporterRow { name: name.to_owned(), cursor: Cursor { incarnation: 1, after: 7 }, born: Time(5) }
}

fn told(reporter: &str, job: &str, turn: Turn, time: u64) -> ToldRow {
    ToldRow {
        reporter: reporter.to_owned(),
        project: "p1".to_owned(),
        ref_name: "refs/heads/main".to_owned(),
        job: job.to_owned(),
        turn,
        revision: format!("{time:040}"),
        build: 1,
        notice: "n".to_owned(),
        time: Time(time),
    }
}

fn read(store: &Store, reporter: &'static str) -> Vec<ToldRow> {
    now(store.readers().query(move |store| lanes::told(store, reporter, "p1", "refs/heads/main"))).unwrap()
}

#[test]
fn what_was_told_is_remembered_and_bounded() {
    let store = Store::in_memory("told").unwrap();
    let rows =
        [told("r", "a", Turn::NewlyFailing, 3), told("r", "b", Turn::NewlyFailing, 2), told("s", "a", Turn::Fixed, 1)];
    now(store.commit(rows.iter().cloned().map(Record::Told).collect())).unwrap();
    now(store.commit(vec![Record::Told(rows[0].clone())])).unwrap();
    assert_eq!(read(&store, "r"), [rows[1].clone(), rows[0].clone()]);
    let many = (10..200).map(|time| Record::Told(told("r", "a", Turn::Fixed, time)));
    now(store.commit(many.collect())).unwrap();
    let times: Vec<u64> = read(&store, "r").iter().map(|row| row.time.0).collect();
    assert_eq!((times.len(), times[0], times[1], times[64]), (65, 2, 136, 199));
}

#[test]
fn reporters_that_are_gone_are_forgotten() {
    let store = Store::in_memory("reporters").unwrap();
    let told = ["r", "s"].map(|name| Record::Told(told(name, "a", Turn::Fixed, 1)));
    let rows = ["r", "s"].map(|name| Record::Reporter(reporter(name)));
    now(store.commit(rows.into_iter().chain(told).collect())).unwrap();
    now(store.commit(vec![Record::Reporters(vec!["s".to_owned()])])).unwrap();
    assert_eq!(now(store.readers().query(lanes::reporter_names)).unwrap(), ["s"]);
    assert_eq!((read(&store, "r").len(), read(&store, "s").len()), (0, 1));
    let mut moved = reporter("s");
    moved.cursor.after = 9;
    now(store.commit(vec![Record::Reporter(moved.clone())])).unwrap();
    assert_eq!(now(store.readers().query(|store| lanes::reporter(store, "s"))).unwrap(), Some(moved));
}

/// Builds of p1 are 1, 3, 5, …, and each third is of another branch.
#[test]
fn a_window_shows_the_newest_builds_of_a_branch() {
    let store = Store::in_memory("window").unwrap();
    let mut builds: Vec<BuildRow> = (1..=20).map(build).collect();
    builds[10].trust = Trust::Untrusted;
    let job = |id| JobRow { key: JobKey { build: BuildId(id), index: 0 }, ..Dice(9).job() };
    let jobs = [1, 19].map(|id| Record::Job(job(id)));
    now(store.commit(builds.into_iter().map(Record::Build).chain(jobs).collect())).unwrap();
    let window = |limit| {
        let read = move |store: &Connection| lanes::window(store, "p1", "refs/heads/main", limit);
        let window = now(store.readers().query(read)).unwrap();
        let ids: Vec<u64> = window.builds.iter().map(|(row, _)| row.id.0).collect();
        (ids, window.builds.iter().map(|(_, jobs)| jobs.len()).sum::<usize>(), window.is_whole)
    };
    assert_eq!(window(100), (vec![19, 17, 13, 7, 5, 1], 2, true), "11 is not trusted");
    assert_eq!(window(3), (vec![19, 17, 13], 1, false));
    sql(&store, "delete from builds where id = 1");
    assert_eq!(window(100), (vec![19, 17, 13, 7, 5], 1, false), "there were more");
    let refs = now(store.readers().query(|store| lanes::recent_refs(store, "p1", 4))).unwrap();
    assert_eq!(refs.len(), 2);
    let asked = BTreeSet::from([("p1".to_owned(), 2), ("p1".to_owned(), 99)]);
    let found = now(store.readers().query(move |store| lanes::refs(store, &asked))).unwrap();
    assert_eq!(found, BTreeSet::from([("p1".to_owned(), "refs/heads/topic".to_owned())]));
}
