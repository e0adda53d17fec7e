//! Gives the bytes of a report to the XML reader. It turns them into valid UTF-8, counts lines, and bounds each tag and each text,
//! because the XML reader holds a whole one in memory.

use std::io::{self, BufRead, Read};

/// The most bytes of one tag or text. The output of a test can have many MiB, so it is large.
const EVENT_MAX: usize = 64 << 20;

/// The number of bytes that are read at once.
const CHUNK_BYTES: usize = 64 << 10;

pub(super) struct Source<R> {
    from: R,
    /// The bytes that were read, as UTF-8. The first `taken` of them are used.
    text: Vec<u8>,
    taken: usize,
    /// The beginning of a character whose end is not read yet.
    begun: Vec<u8>,
    lines: usize,
    event: usize,
}

impl<R: Read> Source<R> {
    pub(super) fn new(from: R) -> Source<R> {
        Source { from, text: Vec::new(), taken: 0, begun: Vec::new(), lines: 0, event: 0 }
    }

    /// Begins the next tag or text, for which the bound counts anew.
    pub(super) fn begin_event(&mut self) {
        self.event = 0;
    }

    /// Returns the number of the line up to which the report was read, from 1.
    pub(super) fn line(&self) -> usize {
        self.lines + 1
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut chunk = std::mem::take(&mut self.begun);
        let start = chunk.len();
        chunk.resize(start + CHUNK_BYTES, 0);
        let count = self.from.read(&mut chunk[start..])?;
        chunk.truncate(start + count);
        if count > 0 {
            self.begun = chunk.split_off(whole(&chunk));
        }
        // invalid bytes are replaced, and control characters stay, although XML forbids them, because outputs contain them
        self.text = String::from_utf8_lossy(&chunk).into_owned().into_bytes();
        self.taken = 0;
        Ok(())
    }
}

/// Returns the number of bytes without a character at the end of which only the beginning is there.
fn whole(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let at = bytes.len() - back;
        let needs = match bytes[at] {
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf7 => 4,
            0x80..=0xbf => continue,
            _ => return bytes.len(),
        };
        return if back < needs { at } else { bytes.len() };
    }
    bytes.len()
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let found = self.fill_buf()?;
        let count = found.len().min(into.len());
        into[..count].copy_from_slice(&found[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl<R: Read> BufRead for Source<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.event > EVENT_MAX {
            return Err(io::Error::other(format!("a tag or a text has more than {} MiB", EVENT_MAX >> 20)));
        }
        while self.taken == self.text.len() {
            self.fill()?;
            if self.text.is_empty() && self.begun.is_empty() {
                break;
            }
        }
        Ok(&self.text[self.taken..])
    }

    fn consume(&mut self, count: usize) {
        let used = &self.text[self.taken..self.taken + count];
        self.lines += used.iter().filter(|byte| **byte == b'\n').count();
        self.event += count;
        self.taken += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source that gives one byte at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            into[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    #[test]
    fn what_is_no_utf8_is_replaced() {
        let bytes = "a\né€🎉".as_bytes().iter().copied().chain([0xff, b'b', 0xe2, 0x82]).collect::<Vec<_>>();
        let mut text = String::new();
        let mut source = Source::new(Slow(&bytes));
        source.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), source.line()), ("a\né€🎉\u{fffd}b\u{fffd}", 2));
    }
}
