//! Makes whole lines, each with a prefix, from the pieces in which a log arrives. The prefix is repeated after a carriage return,
//! because the text after it overwrites the line on a terminal. Without a prefix the bytes are unchanged. Holds at most one
//! unfinished line.
//!
//! A terminal shows the lines of several logs mixed. So a colour that a line leaves open ends with the line. It begins again after the
//! prefix of the next line of the same log.

use crate::painted::OpenColours;

/// The limit for a line, in bytes. A longer line is broken, because the output of other jobs must go on.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// A log that arrives in pieces, made into whole lines with a prefix.
#[derive(Debug)]
pub(crate) struct PrefixedLines {
    prefix: Vec<u8>,
    open: Vec<u8>,
    /// The colours that the last line left open.
    colours: OpenColours,
}

impl PrefixedLines {
    pub(crate) fn new(prefix: String) -> PrefixedLines {
        PrefixedLines { prefix: prefix.into_bytes(), open: Vec::new(), colours: OpenColours::default() }
    }

    /// Takes bytes that have arrived, and returns the text that can now be written.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.prefix.is_empty() {
            return bytes.to_vec();
        }
        let mut text = Vec::with_capacity(bytes.len() + self.prefix.len());
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            for part in part.chunks(LINE_BYTES_MAX) {
                self.open.extend_from_slice(part);
                if part.ends_with(b"\n") || self.open.len() >= LINE_BYTES_MAX {
                    self.close(&mut text);
                }
            }
        }
        text
    }

    /// Returns the unfinished line at the end of a log.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        if !self.open.is_empty() {
            self.close(&mut text);
        }
        text
    }

    fn close(&mut self, text: &mut Vec<u8>) {
        if self.open.last() == Some(&b'\n') {
            self.open.pop();
        }
        let (line, end) = match self.open.strip_suffix(b"\r") {
            Some(line) => (line, &b"\r\n"[..]),
            None => (self.open.as_slice(), &b"\n"[..]),
        };
        for (index, part) in line.split(|byte| *byte == b'\r').enumerate() {
            if index > 0 {
                text.push(b'\r');
            }
            text.extend_from_slice(&self.prefix);
            text.extend_from_slice(self.colours.begin());
            text.extend_from_slice(part);
            self.colours.follow(part);
            text.extend_from_slice(self.colours.end());
        }
        text.extend_from_slice(end);
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_whole_across_pieces() {
        let mut lines = PrefixedLines::new("a | ".to_owned());
        assert_eq!(lines.push(b"one\ntw"), b"a | one\n");
        assert_eq!(lines.push(b"o\n\nthr"), b"a | two\na | \n");
        assert_eq!(lines.finish(), b"a | thr\n");
        assert_eq!(lines.finish(), b"");
    }

    #[test]
    fn a_bar_that_is_drawn_over_itself_does_not_take_the_prefix() {
        let mut lines = PrefixedLines::new("a | ".to_owned());
        assert_eq!(lines.push(b"\r10%\r20%\n"), b"a | \ra | 10%\ra | 20%\n");
        assert_eq!(lines.push(b"dos\r\n"), b"a | dos\r\n");
        assert_eq!(lines.push(b"1%\r"), b"");
        assert_eq!(lines.finish(), b"a | 1%\r\n");
    }

    #[test]
    fn a_colour_that_stays_open_is_not_the_next_jobs() {
        let mut lines = PrefixedLines::new("a | ".to_owned());
        assert_eq!(
            lines.push(b"\x1b[31mred\nstill\x1b[0m plain\n"),
            b"a | \x1b[31mred\x1b[0m\na | \x1b[31mstill\x1b[0m plain\n"
        );
        assert_eq!(lines.push(b"plain\n"), b"a | plain\n");
        assert_eq!(lines.push(b"\x1b[1m\x1b[32mx\n"), b"a | \x1b[1m\x1b[32mx\x1b[0m\n");
        assert_eq!(lines.push(b"y\x1b[m\n"), b"a | \x1b[1m\x1b[32my\x1b[m\n");
        assert_eq!(lines.push(b"\x1b[1m1%\r2%\n"), b"a | \x1b[1m1%\x1b[0m\ra | \x1b[1m2%\x1b[0m\n");
        assert_eq!(lines.push(b"\x1b[0;33mz\x1b[0m\x1b[2Kq\n"), b"a | \x1b[1m\x1b[0;33mz\x1b[0m\x1b[2Kq\n");
    }

    #[test]
    fn colours_without_end_take_no_room() {
        let mut lines = PrefixedLines::new("a | ".to_owned());
        lines.push(&b"\x1b[31m\x1b[32m\x1b[1;4m".repeat(1_000));
        lines.finish();
        assert!(lines.colours.begin().len() <= 100, "{:?}", lines.colours);
    }

    #[test]
    fn without_a_prefix_the_bytes_are_the_bytes() {
        let mut lines = PrefixedLines::new(String::new());
        assert_eq!(lines.push(b"no end \xff\r"), b"no end \xff\r");
        assert_eq!(lines.finish(), b"");
    }

    #[test]
    fn a_line_without_end_is_broken() {
        let mut lines = PrefixedLines::new("a | ".to_owned());
        let text = lines.push(&[b'x'; 3 * LINE_BYTES_MAX]);
        assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 3);
        assert!(lines.open.is_empty());
    }
}
