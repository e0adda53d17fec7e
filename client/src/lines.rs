//! Makes whole lines of the pieces in which a log arrives, each with a prefix. Without a prefix the bytes stay as they
//! are. Holds one unfinished line at most.

/// A line longer than this is broken: output of parallel jobs must go on.
const LINE_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug)]
pub struct Lines {
    prefix: Vec<u8>,
    open: Vec<u8>,
}

impl Lines {
    pub fn new(prefix: String) -> Lines {
        Lines { prefix: prefix.into_bytes(), open: Vec::new() }
    }

    /// What can be written now that `bytes` arrived.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
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
    pub fn finish(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        if !self.open.is_empty() {
            self.close(&mut text);
        }
        text
    }

    fn close(&mut self, text: &mut Vec<u8>) {
        text.extend_from_slice(&self.prefix);
        text.append(&mut self.open);
        if !text.ends_with(b"\n") {
            text.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_whole_across_pieces() {
        let mut lines = Lines::new("a | ".to_owned());
        assert_eq!(lines.push(b"one\ntw"), b"a | one\n");
        assert_eq!(lines.push(b"o\n\nthr"), b"a | two\na | \n");
        assert_eq!(lines.finish(), b"a | thr\n");
        assert_eq!(lines.finish(), b"");
    }

    #[test]
    fn without_a_prefix_the_bytes_are_the_bytes() {
        let mut lines = Lines::new(String::new());
        assert_eq!(lines.push(b"no end \xff\r"), b"no end \xff\r");
        assert_eq!(lines.finish(), b"");
    }

    #[test]
    fn a_line_without_end_is_broken() {
        let mut lines = Lines::new("a | ".to_owned());
        let text = lines.push(&[b'x'; 3 * LINE_BYTES_MAX]);
        assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 3);
        assert!(lines.open.is_empty());
    }
}
