//! Checks that every example in README.md and docs/ is of the kind that its fence names:
//!
//! - `toml guild.toml`, `toml master.toml` and `toml worker.toml` are files. A file that does not begin with `version` is a part. The
//!   test adds what it lacks: `version = 1`, a job in `guild.toml`, and `[listen]` in `master.toml`.
//! - `json` is one value. `sh`, `console` and indented blocks are commands, which `commands` checks. `text` is anything else.

use crate::files::FILES;
use crate::prose::{Block, all_blocks};
use pipeline::{Changed, Context, load};
use schema::values::{BuildCause, Trust};

/// Completes the text of a part of a file, and returns the text of a whole file.
pub fn completed(file: &str, text: &str) -> String {
    if text.starts_with("version") || file == "worker.toml" {
        return text.to_owned();
    }
    let lacks = |header: &str| !text.contains(header);
    match file {
        "guild.toml" if lacks("[job.") => format!("version = 1\n{text}\n[job.any]\nrun = 'true'\n"),
        "master.toml" if lacks("[listen]") => {
            format!("version = 1\nlisten = {{ rpc = 'h:1', advertise = 'h:1' }}\n{text}")
        }
        _ => format!("version = 1\n{text}"),
    }
}

/// Fails the test if a text is not a valid file of this name.
pub fn check_file(place: &str, name: &str, text: &str) {
    let file = FILES.iter().find(|file| file.reference.file == name);
    let file = file.unwrap_or_else(|| panic!("{place}: no reader is known of {name}"));
    let text = completed(name, text);
    (file.read)(&text).unwrap_or_else(|errors| panic!("{place} is no {name}:\n{errors}"));
    if name == "guild.toml" {
        check_plans(place, &text);
    }
}

/// Makes the plans of a pipeline for a branch, a tag and a commit without a ref, for each cause of a build.
fn check_plans(place: &str, text: &str) {
    let pipeline = load(place, text.as_bytes()).unwrap();
    for ref_name in ["refs/heads/main", "refs/tags/v1", ""] {
        for cause in [
            BuildCause::Change,
            BuildCause::Run { by: String::new() },
            BuildCause::Retry { number: 1, by: String::new() },
            BuildCause::Cron { name: "nightly".to_owned() },
        ] {
            let context =
                Context { ref_name: ref_name.to_owned(), cause, changed: Changed::default(), trust: Trust::Trusted };
            let plan = pipeline.expand(&context).unwrap_or_else(|errors| panic!("{place} makes no plan:\n{errors}"));
            assert!(!plan.jobs.is_empty(), "{place} makes no job");
        }
    }
}

#[test]
fn examples_are_what_they_say() {
    let mut counts = std::collections::BTreeMap::new();
    for Block { place, kind, text } in all_blocks() {
        match kind.split_once(' ').unwrap_or((&kind, "")) {
            ("toml", name) => check_file(&place, name, &text),
            ("json", "") => drop(
                serde_json::from_str::<serde_json::Value>(&text).unwrap_or_else(|error| panic!("{place}: {error}")),
            ),
            ("sh" | "console" | "python" | "text" | "indented", "") => {}
            _ => panic!(
                "{place}: `{kind}` is not a kind of example that a test knows: tests/documents/examples.rs has them"
            ),
        }
        *counts.entry(kind).or_insert(0) += 1;
    }
    // if the markup of the documents changes, this test must not silently have nothing to check
    for kind in ["toml guild.toml", "toml master.toml", "toml worker.toml", "indented"] {
        assert!(counts.contains_key(kind), "no example of {kind} is left: {counts:?}");
    }
}

#[test]
fn parts_are_completed() {
    for (file, part) in [("guild.toml", "[trigger]\ntag = 'v*'"), ("master.toml", "[project.x]\nrepo = 'x'")] {
        check_file("here", file, part);
    }
}
