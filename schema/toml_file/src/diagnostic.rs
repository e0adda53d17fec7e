//! One error in a file, and its text for people. The command, the answer to a push and the page show the same text.

use schema::shown::{Face, face};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;

/// The most characters of a source line that are shown, so that the line fits on a screen.
const EXCERPT_MAX: usize = 120;
/// The number of characters that are shown before the mark if the beginning of the line is left out.
const BEFORE_MARK: usize = 40;
/// The most characters of a message, a label or a help text. Longer ones are cut, because names from a file may be long.
const MESSAGE_MAX: usize = 400;

/// One error and its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    pub file: String,
    /// The number of the line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The place of the mistake, in bytes of the file.
    pub span: Range<usize>,
    pub message: String,
    /// The text beside the mark; may be empty.
    pub label: String,
    /// The way out of the error; may be empty.
    pub help: String,
    /// The source line, or the part of it around the mark.
    excerpt: String,
    /// The marked part of the excerpt, in characters.
    mark: Range<usize>,
}

/// All errors of one file or of several. The errors of each file are in the order of their places.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    pub(super) fn sorted(mut found: Vec<Diagnostic>) -> Diagnostics {
        found.sort_by_key(|diagnostic| diagnostic.span.start);
        Diagnostics(found)
    }

    /// Returns the values that were read well, and adds the errors of the others to this list.
    pub fn sift<T>(&mut self, found: impl Iterator<Item = Result<T, Diagnostics>>) -> Vec<T> {
        let good = found.filter_map(|one| one.map_err(|errors| self.0.extend(errors.0)).ok());
        good.collect()
    }
}

impl std::error::Error for Diagnostics {}

impl fmt::Display for Diagnostics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            write!(out, "{diagnostic}")?;
        }
        Ok(())
    }
}

impl Diagnostic {
    pub(super) fn locate(
        file: &str,
        text: &str,
        span: Range<usize>,
        message: &str,
        label: &str,
        help: &str,
    ) -> Diagnostic {
        let span = within(text, span);
        let start = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
        let end = text[span.start..].find('\n').map_or(text.len(), |at| span.start + at);
        let before = text[start..span.start].chars().count();
        let marked = text[span.start..span.end.min(end)].chars().count();
        let skipped = if before > EXCERPT_MAX - BEFORE_MARK { before - BEFORE_MARK } else { 0 };
        let excerpt: String = printable(text[start..end].chars().skip(skipped)).take(EXCERPT_MAX).collect();
        let mark = before - skipped..(before - skipped + marked.max(1)).min(EXCERPT_MAX);
        Diagnostic {
            file: printable(file.chars()).collect(),
            line: text[..start].bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: before + 1,
            span,
            message: printable(message.chars()).take(MESSAGE_MAX).collect(),
            label: printable(label.chars()).take(MESSAGE_MAX).collect(),
            help: printable(help.chars()).take(MESSAGE_MAX).collect(),
            excerpt: excerpt.trim_end().to_owned(),
            mark,
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = format!("{:>2}", self.line);
        let margin = " ".repeat(number.len() + 2);
        writeln!(out, "  × {}", self.message)?;
        writeln!(out, "{margin}╭─[{}:{}:{}]", self.file, self.line, self.column)?;
        writeln!(out, " {number} │ {}", self.excerpt)?;
        writeln!(out, "{margin}· {}{}", " ".repeat(self.mark.start), underline(self.mark.len(), &self.label))?;
        if !self.help.is_empty() {
            writeln!(out, "  help: {}", self.help)?;
        }
        Ok(())
    }
}

fn underline(width: usize, label: &str) -> String {
    let left = width / 2;
    let right = width.saturating_sub(left + 1);
    format!("{}┬{} {label}", "─".repeat(left), "─".repeat(right)).trim_end().to_owned()
}

/// Returns the span with its ends moved to boundaries of characters within the text.
fn within(text: &str, span: Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(span.start.min(text.len()));
    let end = text.ceil_char_boundary(span.end.clamp(start, text.len()));
    start..end
}

/// Replaces characters that are unsafe to show, because the text of a file may be hostile. Each stays one character, because the mark
/// below the line counts characters.
fn printable(chars: impl Iterator<Item = char>) -> impl Iterator<Item = char> {
    chars.map(|char| match face(char) {
        Face::Itself => char,
        Face::Space if char == '\t' => ' ',
        Face::Space | Face::Name => '\u{fffd}',
    })
}
