//! The history of tests in the store, compared with a definition by brute force. The lists are read in any order.

use super::*;
use crate::decide::test_history::flakiness::Flakiness;
use crate::decide::test_history::{RUNS_KEPT, RunOrder, TestState, Verdict, fails_together};
use schema::values::{SourceRevision, SourceStamp};
use std::collections::BTreeSet;

pub(crate) const MAIN: &str = "refs/heads/main";
pub(crate) const TESTS: u32 = 6;

/// `Drawn` is a random run.
#[derive(Clone, Debug)]
pub(crate) struct Drawn {
    pub(crate) order: RunOrder,
    pub(crate) tree: String,
    pub(crate) is_whole: bool,
    pub(crate) verdicts: Vec<Verdict>,
}

pub(crate) fn lane() -> TestLane {
    TestLane { project: "p".to_owned(), ref_name: MAIN.to_owned(), job: "test".to_owned() }
}

pub(crate) fn names(count: u32) -> TestPiece {
    let name = |number: u32| TestName {
        identity: u128::from(number).to_le_bytes(),
        suite: "s".to_owned(),
        name: format!("t{number}"),
        ..TestName::default()
    };
    TestPiece::Names { project: "p".to_owned(), names: (0..count).map(name).collect() }
}

fn drawn(dice: &mut Dice, count: u32) -> Vec<Drawn> {
    let mut runs: Vec<Drawn> = Vec::new();
    for number in 1..=count {
        // a retry of an old commit has the update and the tree of that commit
        let again = (number > 3 && dice.below(4) == 0).then(|| dice.below(u64::from(number) - 1) as usize);
        let (update, tree) = match again.map(|at| runs[at].clone()) {
            Some(old) => (old.order.0, old.tree),
            None => (number, format!("tree {}", dice.below(u64::from(count)))),
        };
        let verdict = |dice: &mut Dice| match dice.below(12) {
            0 => Verdict::Absent,
            1 => Verdict::Skipped,
            2 => Verdict::Mixed,
            3 => Verdict::Errored,
            4..=6 => Verdict::Failed,
            _ => Verdict::Passed,
        };
        let verdicts = (0..TESTS).map(|_| verdict(dice)).collect();
        runs.push(Drawn { order: (update, number), tree, is_whole: dice.below(5) > 0, verdicts });
    }
    runs
}

fn codes(run: &Drawn) -> Vec<u8> {
    run.verdicts.iter().map(|verdict| verdict.code()).collect()
}

fn piece(run: &Drawn) -> TestPiece {
    TestPiece::Run(Box::new(row(run)))
}

pub(crate) fn row(run: &Drawn) -> TestRunRow {
    TestRunRow {
        lane: lane(),
        order: run.order,
        key: JobKey { build: BuildId(u64::from(run.order.1)), index: 0 },
        tree: run.tree.clone(),
        is_whole: run.is_whole,
        is_together: fails_together(&codes(run)),
        verdicts: codes(run),
        durations: vec![100; TESTS as usize],
    }
}

/// Returns the finished build of a run.
pub(crate) fn build_of(run: &TestRunRow) -> Record {
    let source = SourceRevision { ref_name: run.lane.ref_name.clone(), ..SourceRevision::default() };
    let number = run.order.1;
    Record::Build(BuildRow {
        project: run.lane.project.clone(),
        number,
        update: run.order.0,
        state: State::Finished,
        stamp: SourceStamp { sources: vec![source] },
        ..build(u64::from(number))
    })
}

/// Records a piece, and before a run also its build, without which the run is not kept.
pub(crate) fn record(store: &Store, piece: TestPiece) {
    if let TestPiece::Run(run) = &piece {
        wait(store.commit(vec![build_of(run)])).unwrap();
    }
    wait(store.record_tests(piece)).unwrap();
}

pub(crate) fn filter() -> TestFilter {
    TestFilter { project: "p".to_owned(), ref_name: MAIN.to_owned(), limit: 1_000, ..TestFilter::default() }
}

/// Returns the state, first bad and last good build and flakiness of each test, calculated from all runs, from the first one on.
fn by_force(runs: &[Drawn]) -> Vec<(u32, TestState, u32, u32, Flakiness)> {
    let mut ordered: Vec<&Drawn> = runs.iter().collect();
    ordered.sort_by_key(|run| run.order);
    (0..TESTS).filter_map(|test| forward(&ordered, test)).collect()
}

