//! The line ends of a file that people write. An editor may save `\r\n`, but the strings of the file must stay the same. A shell
//! would read the `\r` as a part of a command. TOML leaves this to the reader.

use std::borrow::Cow;
use std::ops::Range;

/// The help for a carriage return that does not belong to a line end. TOML forbids it everywhere.
pub(super) const WAY_OUT: &str = "save the file with line ends \\n or \\r\\n; in a string, write \\r";

/// Replaces each `\r\n` of the text by `\n`. An escaped `\r` in a string is not a line end and stays.
pub fn with_plain_line_ends(written: &str) -> Cow<'_, str> {
    match written.contains("\r\n") {
        true => Cow::Owned(written.replace("\r\n", "\n")),
        false => Cow::Borrowed(written),
    }
}

/// Converts a span of the text with plain line ends to a span of the file itself.
pub(super) fn as_written(written: &str, span: Range<usize>) -> Range<usize> {
    let start = offset_as_written(written, span.start);
    start..start + (offset_as_written(written, span.end) - start)
}

/// Converts an offset in the text with plain line ends to an offset in the file. Each `\r\n` before it adds one byte.
fn offset_as_written(written: &str, offset: usize) -> usize {
    let mut plain = 0;
    let mut skipped = 0;
    let bytes = written.as_bytes();
    for pair in bytes.windows(2) {
        if plain >= offset {
            break;
        }
        match pair == b"\r\n" {
            true => skipped += 1,
            false => plain += 1,
        }
    }
    offset + skipped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_line_ends_become_plain() {
        assert_eq!(with_plain_line_ends("a\r\nb\r\n"), "a\nb\n");
        assert_eq!(with_plain_line_ends("a\r\r\nb\rc\n\r"), "a\r\nb\rc\n\r");
        assert!(matches!(with_plain_line_ends("a\nb\\r\\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_span_finds_its_place_in_the_file() {
        let written = "a\r\nbc\r\n\r\nЖd\r\n";
        let plain = with_plain_line_ends(written);
        for (start, _) in plain.char_indices() {
            for (end, _) in plain.char_indices().filter(|(end, _)| *end >= start) {
                let span = as_written(written, start..end);
                assert_eq!(with_plain_line_ends(&written[span]).trim_end_matches('\r'), &plain[start..end]);
            }
        }
        assert_eq!(as_written(written, plain.len()..plain.len()), written.len()..written.len());
    }
}
