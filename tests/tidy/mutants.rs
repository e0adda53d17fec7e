//! Each fault that `tests/faults/mutants.py` puts into the product replaces a text of it. A text that is no longer there keeps all
//! of the faults out, and nobody notices before somebody asks what the simulation is worth.

use super::top;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// `tests/faults/mutants.toml`, where the keys are explained.
#[derive(Deserialize)]
struct Table {
    fault: Vec<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    what: String,
    changes: Vec<Change>,
}

#[derive(Deserialize)]
struct Change {
    file: String,
    old: String,
    new: String,
}

/// The text of a file with a change in it. An error: what keeps the change out.
fn put_in(text: &str, change: &Change) -> Result<String, String> {
    let Change { file, old, new } = change;
    match text.matches(old.as_str()).count() {
        1 => Ok(text.replace(old.as_str(), new.as_str())),
        count => Err(format!("{file} has `{old}` {count} times, not once")),
    }
}

fn faults() -> Vec<Fault> {
    let table = fs::read_to_string(top().join("tests/faults/mutants.toml")).unwrap();
    let table: Table = toml::from_str(&table).unwrap();
    assert!(!table.fault.is_empty(), "the table of faults is empty");
    table.fault
}

/// All of them go into one program, so each has to find what those before it left.
#[test]
fn each_fault_can_be_put_into_the_product() {
    let faults = faults();
    let mut texts: BTreeMap<&str, String> = BTreeMap::new();
    let mut wrong: Vec<String> = Vec::new();
    for fault in &faults {
        for change in &fault.changes {
            let read = || fs::read_to_string(top().join(&change.file)).unwrap_or_default();
            let text = texts.entry(change.file.as_str()).or_insert_with(read);
            match put_in(text.as_str(), change) {
                Ok(changed) => *text = changed,
                Err(why) => wrong.push(format!("  {}: {why}", fault.what)),
            }
        }
    }
    assert!(wrong.is_empty(), "bring tests/faults/mutants.toml up to date:\n{}", wrong.join("\n"));
}

/// One for each reader that `tests/fuzz` has, to see that its campaign would find it.
#[test]
fn each_target_of_the_campaign_has_a_fault_to_find() {
    let table = fs::read_to_string(top().join("tests/fuzz/planted.toml")).unwrap();
    let planted: BTreeMap<String, Change> = toml::from_str(&table).unwrap();
    let wrong = planted.values().filter_map(|change| {
        let text = fs::read_to_string(top().join(&change.file)).unwrap_or_default();
        put_in(&text, change).err()
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "bring tests/fuzz/planted.toml up to date:\n{}", wrong.join("\n"));
    let corpora = fs::read_dir(top().join("tests/fuzz/corpus")).unwrap();
    let targets: BTreeSet<String> = corpora.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(planted.into_keys().collect::<BTreeSet<String>>(), targets);
}

/// A fault without the word would be awake beside each other one, and be found in its place.
#[test]
fn each_fault_can_sleep() {
    for fault in faults() {
        let can_sleep = fault.changes.iter().any(|change| change.new.contains("MUTANT"));
        assert!(can_sleep, "{}: none of its new texts has the word MUTANT", fault.what);
    }
}

#[test]
fn a_text_that_has_changed_keeps_its_fault_out() {
    let change = |old: &str| Change { file: "a.rs".to_owned(), old: old.to_owned(), new: "MUTANT".to_owned() };
    assert_eq!(put_in("x y x", &change("y")), Ok("x MUTANT x".to_owned()));
    assert_eq!(put_in("x y x", &change("z")), Err("a.rs has `z` 0 times, not once".to_owned()));
    assert_eq!(put_in("x y x", &change("x")), Err("a.rs has `x` 2 times, not once".to_owned()));
}
