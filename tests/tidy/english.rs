//! Checks the rules of English in CONTRIBUTING.md as far as a machine can: comments say something, in sentences that readers
//! understand at once.

use super::manual::WORDS_MAX;
use super::{CRATES, is_of_tests, sources, top};
use std::path::{Path, PathBuf};
use std::{fmt, fs};

/// A comment with fewer words than this says nothing.
const WORDS_MIN: usize = 5;

/// The number of sentences in the comments of the product that have more than [`WORDS_MAX`] words. Most are lists of errors and of
/// files. If you shorten one, lower the number; nobody may raise it.
const LONG_SENTENCES: usize = 9;

/// The phrases that readers did not understand at once, because a noun, a subject or a condition is left out. Each has a better
/// text, and the number of places that still have the phrase. Nobody may raise a number.
const CLIPPED: [(&str, &str, usize); 10] = [
    ("at most so many", "at most this many", 0),
    ("told of", "the noun: the events of, the notices of", 1),
    ("which is the most", "and may have no more", 0),
    ("at first sight", "if the master sees it for the first time", 0),
    ("at the most", "at most", 0),
    ("at the least", "at least", 0),
    ("where there is none", "if there is none", 0),
    ("where nothing", "if nothing", 1),
    ("where none", "if none", 0),
    ("is none that", "is not one that", 0),
];

/// The words that may follow "is no". Before all other words write "is not a".
const AFTER_NO: [&str; 14] = [
    "longer", "more", "less", "later", "larger", "sooner", "fewer", "other", "further", "such", "reason", "news",
    "way", "room",
];

/// The number of places that still say "is no" instead of "is not a". They are in the readers of test reports. Nobody may raise it.
const NO_FOR_NOT: usize = 7;

/// The words with which a comment must not begin, because it would then not say what the thing is.
const BARE_BEGINNINGS: [&str; 9] = ["As", "Beside", "By", "For", "Of", "To", "Until", "With", "Without"];

/// The number of comments that still begin with such a word. They are in the code for test reports. Nobody may raise it.
const BARE_COMMENTS: usize = 5;

/// `DocComment` is the comment of a declaration or of a file, as one text without its code and its tables.
struct DocComment {
    place: String,
    text: String,
}

impl fmt::Display for DocComment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// Returns the comments of the product, without those of files that declare arguments. There a comment is help, which is usually a
/// phrase.
fn comments() -> Vec<DocComment> {
    let files = CRATES.into_iter().flat_map(sources);
    let files = files.filter(|(path, text)| !is_of_tests(path) && !text.contains("clap::"));
    let read = |(path, text): (std::path::PathBuf, String)| {
        let place = path.strip_prefix(top()).unwrap().display().to_string();
        let product = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
        doc_comments(&place, &product)
    };
    files.flat_map(read).collect()
}

fn doc_comments(place: &str, text: &str) -> Vec<DocComment> {
    let mut found = Vec::new();
    let mut open: Option<DocComment> = None;
    let mut is_code = false;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        let Some(said) = line.strip_prefix("///").or(line.strip_prefix("//!")).map(str::trim) else {
            found.extend(open.take());
            continue;
        };
        let comment =
            open.get_or_insert_with(|| DocComment { place: format!("{place}:{number}"), text: String::new() });
        if said.starts_with("```") {
            is_code = !is_code;
        } else if !is_code && !said.starts_with(['|', '#']) {
            comment.text.push(' ');
            comment.text.push_str(said);
        }
    }
    found.extend(open);
    found
}

/// Returns the number of words of the longest sentence of a comment. An entry of a list is a sentence of its own.
fn longest(text: &str) -> usize {
    let parts = text.split(" - ").flat_map(|part| part.split(". "));
    parts.map(|sentence| sentence.split_whitespace().count()).max().unwrap_or_default()
}

#[test]
fn each_comment_says_something() {
    let is_short = |comment: &DocComment| (1..WORDS_MIN).contains(&comment.text.split_whitespace().count());
    let short: Vec<String> = comments().iter().filter(|comment| is_short(comment)).map(DocComment::to_string).collect();
    assert!(short.is_empty(), "write a sentence, or leave the comment out:\n{}", short.join("\n"));
}

#[test]
fn sentences_can_be_read_at_once() {
    let is_long = |comment: &DocComment| longest(&comment.text) > WORDS_MAX;
    let long: Vec<String> = comments().iter().filter(|comment| is_long(comment)).map(DocComment::to_string).collect();
    let count = long.len();
    assert!(count <= LONG_SENTENCES, "a sentence has at most {WORDS_MAX} words:\n{}", long.join("\n"));
    assert!(count + 2 >= LONG_SENTENCES, "only {count} comments have a long sentence: lower the number of this test");
}

/// Returns everything that users and contributors read: comments, messages, pages and documents. Each file is one line.
fn texts() -> Vec<(String, String)> {
    let product = CRATES.into_iter().flat_map(sources).filter(|(path, _)| !is_of_tests(path));
    let product = product.map(|(path, text)| (path, text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()));
    let others = ["docs", "docs/reference", "schema/guild", "master/templates"].into_iter().flat_map(files_in);
    let lines = |text: &str| text.lines().map(said).collect::<Vec<_>>().join(" ");
    let place = |path: &Path| path.strip_prefix(top()).unwrap().display().to_string();
    product.chain(others).map(|(path, text)| (place(&path), lines(&text))).collect()
}

