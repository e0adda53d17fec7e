//! The end of bytes that are too many to be kept. An error stands at the end of an output. So whoever stops to keep it at a limit
//! still keeps its last bytes, and says how many are missing before them.

use std::collections::VecDeque;

/// Bytes of the end that are kept beyond a limit: some hundred lines, in which the reason of a failure stands. A log that is not
/// too long has none in memory.
pub const TAIL_BYTES: usize = 64 << 10;

/// The last bytes of all that came after a limit, at most a bound of them.
#[derive(Clone, Debug)]
pub struct Tail {
    max: usize,
    bytes: VecDeque<u8>,
    /// How many bytes came in all.
    came: u64,
}

impl Default for Tail {
    fn default() -> Tail {
        Tail::of(TAIL_BYTES)
    }
}

impl Tail {
    /// An empty tail that keeps at most `max` bytes.
    pub fn of(max: usize) -> Tail {
        Tail { max, bytes: VecDeque::new(), came: 0 }
    }

    /// Takes the bytes that follow. Of these and the earlier ones the last stay.
    pub fn push(&mut self, bytes: &[u8]) {
        self.came += bytes.len() as u64;
        let kept = &bytes[bytes.len().saturating_sub(self.max)..];
        let over = (self.bytes.len() + kept.len()).saturating_sub(self.max);
        self.bytes.drain(..over);
        self.bytes.extend(kept);
    }

    /// How many bytes came and are not kept.
    pub fn missing(&self) -> u64 {
        self.came - self.bytes.len() as u64
    }

    /// How many bytes are kept.
    pub fn kept(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing came at all.
    pub fn is_empty(&self) -> bool {
        self.came == 0
    }

    /// The bytes that are kept. Where some bytes are missing before them, they begin with a line, if there is an end of one. The
    /// number says how many are missing in all.
    pub fn take(self) -> (u64, Vec<u8>) {
        let mut missing = self.missing();
        let mut bytes = Vec::from(self.bytes);
        if missing > 0
            && let Some(end) = bytes.iter().position(|byte| *byte == b'\n').filter(|end| end + 1 < bytes.len())
        {
            missing += end as u64 + 1;
            bytes.drain(..=end);
        }
        (missing, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C26.
    #[test]
    fn the_last_bytes_stay_and_the_others_are_counted() {
        for size in [0, 1, 4, 5, 6, 11, 40] {
            let all: Vec<u8> = (0..size).map(|at| b'a' + at % 26).collect();
            for part in [1, 2, 3, 7, 40] {
                let mut tail = Tail::of(5);
                all.chunks(part).for_each(|bytes| tail.push(bytes));
                let missing = all.len().saturating_sub(5);
                assert_eq!((tail.missing(), tail.is_empty()), (missing as u64, size == 0));
                assert_eq!(tail.take(), (missing as u64, all[missing..].to_vec()), "{size} bytes by {part}");
            }
        }
    }

    #[test]
    fn a_tail_after_a_gap_begins_with_a_line() {
        let kept = |max: usize, text: &str| {
            let mut tail = Tail::of(max);
            tail.push(text.as_bytes());
            let (missing, bytes) = tail.take();
            (missing, String::from_utf8(bytes).unwrap())
        };
        assert_eq!(kept(9, "one\ntwo\nthree\n"), (8, "three\n".to_owned()));
        assert_eq!(kept(14, "one\ntwo\nthree\n"), (0, "one\ntwo\nthree\n".to_owned()), "nothing is missing");
        assert_eq!(kept(4, "one\ntwo three\n"), (10, "ree\n".to_owned()), "the only line is cut");
    }
}
