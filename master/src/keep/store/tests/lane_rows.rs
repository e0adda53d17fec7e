//! Lanes in the store, which are written with results and read as the state of a ref.

use super::*;
use crate::decide::coordinator::lane::{LaneResult, RefState};
use schema::values::{Outcome, SourceRevision, SourceStamp};

pub(crate) const MAIN: &str = "refs/heads/main";

fn row(number: u32, update: u32, outcome: Option<Outcome>, job_count: u32) -> BuildRow {
    let source = SourceRevision {
        repository: "p".to_owned(),
        ref_name: MAIN.to_owned(),
        revision: format!("{update:040x}"),
        base: String::new(),
    };
    BuildRow {
        project: "p".to_owned(),
        number,
        update,
        stamp: SourceStamp { sources: vec![source] },
        cause: if number == update {
            BuildCause::Change
        } else {
            BuildCause::Retry { number: update, by: "x".to_owned() }
        },
        state: if outcome.is_some() { State::Finished } else { State::Running },
        outcome,
        finished: outcome.map(|_| Time(u64::from(number))),
        job_count,
        ..build(u64::from(number))
    }
}

fn job(number: u32, index: u32, name: &str, outcome: Option<Outcome>) -> JobRow {
    JobRow {
        key: JobKey { build: BuildId(u64::from(number)), index },
        name: name.to_owned(),
        state: if outcome.is_some() { State::Finished } else { State::Running },
        outcome,
        finished: outcome.map(|_| Time(u64::from(number))),
        carried_from: 0,
        ..Dice(9).job()
    }
}

fn result(number: u32, update: u32, name: &str, outcome: Outcome) -> Record {
    let result = LaneResult {
        update,
        build: number,
        outcome,
        finished: Time(u64::from(number)),
        revision: format!("{update:040x}"),
    };
    Record::Lane { project: "p".to_owned(), ref_name: MAIN.to_owned(), job: name.to_owned(), result }
}

/// Returns a history: build 1 is good, 2 fails in `b`, 3 is a retry of 1 and fails, 4 errors, and 5 has no plan.
pub(crate) fn history() -> Vec<Record> {
    use Outcome::{Errored, Failed, Succeeded};
    let builds = [
        row(1, 1, Some(Succeeded), 2),
        row(2, 2, Some(Failed), 2),
        row(3, 1, Some(Failed), 2),
        row(4, 4, Some(Errored), 2),
        row(5, 5, Some(Failed), 0),
    ];
    let outcomes =
        [(1, 1, Succeeded, Succeeded), (2, 2, Succeeded, Failed), (3, 1, Failed, Failed), (4, 4, Succeeded, Errored)];
    let mut records: Vec<Record> = builds.into_iter().map(Record::Build).collect();
    for (number, update, a, b) in outcomes {
        records.push(Record::Job(job(number, 0, "a", Some(a))));
        records.push(Record::Job(job(number, 1, "b", Some(b))));
        records.push(result(number, update, "a", a));
        records.push(result(number, update, "b", b));
    }
    records
}

#[test]
fn a_ref_is_read_as_a_whole() {
    let store = Store::in_memory("lanes").unwrap();
    let head = |gone, since| {
        let head = Head { revision: "x".to_owned(), is_told: true, gone, update: 6, since };
        Record::Head(HeadRow { project: "p".to_owned(), ref_name: MAIN.to_owned(), head })
    };
    now(store.commit(vec![head(None, 1)])).unwrap();
    now(store.commit(history())).unwrap();
    let read = || now(reading(&store).ref_state("p", MAIN)).unwrap();
    let state = read();
    assert_eq!(state.tip.as_ref().map(|row| row.number), Some(5));
    assert_eq!(state.broken.as_ref().map(|row| row.number), Some(5));
    let outcomes: Vec<_> = state.lanes.iter().map(|(name, lane)| (name.as_str(), lane.outcome().unwrap())).collect();
    assert_eq!(outcomes, [("a", Outcome::Succeeded), ("b", Outcome::Failed)]);
    assert_eq!(state.lanes[1].1.first_bad().unwrap().build, 3, "the retry of the first commit fails before the second");
    assert!(state.is_errored() && state.outcome() == Some(Outcome::Failed));
    let finished = now(reading(&store).ref_history("p", MAIN, 2)).unwrap().builds;
    assert_eq!(finished.iter().map(|it| it.build).collect::<Vec<_>>(), [5, 4], "what cannot be read counts as bad");
    now(store.commit(vec![head(Some(Time(9)), 1)])).unwrap();
    assert_eq!(read(), state, "a ref that was deleted is as it was last");
    now(store.commit(vec![head(None, 6)])).unwrap();
    assert_eq!(read(), RefState::default(), "one that was made anew begins anew");
}

#[test]
fn lanes_go_with_the_last_build_of_their_ref() {
    let store = Store::in_memory("lanes-removed").unwrap();
    now(store.commit(history())).unwrap();
    let count = |store: &Store| now(reading(store).ref_history("p", MAIN, 2)).unwrap().lanes.len();
    let remove = |builds: &[u64]| Removal { builds: builds.iter().map(|id| BuildId(*id)).collect(), logs: Vec::new() };
    now(store.remove(remove(&[1, 2, 3, 4]))).unwrap();
    assert_eq!(count(&store), 2);
    now(store.remove(remove(&[5]))).unwrap();
    assert_eq!(count(&store), 0);
}
