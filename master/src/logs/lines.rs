//! Lines by number. A sparse index of where lines begin is built while scanning and kept for the logs read last.

use super::{Lines, Logs, Size};
use crate::coordinator::record::StepKey;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;

/// Bytes between two entries of an index.
const STRIDE: u64 = 64 << 10;
/// The most that one answer carries, in bytes.
const ANSWER_MAX: usize = 256 << 10;
const SCAN: u32 = 256 << 10;
/// Logs whose index is kept.
const KEPT: usize = 16;

#[derive(Default)]
pub(super) struct Indexes(RefCell<VecDeque<(StepKey, Index)>>);

/// (line, offset at which it begins), rising; and how far the log was scanned.
#[derive(Clone, Debug)]
struct Index {
    starts: Vec<(u64, u64)>,
    scanned: u64,
    /// The line in which the scan stands.
    line: u64,
}

impl Default for Index {
    fn default() -> Index {
        Index { starts: vec![(1, 0)], scanned: 0, line: 1 }
    }
}

impl Index {
    /// The entry to scan from to find a line.
    fn before(&self, line: u64) -> (u64, u64) {
        let at = self.starts.partition_point(|(start, _)| *start <= line);
        self.starts[at.saturating_sub(1)]
    }

    /// Takes in the bytes that follow what was scanned.
    fn scan(&mut self, bytes: &[u8]) {
        for (at, byte) in bytes.iter().enumerate() {
            if *byte != b'\n' {
                continue;
            }
            self.line += 1;
            let offset = self.scanned + at as u64 + 1;
            let last = self.starts.last().map_or(0, |(_, offset)| *offset);
            if offset - last >= STRIDE {
                self.starts.push((self.line, offset));
            }
        }
        self.scanned += bytes.len() as u64;
    }
}

impl Indexes {
    fn take(&self, key: StepKey) -> Index {
        let mut kept = self.0.borrow_mut();
        let at = kept.iter().position(|(of, _)| *of == key);
        at.and_then(|at| kept.remove(at)).map(|(_, index)| index).unwrap_or_default()
    }

    fn keep(&self, key: StepKey, index: Index) {
        let mut kept = self.0.borrow_mut();
        kept.push_front((key, index));
        kept.truncate(KEPT);
    }
}

pub(super) async fn lines(
    logs: &Logs,
    indexes: &Indexes,
    key: StepKey,
    size: Size,
    first: u64,
    count: u32,
) -> io::Result<Lines> {
    let mut index = indexes.take(key);
    let found = find(logs, &mut index, key, size, first).await;
    indexes.keep(key, index);
    match found? {
        Some(offset) => Ok(Lines { bytes: collect(logs, key, offset, count).await?, offset }),
        None => Ok(Lines { bytes: Vec::new(), offset: size.size }),
    }
}

/// Where a line begins; none: the log has no such line so far.
async fn find(logs: &Logs, index: &mut Index, key: StepKey, size: Size, line: u64) -> io::Result<Option<u64>> {
    while index.line <= line && index.scanned < size.size {
        let chunk = logs.read(key, index.scanned, SCAN).await?;
        if chunk.bytes.is_empty() {
            break;
        }
        index.scan(&chunk.bytes);
    }
    let (mut at, mut offset) = index.before(line);
    while at < line {
        let chunk = logs.read(key, offset, SCAN).await?;
        if chunk.bytes.is_empty() {
            return Ok(None);
        }
        let mut ends =
            chunk.bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(end, _)| end as u64 + 1);
        let needed = usize::try_from(line - at - 1).unwrap_or(usize::MAX);
        match ends.nth(needed) {
            Some(end) => return Ok(Some(offset + end).filter(|start| *start < size.size)),
            None => {
                at += chunk.bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
                offset += chunk.bytes.len() as u64;
            }
        }
    }
    Ok(Some(offset).filter(|start| *start < size.size))
}

/// `count` lines from `offset` on.
async fn collect(logs: &Logs, key: StepKey, offset: u64, count: u32) -> io::Result<Vec<u8>> {
    let mut bytes: Vec<u8> = Vec::new();
    let mut open = count;
    while bytes.len() < ANSWER_MAX && open > 0 {
        let left = u32::try_from(ANSWER_MAX - bytes.len()).unwrap_or(SCAN);
        let chunk = logs.read(key, offset + bytes.len() as u64, left).await?;
        if chunk.bytes.is_empty() {
            break;
        }
        for byte in &chunk.bytes {
            bytes.push(*byte);
            if *byte == b'\n' {
                open -= 1;
                if open == 0 {
                    break;
                }
            }
        }
    }
    Ok(bytes)
}
