//! What a machine can keep of the rules of English in CONTRIBUTING.md: comments that say something, in sentences that can be read
//! at once.

use super::manual::WORDS_MAX;
use super::{CRATES, is_of_tests, sources, top};
use std::fmt;

/// A comment with fewer words than this says nothing.
const WORDS_MIN: usize = 5;

/// Sentences of more than [`WORDS_MAX`] words in the comments of the product: most are lists of errors and of files. The number
/// only falls: whoever shortens one lowers it.
const LONG_SENTENCES: usize = 9;

/// One comment of a declaration or of a file, as one text without its code and its tables.
struct DocComment {
    place: String,
    text: String,
}

impl fmt::Display for DocComment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// The comments of the product. Help of a command is a phrase by custom, so files that declare arguments are left out.
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

/// How many words the longest sentence of a comment has. An entry of a list is a sentence of its own.
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

#[test]
fn comments_are_read_as_texts() {
    let text = "//! One file.\n//!\n//! ```text\n//! let x = 1;\n//! ```\n\n/// `A` is\n/// one. Two\nfn a() {}\n";
    let found: Vec<String> = doc_comments("f", text).iter().map(DocComment::to_string).collect();
    assert_eq!(found, ["f:1:  One file. ", "f:7:  `A` is one. Two"]);
    assert_eq!(longest(" One two. Three four five - six"), 3);
}
