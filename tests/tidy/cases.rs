//! Each reported case has a row in `tests/cases.tsv`. The row names the tests that show the right behaviour, or the reason why there
//! are none.

use super::{code, sources, top};
use std::collections::BTreeSet;
use std::fs;

/// The number of rows that say `open`, because no test shows the right behaviour yet. Nobody may raise it.
const OPEN_MAX: usize = 0;
/// The numbers of the cases C01 to C75: small inputs that failed. The numbers between the ranges have no case.
const INPUTS: [(usize, usize); 8] = [(1, 39), (43, 52), (55, 55), (59, 60), (62, 62), (64, 66), (68, 69), (71, 75)];
/// The number of the cases F1, F2 and so on: faults of machines, links and disks.
const FAULTS: usize = 22;
/// The cases T1.1 to T10.3: the number of each task of a new user, and the number of its problems.
const TASKS: [(usize, usize); 10] = [(1, 5), (2, 7), (3, 4), (4, 9), (5, 4), (6, 5), (7, 7), (8, 2), (9, 3), (10, 3)];
/// The lists of what a new user saw, with their numbers of cases: pages (S4), texts (S5), and the worst of all (F6).
const LISTS: [(&str, usize); 3] = [("S4", 11), ("S5", 25), ("F6", 15)];

/// `Row` is a case, the tests that show it, and a note for readers.
struct Row {
    id: String,
    tests: Vec<String>,
    note: String,
}

impl Row {
    fn is_open(&self) -> bool {
        self.tests == ["open"]
    }
}

fn rows() -> Vec<Row> {
    let text = fs::read_to_string(top().join("tests/cases.tsv")).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("id\ttests\tnote"));
    let row = |line: &str| {
        let mut columns = line.split('\t').map(str::to_owned);
        let (id, tests) = (columns.next().unwrap_or_default(), columns.next().unwrap_or_default());
        let tests = tests.split(' ').map(str::to_owned).collect();
        Row { id, tests, note: columns.next().unwrap_or_default() }
    };
    lines.map(row).collect()
}

fn ids() -> BTreeSet<String> {
    let inputs = INPUTS.iter().flat_map(|(first, last)| *first..=*last);
    let inputs = inputs.map(|number| format!("C{number:02}"));
    let faults = (1..=FAULTS).map(|number| format!("F{number}"));
    let tasks = TASKS.iter().flat_map(|(task, count)| (1..=*count).map(move |line| format!("T{task}.{line}")));
    let lists = LISTS.iter().flat_map(|(list, count)| (1..=*count).map(move |line| format!("{list}.{line}")));
    inputs.chain(faults).chain(tasks).chain(lists).collect()
}

/// Returns the names of all functions with a test attribute.
fn tests() -> BTreeSet<String> {
    let folders = ["schema", "master", "worker", "client", "tests"];
    folders.iter().flat_map(|folder| sources(folder)).flat_map(|(_, text)| tests_of(&code(&text))).collect()
}

fn tests_of(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if !line.starts_with("#[") && is_test {
            let named = line.split("fn ").nth(1).and_then(|rest| rest.split(['(', '<']).next());
            found.extend(named.map(str::to_owned));
            is_test = false;
        }
    }
    found
}

fn exists(name: &str, tests: &BTreeSet<String>) -> bool {
    match name.strip_prefix("flow:") {
        Some(flow) => top().join("tests/flows").join(flow).is_file(),
        None => tests.contains(name),
    }
}

#[test]
fn each_case_has_its_row() {
    let listed: Vec<String> = rows().into_iter().map(|row| row.id).collect();
    let different: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(different.len(), listed.len(), "an id has two rows");
    assert_eq!(different, ids());
}

#[test]
fn what_a_case_names_is_a_test() {
    let tests = tests();
    for row in rows().iter().filter(|row| !row.is_open()) {
        if row.tests == ["-"] {
            assert!(!row.note.is_empty(), "{} has neither a test nor a reason", row.id);
            continue;
        }
        for name in &row.tests {
            assert!(exists(name, &tests), "{} names `{name}`, which is not a test", row.id);
        }
    }
}

#[test]
fn ever_fewer_cases_are_open() {
    let open = rows().iter().filter(|row| row.is_open()).count();
    assert_eq!(open, OPEN_MAX, "set OPEN_MAX to the rows that are open: the number only falls");
}

#[test]
fn tests_are_found_by_their_attributes() {
    let text =
        "#[test]\n#[cfg(unix)]\nfn one() {}\nfn none() {}\n#[tokio::test(start_paused = true)]\nasync fn two() {}";
    assert_eq!(tests_of(text), ["one", "two"]);
    assert!(!exists("flow:none-of-this-name", &BTreeSet::new()));
}
