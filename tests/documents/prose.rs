//! Takes the documents apart into blocks of examples, words in backticks, headings and links.

use crate::{read, top};
use std::path::Path;

/// `Block` is one example: a fenced block, or an indented one.
#[derive(Clone, Debug)]
pub struct Block {
    /// The file and the line, for example `docs/master.md:12`.
    pub place: String,
    /// The words after the fence, or "indented" for an indented block.
    pub kind: String,
    pub text: String,
}

/// Returns the paths and texts of README.md and of all documents below docs/.
pub fn documents() -> Vec<(String, String)> {
    let mut paths = vec!["README.md".to_owned()];
    let mut open = vec!["docs".to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(top().join(&dir)).unwrap() {
            let path = format!("{dir}/{}", entry.unwrap().file_name().to_string_lossy());
            if top().join(&path).is_dir() {
                open.push(path);
            } else if path.ends_with(".md") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), read(&path))).collect()
}

/// Returns all examples of all documents.
pub fn all_blocks() -> Vec<Block> {
    documents().iter().flat_map(|(path, text)| blocks(path, text)).collect()
}

pub fn blocks(path: &str, text: &str) -> Vec<Block> {
    let block = |index: usize, kind: &str| Block {
        place: format!("{path}:{}", index + 1),
        kind: kind.to_owned(),
        text: String::new(),
    };
    let mut blocks = Vec::new();
    // the block that has not ended yet, and whether a fence began it
    let mut open: Option<(Block, bool)> = None;
    let mut after_blank = true;
    for (index, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```"), line.strip_prefix("    ")) {
            (Some((_, true)), Some(_), _) => blocks.extend(open.take().map(|(block, _)| block)),
            (Some((block, true)), ..) => block.text.push_str(&format!("{line}\n")),
            (_, Some(kind), _) => {
                blocks.extend(open.take().map(|(block, _)| block));
                open = Some((block(index, kind), true));
            }
            (Some((block, false)), None, Some(line)) => block.text.push_str(&format!("{line}\n")),
            (Some((block, false)), None, None) if line.is_empty() => block.text.push('\n'),
            (None, None, Some(line)) if after_blank => {
                let block = block(index, "indented");
                open = Some((Block { text: format!("{line}\n"), ..block }, false));
            }
            (_, None, _) => blocks.extend(open.take().map(|(block, _)| block)),
        }
        after_blank = line.is_empty();
    }
    assert!(open.as_ref().is_none_or(|(_, fenced)| !fenced), "{path} has a fence without an end");
    blocks.extend(open.map(|(block, _)| block));
    blocks
}

/// Returns the texts in backticks outside of fences, with their places. Such a text may continue on the next line.
pub fn spans(path: &str, text: &str) -> Vec<(String, String)> {
    let mut spans = Vec::new();
    let mut fenced = false;
    let mut span: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        fenced ^= line.starts_with("```");
        if fenced || line.starts_with("```") || line.starts_with("    ") {
            continue;
        }
        if line.is_empty() {
            span = None;
        }
        for (part, words) in line.split('`').enumerate() {
            if part > 0 {
                match span.take() {
                    Some((at, span)) => spans.push((format!("{path}:{}", at + 1), span)),
                    None => span = Some((index, String::new())),
                }
            }
            if let Some((_, span)) = &mut span {
                span.push_str(words);
            }
        }
        if let Some((_, span)) = &mut span {
            span.push(' ');
        }
    }
    spans
}

/// Returns the anchor by which an address names a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn has_anchor(text: &str, wanted: &str) -> bool {
    text.lines()
        .filter_map(|line| line.strip_prefix('#'))
        .any(|line| anchor(line.trim_start_matches('#').trim()) == wanted)
}

#[test]
fn links_lead_somewhere() {
    for (path, text) in documents() {
        let dir = Path::new(&path).parent().unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.starts_with("https://") {
                continue;
            }
            let (file, place) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { Path::new(&path).to_owned() } else { dir.join(file) };
            assert!(top().join(&file).exists(), "{path} links to {target}, which is not there");
            if !place.is_empty() {
                assert!(has_anchor(&read(&file.to_string_lossy()), place), "{path} links to {target}: no such heading");
            }
        }
    }
}

#[test]
fn blocks_and_spans_are_found() {
    let text = "`a\nb`\n\n    one\n    two\n\n    three\nb `c`\n    no\n\n```sh\nfour\n```\n\n    five\n";
    let found: Vec<_> = blocks("x", text).into_iter().map(|block| (block.place, block.text)).collect();
    let wanted = [("x:4", "one\ntwo\n\nthree\n"), ("x:11", "four\n"), ("x:15", "five\n")];
    assert_eq!(found, wanted.map(|(place, text)| (place.to_owned(), text.to_owned())));
    assert_eq!(
        spans("x", text),
        [("x:1", "a b"), ("x:8", "c")].map(|(place, text)| (place.to_owned(), text.to_owned()))
    );
}