fn files_in(folder: &str) -> Vec<(PathBuf, String)> {
    let paths = fs::read_dir(top().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let is_text =
        |path: &PathBuf| path.extension().is_some_and(|end| ["md", "capnp", "html"].contains(&&*end.to_string_lossy()));
    paths.filter(is_text).map(|path| (path.clone(), fs::read_to_string(&path).unwrap())).collect()
}

/// Returns a line without the marks of a comment, and without the backslash of a text that goes on in the next line.
fn said(line: &str) -> &str {
    let line = line.trim().trim_end_matches('\\').trim_end();
    let marks = ["///", "//!", "//", "#"].into_iter().find_map(|mark| line.strip_prefix(mark));
    marks.unwrap_or(line).trim_start()
}

/// Returns each place where a text has a phrase, with some text after it.
fn places_of(phrase: &str, texts: &[(String, String)]) -> Vec<String> {
    let found = texts.iter().flat_map(|(place, text)| {
        text.match_indices(phrase)
            .map(move |(at, _)| format!("{place}: {}", text[at..].chars().take(60).collect::<String>()))
    });
    found.collect()
}

#[test]
fn nothing_that_a_sentence_needs_is_left_out() {
    let texts = texts();
    assert!(texts.len() > 300, "the texts are elsewhere");
    for (phrase, better, allowed) in CLIPPED {
        let found = places_of(phrase, &texts);
        assert!(found.len() <= allowed, "instead of `{phrase}` write `{better}`:\n{}", found.join("\n"));
    }
}

/// Whether a text says "is no" instead of "is not a". "There is no" is good English, and so is "is no longer".
fn is_no_for_not(before: &str, after: &str) -> bool {
    let subject = before.split_whitespace().next_back().unwrap_or_default();
    let word = after.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    !subject.to_lowercase().ends_with("there") && !AFTER_NO.contains(&word)
}

#[test]
fn what_is_not_one_is_not_called_none() {
    let mut found = Vec::new();
    for (place, text) in texts() {
        let found_here =
            text.match_indices(" is no ").filter(|(at, verb)| is_no_for_not(&text[..*at], &text[at + verb.len()..]));
        found.extend(found_here.map(|(at, _)| format!("{place}: {}", text[at..].chars().take(40).collect::<String>())));
    }
    assert!(found.len() <= NO_FOR_NOT, "write `is not a`:\n{}", found.join("\n"));
    assert!(is_no_for_not("`x`", "label: write") && is_no_for_not("it", "XML"));
    assert!(
        !is_no_for_not("so there", "label") && !is_no_for_not("it", "longer kept") && !is_no_for_not("\"there", "job")
    );
}

#[test]
fn a_comment_says_what_a_thing_is() {
    let begins_bare = |comment: &DocComment| {
        comment.text.split_whitespace().next().is_some_and(|word| BARE_BEGINNINGS.contains(&word))
    };
    let bare: Vec<String> =
        comments().iter().filter(|comment| begins_bare(comment)).map(DocComment::to_string).collect();
    assert!(bare.len() <= BARE_COMMENTS, "begin with the noun or the verb:\n{}", bare.join("\n"));
}

/// The help of a command begins with a verb or a noun, and not with a preposition or with "only".
#[test]
fn help_begins_with_what_it_is_about() {
    let commands = CRATES.into_iter().flat_map(sources).filter(|(_, text)| text.contains("clap::"));
    let mut help = Vec::new();
    for (path, text) in commands {
        let product = text.split("#[cfg(test)]").next().unwrap_or_default();
        help.extend(doc_comments(&path.strip_prefix(top()).unwrap().display().to_string(), product));
    }
    assert!(help.len() > 100, "the commands are elsewhere");
    let is_bare = |comment: &&DocComment| {
        let first = comment.text.split_whitespace().next().unwrap_or_default();
        BARE_BEGINNINGS.contains(&first) || ["At", "Only", "Those", "Where"].contains(&first)
    };
    let bare: Vec<String> = help.iter().filter(is_bare).map(DocComment::to_string).collect();
    assert!(bare.is_empty(), "begin with a verb or a noun:\n{}", bare.join("\n"));
}

/// An error about a value states a rule (`cpus` must be above 0), and not a fact.
#[test]
fn a_rule_is_told_as_a_rule() {
    let texts = texts();
    for fact in ["` is above ", "` is at most ", "` is at least ", "\"is from {} to", "\"is above "] {
        let found = places_of(fact, &texts);
        assert!(found.is_empty(), "say that it must be so:\n{}", found.join("\n"));
    }
}

/// A cell of a table does not begin with "of" or "for", so that it can be read alone.
#[test]
fn cells_of_tables_name_what_they_are_about() {
    for (place, text) in files_in("docs").into_iter().chain(files_in("docs/reference")) {
        for line in text.lines().filter(|line| line.starts_with('|')) {
            let mut cells = line.split('|').map(str::trim);
            assert!(
                !cells.any(|cell| cell.starts_with("of ") || cell.starts_with("for ")),
                "{}: {line}",
                place.display()
            );
        }
    }
}

#[test]
fn lines_of_comments_and_texts_go_together() {
    let lines = ["    /// At most so", "    /// many", "\"a \\", "     b\""].map(said).join(" ");
    assert_eq!(lines, "At most so many \"a b\"");
    assert_eq!(places_of("so many", &[("f".to_owned(), lines)]), ["f: so many \"a b\""]);
}

#[test]
fn comments_are_read_as_texts() {
    let text = "//! One file.\n//!\n//! ```text\n//! let x = 1;\n//! ```\n\n/// `A` is\n/// one. Two\nfn a() {}\n";
    let found: Vec<String> = doc_comments("f", text).iter().map(DocComment::to_string).collect();
    assert_eq!(found, ["f:1:  One file. ", "f:7:  `A` is one. Two"]);
    assert_eq!(longest(" One two. Three four five - six"), 3);
}
