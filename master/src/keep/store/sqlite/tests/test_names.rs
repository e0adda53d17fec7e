//! The numbers of tests, and which parts of their history are removed with builds.

use super::{numbers, sql};
use crate::decide::coordinator::record::BuildId;
use crate::decide::test_history::Verdict;
use crate::keep::store::tests::test_rows::{Drawn, TESTS, build_of, names, record, row, store};
use crate::keep::store::tests::{reading, wait};
use crate::keep::store::*;

fn first(store: &Store, sql: &'static str) -> u32 {
    u32::try_from(wait(numbers(&reading(store), sql))[0]).unwrap()
}

fn tests(store: &Store) -> u32 {
    first(store, "select count(*) from tests")
}

fn sweep(store: &Store, unlinked: &[u64], rows: u32) {
    let unlinked = unlinked.iter().map(|id| BuildId(*id)).collect();
    wait(store.sweep(Sweep { unlinked, rows, ..Sweep::default() })).unwrap();
}

fn run(number: u32) -> TestRunRow {
    let verdicts = vec![Verdict::Passed; TESTS as usize];
    row(&Drawn { order: (number, number), tree: "tree".to_owned(), is_whole: true, verdicts })
}

fn remove(store: &Store, build: u64) {
    wait(store.remove(Removal { builds: vec![BuildId(build)], logs: Vec::new() })).unwrap();
}

#[test]
fn a_sweep_that_may_take_no_row_takes_none() {
    let store = store("no rows");
    sweep(&store, &[], 0);
    assert_eq!(first(&store, "select count(*) from test_projects"), 1);
    record(&store, names(TESTS + 2));
    assert_eq!(tests(&store), TESTS + 2, "the new ones have numbers");
}

#[test]
fn a_project_keeps_its_next_number_until_all_its_tests_went() {
    let store = store("some rows");
    sweep(&store, &[], TESTS - 1);
    assert_eq!((tests(&store), first(&store, "select next from test_projects")), (1, TESTS));
    record(&store, names(TESTS));
    assert_eq!((tests(&store), first(&store, "select next from test_projects")), (TESTS, 2 * TESTS - 1));
    sweep(&store, &[], 2 * TESTS);
    assert_eq!((tests(&store), first(&store, "select count(*) from test_projects")), (0, 0));
    record(&store, names(TESTS));
    assert_eq!(first(&store, "select max(number) from tests"), TESTS - 1, "it begins anew");
}

/// A number of a test is never given again, even if the store lost the project's row with the next number.
#[test]
fn the_numbers_that_are_taken_are_not_given_again() {
    let damages = [("lost", "delete from test_projects"), ("zero", "update test_projects set next = 0")];
    for (name, damage) in damages {
        let store = store(name);
        sql(&store, damage);
        record(&store, names(TESTS + 2));
        assert_eq!(
            (tests(&store), first(&store, "select next from test_projects")),
            (TESTS + 2, TESTS + 2),
            "{damage}"
        );
    }
}

#[test]
fn a_test_stands_where_it_was_last_seen() {
    let store = store("moved");
    let told = |file: &str| {
        let TestPiece::Names { project, mut names } = names(TESTS) else { panic!("they are names") };
        file.clone_into(&mut names[2].file);
        record(&store, TestPiece::Names { project, names });
        wait(reading(&store).test_history("p", 2, "")).unwrap().unwrap().name.file
    };
    assert_eq!(told("a.py"), "a.py");
    assert_eq!(told("b.py"), "b.py");
    assert_eq!(told(""), "b.py", "its tool may not say");
    assert_eq!(wait(reading(&store).test_files("p")).unwrap().into_values().collect::<Vec<_>>(), ["b.py"]);
    assert_eq!((tests(&store), first(&store, "select next from test_projects")), (TESTS, TESTS), "no number is taken");
}

#[test]
fn the_run_of_a_build_that_is_gone_is_not_kept() {
    let store = store("gone build");
    sql(&store, "insert into tests_unread (build, idx) values (1, 0), (2, 0)");
    wait(store.commit(vec![build_of(&run(1)), build_of(&run(2))])).unwrap();
    remove(&store, 1);
    sweep(&store, &[1], 100);
    // the lists of both builds were read before build 1 was removed
    for number in [1, 2] {
        wait(store.record_tests(TestPiece::Run(Box::new(run(number))))).unwrap();
    }
    assert_eq!(wait(numbers(&reading(&store), "select build from test_runs")), [2]);
    assert_eq!(first(&store, "select count(*) from tests_unread"), 0, "both are read");
    remove(&store, 2);
    sweep(&store, &[2], 100);
    sweep(&store, &[], 100);
    for table in ["select count(*) from test_runs", "select count(*) from test_lanes", "select count(*) from tests"] {
        assert_eq!(first(&store, table), 0, "{table}");
    }
}
