//! Each fault that `tests/faults/mutants.py` puts into the product replaces a text of the product. If one of these texts is missing,
//! no fault can be put in, and without this test nobody would notice that until the next campaign.

use super::top;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// `Table` is `tests/faults/mutants.toml`, which explains the keys.
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

/// Makes a change in the text of a file. An error says why the change cannot be made.
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

/// All faults go into one program, so each text must still be there after the changes of the faults before it.
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

/// Each target of `tests/fuzz` has a planted fault, which shows that its campaign would find one.
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

/// Each fault has the word MUTANT. Without it, the fault would be active together with each other one, and be found in its place.
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