fn forward(runs: &[&Drawn], test: u32) -> Option<(u32, TestState, u32, u32, Flakiness)> {
    let (mut state, mut first_bad, mut last_good, mut is_known, mut had_runs) = (None, 0, 0, false, false);
    let mut was_bad = false;
    for run in runs {
        let verdict = run.verdicts[test as usize];
        if verdict == Verdict::Absent && !run.is_whole {
            continue;
        }
        state = Some(match verdict {
            Verdict::Absent if is_known => TestState::Gone,
            Verdict::Absent => {
                had_runs = true;
                continue;
            }
            Verdict::Skipped => TestState::Skipped,
            it if it.is_bad() && was_bad => TestState::StillFailing,
            it if it.is_bad() => TestState::NewlyFailing,
            _ if was_bad => TestState::Fixed,
            _ if is_known || !had_runs => TestState::Passing,
            Verdict::Passed | Verdict::Mixed | Verdict::Errored | Verdict::Failed => TestState::New,
        });
        had_runs = true;
        if verdict.is_bad() && !was_bad {
            first_bad = run.order.1;
        }
        if verdict.is_good() {
            last_good = run.order.1;
        }
        if verdict.has_run() {
            was_bad = verdict.is_bad();
        }
        is_known |= verdict != Verdict::Absent;
    }
    let state = state?;
    let marks = match state {
        TestState::NewlyFailing | TestState::StillFailing => (first_bad, last_good),
        TestState::Fixed | TestState::New | TestState::Passing => (0, last_good),
        TestState::Skipped | TestState::Gone => (0, 0),
    };
    Some((test, state, marks.0, marks.1, flaky(runs, test)))
}

fn flaky(runs: &[&Drawn], test: u32) -> Flakiness {
    let verdicts = |tree: &str| -> Vec<(Verdict, bool)> {
        let of_tree = runs.iter().filter(|run| run.tree == tree);
        of_tree.map(|run| (run.verdicts[test as usize], fails_together(&codes(run)))).collect()
    };
    let trees: BTreeSet<&str> = runs.iter().map(|run| run.tree.as_str()).collect();
    let ran = trees.iter().filter(|tree| verdicts(tree).iter().any(|(it, _)| it.has_run())).count();
    let is_flaky = |tree: &&&str| {
        let all = verdicts(tree);
        let good = all.iter().any(|(it, _)| it.is_good());
        good && all.iter().any(|(it, together)| *it == Verdict::Mixed || it.is_bad() && !together)
    };
    Flakiness { flaky: trees.iter().filter(is_flaky).count() as u32, trees: ran as u32 }
}

fn seen(store: &Store) -> Vec<(u32, TestState, u32, u32, Flakiness)> {
    let page = now(reading(store).tests_of_ref(filter())).unwrap();
    let mut seen: Vec<_> = page
        .lines
        .iter()
        .map(|line| {
            let standing = line.standing;
            (line.number, standing.state, standing.first_bad, standing.last_good, line.flakiness)
        })
        .collect();
    seen.sort_by_key(|line| line.0);
    seen
}

pub(crate) fn store(name: &str) -> Store {
    let store = Store::in_memory(name).unwrap();
    now(store.record_tests(names(TESTS))).unwrap();
    store
}

/// Clears the numbers of trees of tests that are not flaky, because the store does not look for them there.
fn without_trees(lines: Vec<(u32, TestState, u32, u32, Flakiness)>) -> Vec<(u32, TestState, u32, u32, Flakiness)> {
    let cleared = |flakiness: Flakiness| if flakiness.flaky == 0 { Flakiness::default() } else { flakiness };
    lines.into_iter().map(|(test, state, bad, good, flaky)| (test, state, bad, good, cleared(flaky))).collect()
}

#[test]
fn the_order_in_which_lists_are_read_does_not_matter() {
    for seed in 0..60 {
        let mut dice = Dice(seed);
        let count = 1 + dice.below(30) as u32;
        let runs = drawn(&mut dice, count);
        let wanted = without_trees(by_force(&runs));
        for round in 0..3 {
            let store = store(&format!("test history {seed} {round}"));
            let mut left = runs.clone();
            while !left.is_empty() {
                let next = left.swap_remove(dice.below(left.len() as u64) as usize);
                record(&store, piece(&next));
                if dice.below(4) == 0 {
                    // a list is read again after a crash between two of its pieces
                    record(&store, piece(&next));
                }
            }
            assert_eq!(seen(&store), wanted, "seed {seed}, round {round}: {runs:?}");
        }
    }
}

