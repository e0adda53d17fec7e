//! The rows that reporters read and write: branches, cursors, and notices that were sent.

use super::*;
use schema::values::{Cursor, Outcome, Trust};

pub(crate) fn reporter(name: &str) -> ReporterRow {
    ReporterRow { name: name.to_owned(), cursor: Cursor { incarnation: 1, after: 7 }, born: Time(5) }
}

fn told(reporter: &str, job: &str, turn: Transition, time: u64) -> ToldRow {
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

fn read(store: &Store, reporter: &str) -> Vec<ToldRow> {
    let looked = now(reading(store).watched_branch(reporter, "p1", "refs/heads/main")).unwrap();
    looked.told.into_iter().map(|(row, _)| row).collect()
}

#[test]
fn what_was_told_is_remembered_and_bounded() {
    let store = Store::in_memory("told").unwrap();
    let rows = [
        told("r", "a", Transition::NewlyFailing, 3),
        told("r", "b", Transition::NewlyFailing, 2),
        told("s", "a", Transition::Fixed, 1),
    ];
    now(store.commit(rows.iter().cloned().map(Record::Told).collect())).unwrap();
    now(store.commit(vec![Record::Told(rows[0].clone())])).unwrap();
    assert_eq!(read(&store, "r"), [rows[1].clone(), rows[0].clone()]);
    let many = (10..200).map(|time| Record::Told(told("r", "a", Transition::Fixed, time)));
    now(store.commit(many.collect())).unwrap();
    let times: Vec<u64> = read(&store, "r").iter().map(|row| row.time.0).collect();
    assert_eq!((times.len(), times[0], times[1], times[64]), (65, 2, 136, 199));
}

#[test]
fn reporters_that_are_gone_are_forgotten() {
    let store = Store::in_memory("reporters").unwrap();
    let told = ["r", "s"].map(|name| Record::Told(told(name, "a", Transition::Fixed, 1)));
    let rows = ["r", "s"].map(|name| Record::Reporter(reporter(name)));
    now(store.commit(rows.into_iter().chain(told).collect())).unwrap();
    now(store.commit(vec![Record::Reporters(vec!["s".to_owned()])])).unwrap();
    assert_eq!(now(reading(&store).reporter_names()).unwrap(), ["s"]);
    assert_eq!((read(&store, "r").len(), read(&store, "s").len()), (0, 1));
    let mut moved = reporter("s");
    moved.cursor.after = 9;
    now(store.commit(vec![Record::Reporter(moved.clone())])).unwrap();
    assert_eq!(now(reading(&store).reporter("s")).unwrap(), Some(moved));
}

/// A look of a reporter shows the unfinished and the broken builds of its branch. The builds of p1 are 1, 3, 5 and so on, and every
/// third build is of another branch.
#[test]
fn a_look_shows_what_is_open_and_what_was_broken() {
    let store = Store::in_memory("look").unwrap();
    let mut builds: Vec<BuildRow> = (1..=20).map(build).collect();
    for row in &mut builds {
        (row.update, row.job_count, row.state, row.outcome) =
            (row.number, 1, State::Finished, Some(Outcome::Succeeded));
    }
    // the builds of main are 1, 5, 7, 11, 13, 17 and 19
    let broken = |row: &mut BuildRow| {
        (row.job_count, row.outcome, row.cause) = (0, Some(Outcome::Failed), BuildCause::Change);
    };
    broken(&mut builds[4]);
    builds[10].trust = Trust::Untrusted;
    builds[12].state = State::Running;
    (builds[16].job_count, builds[16].outcome) = (0, Some(Outcome::Errored));
    broken(&mut builds[18]);
    let job = |index, name: &str, state| {
        let key = JobKey { build: builds[12].id, index };
        Record::Job(JobRow { key, name: name.to_owned(), state, ..Dice(9).job() })
    };
    let jobs = [job(0, "open", State::Running), job(1, "done", State::Finished)];
    let fixed = told("r", "a", Transition::Fixed, 1);
    let builds_rows = builds.iter().cloned().map(Record::Build);
    now(store.commit(builds_rows.chain(jobs).chain([Record::Told(fixed)]).collect())).unwrap();
    let looked = now(reading(&store).watched_branch("r", "p1", "refs/heads/main")).unwrap();
    use Outcome::{Failed, Succeeded};
    let read: Vec<(u32, Outcome)> =
        looked.pipeline.results.iter().map(|result| (result.build, result.outcome)).collect();
    assert_eq!(read, [(1, Succeeded), (3, Failed), (4, Succeeded), (7, Succeeded), (10, Failed)]);
    assert_eq!(looked.open, BTreeMap::from([(7, Some(BTreeSet::from(["open".to_owned()])))]));
    assert_eq!(looked.planned.map(|(result, created)| (result.build, created)), Some((7, builds[12].created)));
    assert_eq!(looked.state.broken.map(|row| row.number), Some(10));
    assert_eq!(looked.told.len(), 1);
    let refs = now(reading(&store).recent_refs("p1", 4)).unwrap();
    assert_eq!(refs.len(), 2);
    let failing = told("r", "a", Transition::NewlyFailing, 2);
    let others = [told("r", "b", Transition::NewlyFailing, 2), told("other", "a", Transition::NewlyFailing, 2)];
    assert!(now(reading(&store).failing_told_refs("r", "p1")).unwrap().is_empty(), "a fix is no failure");
    now(store.commit(others.into_iter().chain([failing]).map(Record::Told).collect())).unwrap();
    assert_eq!(now(reading(&store).failing_told_refs("r", "p1")).unwrap(), ["refs/heads/main"]);
    let asked = BTreeSet::from([("p1".to_owned(), 2), ("p1".to_owned(), 99)]);
    let found = now(reading(&store).refs_of(asked)).unwrap();
    assert_eq!(found, BTreeSet::from([("p1".to_owned(), "refs/heads/topic".to_owned())]));
}
