//! Reads the lines of a text report one after the other, in bounded memory.

use crate::collection::Flaw;
use std::io::{BufRead, BufReader, Read};

/// The most bytes that are kept of a line. The lines that tools write for a reader have some hundred.
const LINE_MAX: usize = 64 << 10;

/// The lines of a report, without colour sequences and line ends.
pub(crate) struct Lines<R> {
    from: BufReader<R>,
    bytes: Vec<u8>,
    /// The number of the last line that was read, from 1.
    pub number: usize,
    /// Whether the last line that was read had a line end.
    pub is_whole: bool,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(from: R) -> Lines<R> {
        Lines { from: BufReader::with_capacity(LINE_MAX, from), bytes: Vec::new(), number: 0, is_whole: true }
    }

    /// Returns the next line, or `None` at the end of the report.
    pub(crate) fn next(&mut self) -> Result<Option<String>, Flaw> {
        self.bytes.clear();
        let mut has_any = false;
        loop {
            let found = self.from.fill_buf().map_err(|error| Flaw::at(self.number + 1, error.to_string()))?;
            if found.is_empty() {
                break;
            }
            (has_any, self.is_whole) = (true, false);
            let end = found.iter().position(|byte| *byte == b'\n');
            let part = &found[..end.unwrap_or(found.len())];
            self.bytes.extend_from_slice(&part[..part.len().min(LINE_MAX.saturating_sub(self.bytes.len()))]);
            let used = end.map_or(found.len(), |end| end + 1);
            self.from.consume(used);
            if end.is_some() {
                self.is_whole = true;
                break;
            }
        }
        self.number += usize::from(has_any);
        Ok(has_any.then(|| plain(&self.bytes)))
    }
}

/// Returns the text without the escape sequences for a terminal. Text before a carriage return is dropped, because a terminal
/// overwrites it.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end_matches('\r');
    let text = text.rsplit('\r').next().unwrap_or_default();
    let mut plain = String::with_capacity(text.len());
    let mut parts = text.split('\u{1b}');
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        plain.push_str(after_sequence(part));
    }
    plain
}

/// Returns the text after an escape sequence. `part` begins after the escape character.
fn after_sequence(part: &str) -> &str {
    let Some(rest) = part.strip_prefix('[') else { return part };
    let end = rest.find(|char: char| ('\u{40}'..='\u{7e}').contains(&char));
    end.map_or("", |end| &rest[end + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lose_their_colours_and_their_ends() {
        let text = "a\r\n\x1b[1;32mok\x1b[0m then\n50%\r100%\n\nlast \u{1b}[";
        let mut lines = Lines::new(text.as_bytes());
        let mut found = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            found.push(line);
        }
        assert_eq!(found, ["a", "ok then", "100%", "", "last "]);
        assert_eq!(lines.number, 5);
    }

    #[test]
    fn the_end_of_a_long_line_is_dropped() {
        let text = format!("{}\nb", "x".repeat(3 * LINE_MAX));
        let mut lines = Lines::new(text.as_bytes());
        assert_eq!(lines.next().unwrap().unwrap().len(), LINE_MAX);
        assert_eq!(lines.next().unwrap().as_deref(), Some("b"));
    }
}