#[test]
fn runs_that_are_no_longer_kept_are_remembered_where_they_matter() {
    let store = store("long test history");
    let run = |number: u32, verdicts: [Verdict; TESTS as usize]| Drawn {
        order: (number, number),
        tree: format!("tree {number}"),
        is_whole: true,
        verdicts: verdicts.to_vec(),
    };
    use Verdict::{Failed, Passed};
    record(&store, piece(&run(1, [Passed; 6])));
    for number in 2..=250 {
        let mut verdicts = [Passed; 6];
        verdicts[0] = Failed;
        verdicts[1] = if number == 250 { Passed } else { Failed };
        verdicts[2] = if number % 2 == 0 { Failed } else { Passed };
        record(&store, piece(&run(number, verdicts)));
    }
    let states: Vec<_> = seen(&store).into_iter().map(|(test, state, bad, good, _)| (test, state, bad, good)).collect();
    assert_eq!(
        states[..4],
        [
            (0, TestState::StillFailing, 2, 0),
            (1, TestState::Fixed, 0, 250),
            (2, TestState::NewlyFailing, 250, 249),
            (3, TestState::Passing, 0, 250),
        ]
    );
    let kept = now(reading(&store).test_runs(&lane())).unwrap();
    assert_eq!(kept.len(), RUNS_KEPT);
    assert_eq!(kept.iter().filter(|run| !run.durations.is_empty()).count(), 20);
    // a run that is older than all kept runs changes nothing
    record(&store, piece(&run(3, [Failed; 6])));
    let again: Vec<_> = seen(&store).into_iter().map(|(test, state, bad, good, _)| (test, state, bad, good)).collect();
    assert_eq!(again, states);
}

#[test]
fn a_list_is_searched_and_paged() {
    let store = store("paged tests");
    let mut verdicts = vec![Verdict::Passed; TESTS as usize];
    verdicts[4] = Verdict::Failed;
    let run = Drawn { order: (1, 1), tree: "a".to_owned(), is_whole: true, verdicts };
    record(&store, piece(&run));
    let ask = |filter: TestFilter| {
        let page = now(reading(&store).tests_of_ref(filter)).unwrap();
        (page.lines.iter().map(|line| line.number).collect::<Vec<_>>(), page.count)
    };
    assert_eq!(ask(filter()), (vec![4, 0, 1, 2, 3, 5], 6), "what fails comes first");
    assert_eq!(ask(TestFilter { skip: 2, limit: 2, ..filter() }), (vec![1, 2], 6));
    assert_eq!(ask(TestFilter { search: "S › T3".to_owned(), ..filter() }), (vec![3], 1));
    assert_eq!(ask(TestFilter { search: "%".to_owned(), ..filter() }), (vec![], 0), "no pattern");
    assert_eq!(ask(TestFilter { shown: TestsShown::Failing, ..filter() }), (vec![4], 1));
    assert_eq!(ask(TestFilter { shown: TestsShown::Flaky, ..filter() }), (vec![], 0));
    assert_eq!(ask(TestFilter { shown: TestsShown::Slow, ..filter() }).1, 6);
    assert_eq!(ask(TestFilter { job: "other".to_owned(), ..filter() }), (vec![], 0));
    let history = now(reading(&store).test_history("p", 4, "")).unwrap().unwrap();
    assert_eq!((history.name.name.as_str(), history.lanes.len()), ("t4", 1));
    assert_eq!(history.lanes[0].points.len(), 1);
    assert_eq!(now(reading(&store).test_history("p", 6, "")).unwrap(), None);
}

/// A build with 10,000 results grows the database by at most 40 KiB.
#[test]
fn a_build_of_many_tests_takes_little_room() {
    const MANY: u32 = 10_000;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    wait(store.record_tests(names(MANY))).unwrap();
    let pages = |store: &Store| {
        wait(numbers(&reading(store), "select page_count * page_size from pragma_page_count, pragma_page_size"))[0]
    };
    let mut dice = Dice(7);
    let mut most = 0;
    let mut before = pages(&store);
    for number in 1..=40_u32 {
        let row = TestRunRow {
            lane: lane(),
            order: (number, number),
            key: JobKey { build: BuildId(u64::from(number)), index: 0 },
            tree: format!("{number:040x}"),
            is_whole: true,
            is_together: false,
            verdicts: (0..MANY).map(|_| if dice.below(200) == 0 { 2 } else { 1 }).collect(),
            // as in real runs, each test has its own duration, which varies a little
            durations: (0..MANY).map(|test| (test % 140) as u8 + 20 + dice.below(4) as u8).collect(),
        };
        record(&store, TestPiece::Run(Box::new(row)));
        let after = pages(&store);
        most = most.max(after - before);
        before = after;
    }
    assert!(most <= 40 << 10, "one build grew it by {most} bytes");
}
