//! The comments of the schema are the manual. These tests check how much of the schema they are, what each must say, and how long a
//! sentence may be.

use super::top;
use std::fs;
use std::path::PathBuf;

/// The six questions that the comment of an interface answers, in this order. `common.capnp` explains them.
const QUESTIONS: [&str; 6] = ["Authority: ", "Holder: ", "Drop: ", "Disconnect: ", "Repeat: ", "Cost: "];

/// The limit for the words of a sentence, which CONTRIBUTING.md sets.
pub(crate) const WORDS_MAX: usize = 25;

/// `ManualFile` is a file of the schema.
struct ManualFile {
    name: String,
    text: String,
}

/// `ManualLine` is a line of a file, split into its code and its comment. No text in the schema contains a `#`.
struct ManualLine<'a> {
    code: &'a str,
    comment: Option<&'a str>,
}

impl ManualFile {
    fn lines(&self) -> Vec<ManualLine<'_>> {
        self.text.lines().map(ManualLine::new).filter(|line| !line.is_blank()).collect()
    }
}

impl<'a> ManualLine<'a> {
    fn new(line: &'a str) -> ManualLine<'a> {
        match line.split_once('#') {
            Some((code, comment)) => ManualLine { code: code.trim(), comment: Some(comment.trim()) },
            None => ManualLine { code: line.trim(), comment: None },
        }
    }

    fn is_blank(&self) -> bool {
        self.code.is_empty() && self.comment.is_none()
    }

    /// Returns the comment of a line that has no code.
    fn whole_comment(&self) -> Option<&'a str> {
        self.comment.filter(|_| self.code.is_empty())
    }
}

fn files() -> Vec<ManualFile> {
    let folder = top().join("schema/guild");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_schema = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "capnp");
    let files: Vec<ManualFile> = paths.filter(is_schema).map(read).collect();
    assert!(!files.is_empty(), "the schema has no files");
    files
}

fn read(path: PathBuf) -> ManualFile {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    ManualFile { name, text: fs::read_to_string(&path).unwrap() }
}

/// Whether a line declares something that must have a comment: a field, a method, a member of an enum, or a type.
fn declares(line: &str) -> bool {
    let kinds = ["struct ", "enum ", "interface "];
    let is_import = line.starts_with("using ") || line.starts_with('@');
    !is_import && (line.contains(" @") || line.contains(":union") || line.contains(":group") || line == "union {")
        || kinds.iter().any(|kind| line.starts_with(kind))
}

/// At least half of the bytes of each file are comments, from `#` to the end of the line. Spaces before them do not count.
#[test]
fn the_schema_is_at_least_half_manual() {
    for file in files() {
        let lines = file.lines();
        let comments: usize = lines.iter().filter_map(|line| line.comment).map(|text| text.len() + 2).sum();
        let code: usize = lines.iter().map(|line| line.code.len()).sum();
        assert!(comments >= code, "{}: {comments} bytes of comments explain {code} bytes of schema", file.name);
    }
}

#[test]
fn each_interface_answers_the_six_questions() {
    for file in files() {
        let lines = file.lines();
        for (index, line) in lines.iter().enumerate().filter(|(_, line)| line.code.starts_with("interface ")) {
            let comment = lines[index + 1..].iter().map_while(ManualLine::whole_comment);
            let answers = comment.filter_map(|text| QUESTIONS.into_iter().find(|question| text.starts_with(question)));
            let answers: Vec<&str> = answers.collect();
            assert_eq!(answers, QUESTIONS, "{}: {}", file.name, line.code);
        }
    }
}

/// A field, a method and a member of an enum have a comment on their own line or below it. A type has it below.
#[test]
fn everything_in_the_schema_is_explained() {
    for file in files() {
        let lines = file.lines();
        for (index, line) in lines.iter().enumerate().filter(|(_, line)| declares(line.code)) {
            // a method may end on a later line
            let end =
                lines[index..].iter().position(|line| line.code.ends_with([';', '{', '}']) && !line.code.is_empty());
            let end = index + end.unwrap_or_default();
            let is_explained = lines[index..=end].iter().any(|line| line.comment.is_some())
                || lines.get(end + 1).is_some_and(|next| next.whole_comment().is_some());
            assert!(is_explained, "{}: `{}` has no comment", file.name, line.code);
        }
    }
}

/// Each sentence of the manual is short enough to be read at once.
#[test]
fn the_sentences_of_the_manual_are_short() {
    for file in files() {
        for block in blocks(&file) {
            let is_long = |sentence: &&str| sentence.split_whitespace().count() > WORDS_MAX;
            let long = block.split_inclusive(". ").find(is_long);
            assert!(long.is_none(), "{}: more than {WORDS_MAX} words: {}", file.name, long.unwrap_or_default());
        }
    }
}

/// Returns the comments of a file. Consecutive lines without code are one text, unless one of them begins an answer or an entry of
/// a list.
fn blocks(file: &ManualFile) -> Vec<String> {
    let mut blocks = vec![String::new()];
    for line in file.text.lines().map(ManualLine::new) {
        let text = line.whole_comment().unwrap_or_default();
        let begins = QUESTIONS.iter().chain([&"- "]).any(|start| text.starts_with(start));
        if text.is_empty() || begins {
            blocks.push(line.comment.unwrap_or_default().to_owned());
        } else if let Some(block) = blocks.last_mut() {
            block.push(' ');
            block.push_str(text);
        }
    }
    blocks
}

#[test]
fn declarations_of_the_schema_are_found() {
    let found = ["min @0 :UInt16;", "union {", "interface Gateway extends (Common.Pulse) {", "ping @0 ();"];
    let passed = ["@0xd1a4b6c0f5e27a09;", "using Common = import \"common.capnp\";", "-> (refusal :Refusal);", "}", ""];
    assert!(found.into_iter().all(declares) && !passed.into_iter().any(declares));
}
