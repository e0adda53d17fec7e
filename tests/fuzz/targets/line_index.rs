//! The search for lines of a log by their numbers, compared with the plain definition.

use super::pieces::Pieces;
use master::keep::logs::find_lines;

/// The longest log, in bytes. It spans a few blocks of the index.
const LOG_MAX: usize = 300 << 10;
/// The largest answer, in bytes.
const ANSWER_MAX: usize = 256 << 10;
/// The number of searches in one log.
const QUESTIONS: usize = 4;

/// Takes four questions of five bytes each, and then the log as runs of equal bytes.
pub fn target(data: &[u8]) {
    let mut pieces = Pieces(data);
    let questions: Vec<_> = (0..QUESTIONS).map(|_| question(&mut pieces)).collect();
    let log = log(&mut pieces);
    let found = find_lines(&log, &questions).expect("memory can be read");
    for ((asked, count), (first, bytes, offset)) in questions.into_iter().zip(found) {
        assert!(bytes.len() <= ANSWER_MAX);
        let at = usize::try_from(offset).expect("an offset in the log");
        assert_eq!(bytes, log[at..at + bytes.len()]);
        match asked {
            Some(first) => check_lines(&log, first, count, &bytes, at),
            None => check_last(&log, count, &bytes, at, first),
        }
    }
}

fn question(pieces: &mut Pieces<'_>) -> (Option<u64>, u32) {
    let first = u64::from(pieces.short()) | u64::from(pieces.byte().unwrap_or(0) & 0x7f) << 16;
    let is_of_the_end = first % 5 == 4;
    ((!is_of_the_end).then_some(first / 5), u32::from(pieces.short()))
}

/// Makes a log of runs, each from two bytes: the kind of byte and the length. Runs of line ends are short, so that there are lines
/// of different lengths.
fn log(pieces: &mut Pieces<'_>) -> Vec<u8> {
    let mut log = Vec::new();
    while let Some(kind) = pieces.byte() {
        let length = usize::from(pieces.byte().unwrap_or(0));
        let (byte, length) = match kind {
            0..=99 => (b'\n', length),
            100..=199 => (b'x', length),
            _ => (b'y', length << 8),
        };
        let room = LOG_MAX - log.len();
        log.resize(log.len() + length.min(room), byte);
    }
    log
}

/// Returns the offsets at which lines begin, also the one after the last line end.
fn starts(log: &[u8]) -> impl Iterator<Item = usize> + '_ {
    let ends = log.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    std::iter::once(0).chain(ends.map(|(at, _)| at + 1))
}

fn check_lines(log: &[u8], first: u64, count: u32, bytes: &[u8], at: usize) {
    let index = usize::try_from(first).unwrap_or(usize::MAX).saturating_sub(1);
    let Some(start) = starts(log).nth(index).filter(|start| *start < log.len()) else {
        return assert_eq!((bytes.len(), at), (0, log.len()));
    };
    let end = starts(log).nth(index.saturating_add(count as usize)).unwrap_or(log.len());
    let length = if count == 0 { 0 } else { (end - start).min(ANSWER_MAX) };
    assert_eq!((at, bytes.len()), (start, length), "line {first}, {count} of them");
}

fn check_last(log: &[u8], count: u32, bytes: &[u8], at: usize, first: u64) {
    assert_eq!(at + bytes.len(), log.len());
    let before = log[..at].iter().filter(|byte| **byte == b'\n').count() as u64;
    assert_eq!(first, before + 1, "the number of the first line that is told");
    let body = log.strip_suffix(b"\n").unwrap_or(log);
    let lines = body.iter().filter(|byte| **byte == b'\n').count() + usize::from(!log.is_empty());
    let wanted = lines.saturating_sub(count as usize);
    let start = if count == 0 { log.len() } else { starts(log).nth(wanted).unwrap_or(0) };
    // if the lines are longer than an answer, the answer begins with a whole line if there is one
    assert!(at == start || at > start && start < log.len().saturating_sub(ANSWER_MAX), "{at} {start}");
}
