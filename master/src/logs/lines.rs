//! Lines by number. An index counts the line ends up to each block of a log; it grows while somebody looks for lines, and
//! is kept for the logs read last. A line of any length costs no more than its blocks.

use super::Lines;
use super::source::Source;
use crate::coordinator::record::{BuildId, StepKey};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;

/// In bytes: 8 bytes of index for each.
const BLOCK: u64 = 64 << 10;
/// Read at once while counting.
const BLOCKS_READ: usize = 16;
/// The most that one answer carries, in bytes.
const ANSWER_MAX: usize = 256 << 10;
/// Logs whose index is kept.
const KEPT: usize = 16;

#[derive(Default)]
pub(super) struct Indexes(RefCell<VecDeque<(StepKey, Index)>>);

/// How many line ends there are from the log's beginning to the end of each block.
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
    /// Lines `first` (from 1) to `first + count - 1`.
    pub(super) fn lines(&mut self, source: &Source, first: u64, count: u32) -> io::Result<Lines> {
        match self.find(source, first)? {
            Some(offset) => Ok(Lines { bytes: collect(source, offset, count)?, offset }),
            None => Ok(Lines { bytes: Vec::new(), offset: source.size }),
        }
    }

    /// Where a line begins; none: the log has no such line so far.
    fn find(&mut self, source: &Source, line: u64) -> io::Result<Option<u64>> {
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

    /// Counts on until there are so many line ends, or no further whole block.
    fn grow(&mut self, source: &Source, wanted: u64) -> io::Result<()> {
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

/// `count` lines from `offset` on, as far as an answer carries them.
fn collect(source: &Source, offset: u64, count: u32) -> io::Result<Vec<u8>> {
    let Some(last) = count.checked_sub(1) else { return Ok(Vec::new()) };
    let mut bytes = source.read(offset, ANSWER_MAX)?;
    let mut ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    if let Some((end, _)) = ends.nth(last as usize) {
        bytes.truncate(end + 1);
    }
    Ok(bytes)
}
