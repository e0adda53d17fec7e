//! Makes whole lines of the pieces in which a log arrives, each with a prefix. Behind a carriage return the prefix stands
//! again, because what follows overwrites the line on a terminal. Without a prefix the bytes stay as they are. Holds one
//! unfinished line at most.

/// A line longer than this is broken: output of parallel jobs must go on.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// A log that arrives in pieces, made into whole lines with a prefix.
#[derive(Debug)]
pub(crate) struct PrefixedLines {
    prefix: Vec<u8>,
    open: Vec<u8>,
}

impl PrefixedLines {
    pub(crate) fn new(prefix: String) -> PrefixedLines {
        PrefixedLines { prefix: prefix.into_bytes(), open: Vec::new() }
    }

    /// What can be written now that `bytes` arrived.
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

    /// What is left at the end of a log.
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
            text.extend_from_slice(part);
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
