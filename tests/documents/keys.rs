//! Checks that the references of the files fit their readers: the keys, the values that they take, and the defaults.

use crate::files::{FILES, File};
use crate::form::{dubious, good, takes, value};
use std::collections::{BTreeMap, BTreeSet};
use toml_file::reference::{Absent, Key, Section};
use toml_file::witness::AskedOf;

/// Visits each key of each file, with its section.
pub fn each(mut visit: impl FnMut(&File, &Section, &Key)) {
    for file in &FILES {
        for section in file.reference.sections {
            section.keys().for_each(|key| visit(file, section, key));
        }
    }
}

/// Returns files in which the key has this value, or in which the key is missing if there is no value.
pub fn texts(file: &File, section: &Section, key: &Key, value: Option<&str>) -> Vec<String> {
    let company = (file.company)(section.title, key.name, value);
    let has = |name: &str| company.lines().any(|line| line.split(" =").next() == Some(name));
    let required =
        section.keys().filter(|other| other.absent == Absent::Required && other.name != key.name && !has(other.name));
    let mut lines: Vec<String> = required.map(|key| format!("{} = {}\n", key.name, key.example)).collect();
    lines.push(format!("{company}\n"));
    lines.extend(value.map(|value| format!("{} = {value}\n", key.name)));
    let system = if key.name == "default" { "linux" } else { key.name };
    let frames = (file.frames)(section.title).iter();
    frames.map(|frame| frame.replace("KEYS", &lines.concat()).replace("KEY-", &format!("{system}-"))).collect()
}

fn reads(file: &File, text: &str) -> String {
    (file.read)(text).unwrap_or_else(|errors| panic!("the reference says that this is right:\n{text}\n{errors}"))
}

#[test]
fn the_readers_ask_for_the_keys_of_the_reference() {
    let mut asked: BTreeMap<(&str, &str), AskedOf> = BTreeMap::new();
    each(|file, section, key| {
        for text in texts(file, section, key, Some(key.example)) {
            let seen = (file.asked)(&text);
            for place in section.places {
                let Some(of) = seen.get(*place) else { continue };
                let all = asked.entry((file.reference.file, place)).or_default();
                all.known.extend(&of.known);
                all.later.extend(of.later.iter().cloned());
            }
        }
    });
    for file in &FILES {
        for section in file.reference.sections {
            let known: BTreeSet<&str> = section.keys().map(|key| key.name).collect();
            let later: BTreeSet<String> = section.later().map(str::to_owned).collect();
            for place in section.places {
                let of = asked.get(&(file.reference.file, place));
                let of = of.unwrap_or_else(|| panic!("nobody reads {place} of {}", file.reference.file));
                let what = format!("{} of {}", section.title, file.reference.file);
                assert_eq!(of.known, known, "{what}: left, the keys that are read; right, those of the reference");
                assert_eq!(of.later, later, "{what}: left, what the reader leaves to a later version");
            }
        }
    }
}

#[test]
fn values_of_the_form_are_taken_and_others_are_not() {
    each(|file, section, key| {
        let is_taken = |text: &str| takes(file.reference, &key.form, &value(text));
        assert!(is_taken(key.example), "the example of {} in {} has not its form", key.name, section.title);
        for right in [key.example.to_owned()].into_iter().chain(good(&key.form)) {
            texts(file, section, key, Some(&right)).iter().for_each(|text| drop(reads(file, text)));
        }
        for wrong in dubious(&key.form).iter().filter(|text| !is_taken(text)) {
            for text in texts(file, section, key, Some(wrong)) {
                assert!((file.read)(&text).is_err(), "the reference says that this is wrong:\n{text}");
            }
        }
    });
}

#[test]
fn what_is_so_without_a_key_is_what_the_reference_says() {
    each(|file, section, key| {
        let without = texts(file, section, key, None);
        let with = |value: &str| texts(file, section, key, Some(value));
        for (index, absent) in without.iter().enumerate() {
            let example = reads(file, &with(key.example)[index]);
            match key.absent {
                Absent::Required => assert!((file.read)(absent).is_err(), "{} is not required:\n{absent}", key.name),
                Absent::Is(value) => {
                    let usual = reads(file, absent);
                    assert_eq!(usual, reads(file, &with(value)[index]), "{} without a value is no {value}", key.name);
                    assert_ne!(usual, example, "the example of {} in {} says nothing", key.name, section.title);
                }
                Absent::Means(_) => assert_ne!(reads(file, absent), example, "{} in {}", key.name, section.title),
            }
        }
    });
}
