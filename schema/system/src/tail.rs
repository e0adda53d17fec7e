//! The last bytes of an output that is too long to be kept. An error is usually at the end of an output. So a reader that has
//! reached its limit still keeps the last bytes, and the number of bytes that are missing before them.

use std::collections::VecDeque;

/// The bytes that are kept after a limit is reached. They are some hundred lines, which usually contain the reason of a failure. They
/// are in memory only for a log that is too long.
pub const TAIL_BYTES: usize = 64 << 10;

/// The last bytes of those that came after a limit was reached. Their number is bounded.
#[derive(Clone, Debug)]
pub struct Tail {
    max: usize,
    bytes: VecDeque<u8>,
    /// The number of all bytes that came.
    came: u64,
}

impl Default for Tail {
    fn default() -> Tail {
        Tail::of(TAIL_BYTES)
    }
}

impl Tail {
    /// Makes an empty tail that keeps at most `max` bytes.
    pub fn of(max: usize) -> Tail {
        Tail { max, bytes: VecDeque::new(), came: 0 }
    }

    /// Takes the next bytes. Of all bytes so far, only the last `max` are kept.
    pub fn push(&mut self, bytes: &[u8]) {
        self.came += bytes.len() as u64;
        let kept = &bytes[bytes.len().saturating_sub(self.max)..];
        let over = (self.bytes.len() + kept.len()).saturating_sub(self.max);
        self.bytes.drain(..over);
        self.bytes.extend(kept);
    }

    /// Returns the number of bytes that came and were not kept.
    pub fn missing(&self) -> u64 {
        self.came - self.bytes.len() as u64
    }

    /// Returns the number of kept bytes.
    pub fn kept(&self) -> usize {
        self.bytes.len()
    }

    /// Whether no byte has come yet.
    pub fn is_empty(&self) -> bool {
        self.came == 0
    }

    /// Returns the number of missing bytes and the kept ones. If bytes are missing, the kept ones begin with a new line if they can.
    /// The rest of the line before it then counts as missing too.
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

    /// C26: the number of missing bytes and the kept bytes are exact, however the output is cut into pieces.
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
