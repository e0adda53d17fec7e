//! Texts that readers did not understand. They were rewritten for those readers, so the old texts must not come back into messages,
//! help, pages or documents.

use crate::prose::documents;
use crate::{read, top};
use std::path::Path;

/// A characteristic part of each text of the cases S5.1 to S5.25 in `tests/cases.tsv`.
const UNCLEAR: [&str; 25] = [
    "which build is to be",
    "is not tag",
    "the master sent nothing for",
    "silent for too long\"",
    "(keep it with guild init)",
    "uncommitted files are not part of",
    "there: connected the longest",
    "what the master says of itself is for operators",
    "for want of a worker",
    "redeemed already, by another key",
    "cannot read nosuch.cap",
    "/// Serve\n",
    "what it says that the master does not run with",
    "Exit with the outcome of what is shown",
    "Print what a shell completes this command with",
    "Print what this worker would tell of itself",
    "Have the master follow a repository",
    "Who has a credential logs in with",
    "gets objects that *are* what they may do",
    "What a grant does not name does not exist",
    "What 'developer' means stands in",
    "Between both stand the values of",
    "Where no cell agrees, nothing is needed",
    "by itself gets the job placed, as soon as",
    "says that a lane changed its colour",
];

/// Returns the documents, the sources and the templates, which have all texts that people see. Tests are left out.
fn shown() -> Vec<(String, String)> {
    let mut found = documents();
    let mut open: Vec<String> = ["master", "worker", "client", "schema"].map(str::to_owned).into();
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(top().join(&dir)).unwrap() {
            let path = format!("{dir}/{}", entry.unwrap().file_name().to_string_lossy());
            let ends = |end: &str| Path::new(&path).extension().is_some_and(|found| found == end);
            if top().join(&path).is_dir() {
                open.push(path);
            } else if ends("rs") || ends("html") {
                let text = read(&path);
                let without_tests = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
                found.push((path, without_tests));
            }
        }
    }
    found
}

#[test]
fn what_readers_did_not_understand_is_written_nowhere() {
    let shown = shown();
    assert!(shown.len() > 100, "the sources are elsewhere");
    for unclear in UNCLEAR {
        let places: Vec<&str> =
            shown.iter().filter(|(_, text)| text.contains(unclear)).map(|(path, _)| path.as_str()).collect();
        assert!(places.is_empty(), "`{unclear}` stands in {places:?}");
    }
}

/// Each variable that a step finds in its environment has a line in `docs/step.md` (T3.2 and F6.11 in `tests/cases.tsv`).
#[test]
fn each_variable_of_a_step_has_its_line() {
    let page = read("docs/step.md");
    let text = read("worker/src/process/environment.rs") + &read("schema/pipeline/src/matrix.rs");
    let names: Vec<&str> = text
        .split(|c: char| !(c.is_ascii_uppercase() || c == '_'))
        .filter(|word| word.starts_with("GUILD_") && word.len() > 7)
        .collect();
    assert!(names.len() > 5, "{names:?}");
    for name in names {
        assert!(page.contains(&format!("`{name}")), "docs/step.md has no {name}");
    }
}
