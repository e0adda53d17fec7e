//! Finds lines by their number. An index counts the line ends up to each block of a log. It grows when somebody looks for
//! lines, and is kept for the logs that were read last. A line of any length costs no more than its blocks.

use super::Lines;
use crate::decide::coordinator::record::{BuildId, StepKey};
use crate::keep::bytes::snapshot::ByteSnapshot;
use schema::limits::PART;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;

/// The size of a block, in bytes. Each block has 8 bytes of index.
const BLOCK: u64 = 64 << 10;
/// The number of blocks that one read takes while counting.
const BLOCKS_READ: usize = 16;
/// The number of bytes that one answer carries, at most: 256 KiB, the limit of the interface for one read.
const ANSWER_MAX: usize = PART.most;
/// The number of logs whose index is kept.
const KEPT: usize = 16;

#[derive(Default)]
pub(super) struct Indexes(RefCell<VecDeque<(StepKey, Index)>>);

/// The index of a log: for each block, the number of line ends from the beginning of the log to the end of the block.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    ends: Vec<u64>,
}

impl Indexes {
    pub(super) fn take(&self, key: StepKey) -> Index {
        let mut kept = self.0.borrow_mut();
        let at = kept.iter().position(|(of, _)| *of == key);
        at.and_then(|at| kept.remove(at)).map(|(_, index)| index).unwrap_or_default()
    }

    pub(super) fn keep(&self, key: StepKey, index: Index) {
        let mut kept = self.0.borrow_mut();
        kept.retain(|(of, _)| *of != key);
        kept.push_front((key, index));
        kept.truncate(KEPT);
    }

    pub(super) fn forget(&self, builds: &[BuildId]) {
        self.0.borrow_mut().retain(|(of, _)| !builds.contains(&of.job.build));
    }
}

impl Index {
    /// Returns the lines `first` (from 1) to `first + count - 1`.
    pub(super) fn lines(&mut self, source: &ByteSnapshot, first: u64, count: u32) -> io::Result<Lines> {
        match self.find(source, first)? {
            Some(offset) => Ok(Lines { bytes: collect(source, offset, count)?, offset }),
            None => Ok(Lines { bytes: Vec::new(), offset: source.size }),
        }
    }

    /// Returns the last `count` lines so far, and the number of the first of them.
    pub(super) fn last(&mut self, source: &ByteSnapshot, count: u32) -> io::Result<(u64, Lines)> {
        self.grow(source, u64::MAX)?;
        let counted = self.ends.len() as u64 * BLOCK;
        let offset = source.size.saturating_sub(ANSWER_MAX as u64);
        let mut bytes = source.read(offset, ANSWER_MAX)?;
        // an unfinished last block is not in the index, so its line ends are counted in `bytes`
        let rest = usize::try_from(counted.saturating_sub(offset)).unwrap_or(usize::MAX).min(bytes.len());
        let all = self.ends.last().copied().unwrap_or(0) + line_ends(&bytes[rest..]).count() as u64;
        let start = start_of_last(&bytes, count, offset == 0);
        bytes.drain(..start);
        let first = all - line_ends(&bytes).count() as u64 + 1;
        Ok((first, Lines { bytes, offset: offset + start as u64 }))
    }

    /// Returns the offset where a line begins; `None` means that the log has no such line so far.
    fn find(&mut self, source: &ByteSnapshot, line: u64) -> io::Result<Option<u64>> {
        let Some(wanted) = line.checked_sub(1).filter(|ends| *ends > 0) else {
            return Ok(Some(0).filter(|start| *start < source.size));
        };
        self.grow(source, wanted)?;
        let block = self.ends.partition_point(|ends| *ends < wanted);
        let before = block.checked_sub(1).map_or(0, |before| self.ends[before]);
        let begin = block as u64 * BLOCK;
        let bytes = source.read(begin, BLOCK as usize)?;
        let mut ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let end = usize::try_from(wanted - before - 1).ok().and_then(|skip| ends.nth(skip));
        Ok(end.map(|(at, _)| begin + at as u64 + 1).filter(|start| *start < source.size))
    }

    /// Counts further until the index has `wanted` line ends, or until there is no further whole block.
    fn grow(&mut self, source: &ByteSnapshot, wanted: u64) -> io::Result<()> {
        loop {
            let (begin, counted) = (self.ends.len() as u64 * BLOCK, self.ends.last().copied().unwrap_or(0));
            if counted >= wanted || begin + BLOCK > source.size {
                return Ok(());
            }
            let bytes = source.read(begin, BLOCKS_READ * BLOCK as usize)?;
            if bytes.len() < BLOCK as usize {
                return Ok(());
            }
            let mut total = counted;
            for block in bytes.chunks_exact(BLOCK as usize) {
                total += block.iter().filter(|byte| **byte == b'\n').count() as u64;
                self.ends.push(total);
            }
        }
    }
}

fn line_ends(bytes: &[u8]) -> impl DoubleEndedIterator<Item = usize> + '_ {
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at)
}

/// Returns where the last `count` lines of `bytes` begin. If `bytes` do not begin at the beginning of the log, their first line
/// may be cut. It then counts only if there is no other.
fn start_of_last(bytes: &[u8], count: u32, from_beginning: bool) -> usize {
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let Some(skip) = (count as usize).checked_sub(1) else { return bytes.len() };
    match line_ends(body).rev().nth(skip) {
        Some(end) => end + 1,
        None if from_beginning => 0,
        None => line_ends(body).next().map_or(0, |end| end + 1),
    }
}

/// Reads `count` lines from `offset` on, as far as they fit into one answer.
fn collect(source: &ByteSnapshot, offset: u64, count: u32) -> io::Result<Vec<u8>> {
    let Some(last) = count.checked_sub(1) else { return Ok(Vec::new()) };
    let mut bytes = source.read(offset, ANSWER_MAX)?;
    let mut ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    if let Some((end, _)) = ends.nth(last as usize) {
        bytes.truncate(end + 1);
    }
    Ok(bytes)
}

/// Finds lines in these bytes, for `tests/fuzz`. One index serves all questions and grows between them. Each question is the
/// first line, or `None` for the last lines, and a count. Each answer is the number of the first line, the lines and their
/// offset.
#[cfg(feature = "fuzz")]
pub fn find_lines(bytes: &[u8], questions: &[(Option<u64>, u32)]) -> io::Result<Vec<(u64, Vec<u8>, u64)>> {
    use crate::keep::bytes::snapshot::Bytes;
    let memory = Bytes::Memory(std::sync::Arc::new(bytes.to_owned()));
    let source = ByteSnapshot { size: bytes.len() as u64, bytes: memory };
    let mut index = Index::default();
    let mut ask = |first: Option<u64>, count: u32| {
        let (first, found) = match first {
            Some(first) => (first, index.lines(&source, first, count)?),
            None => index.last(&source, count)?,
        };
        Ok((first, found.bytes, found.offset))
    };
    questions.iter().map(|(first, count)| ask(*first, *count)).collect()
}
