//! The common parts of logs and blobs. Both are append-only bytes with an address. They are sealed with a length and a BLAKE3,
//! and removed when they are old.
//!
//! Logs are addressed by their step and can be read while they grow. Blobs are addressed by their hash and can be read once
//! they are sealed. Both write at an offset, hold files open for readers and make files durable in the way that this module
//! implements.

pub(in crate::keep) mod budget;
pub(in crate::keep) mod file_work;
pub(in crate::keep) mod grip;
pub(in crate::keep) mod growing;
pub(in crate::keep) mod snapshot;
pub(in crate::keep) mod sum;
pub(in crate::keep) mod write_room;

use schema::values::{Refusal, RefusalCode};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use sum::Sum;

/// The number of bytes that one read takes while a whole file is read: 1 MiB.
pub(in crate::keep) const CHUNK: usize = 1 << 20;

/// The length and the BLAKE3 of bytes that will not change any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The number of sealed bytes.
    pub size: u64,
    pub hash: [u8; 32],
}

/// Removes from a write at `offset` the bytes that were received before. Refuses a write that would leave a gap.
pub(in crate::keep) fn drop_known(received: u64, offset: u64, bytes: &mut Vec<u8>) -> Result<(), Refusal> {
    let Some(known) = received.checked_sub(offset) else {
        let text = format!("the write begins at {offset}, but only {received} bytes were received");
        return Err(Refusal::new(RefusalCode::Offset, text).help("call `size`, and send the bytes from that offset on"));
    };
    let known = usize::try_from(known).unwrap_or(usize::MAX).min(bytes.len());
    bytes.drain(..known);
    Ok(())
}

/// Reads at most `count` bytes from `offset`. It returns fewer bytes only at the end of the file.
pub(in crate::keep) fn read_at(file: &File, offset: u64, count: usize) -> io::Result<Vec<u8>> {
    let left = usize::try_from(file.metadata()?.len().saturating_sub(offset)).unwrap_or(usize::MAX);
    let mut bytes = vec![0; count.min(left)];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Reads a whole file and returns its length, its hash and its last byte.
pub(in crate::keep) fn measure(file: &File) -> io::Result<(u64, Sum, Option<u8>)> {
    let (mut size, mut sum, mut last) = (0, Sum::default(), None);
    loop {
        let bytes = read_at(file, size, CHUNK)?;
        let Some(end) = bytes.last() else { return Ok((size, sum, last)) };
        last = Some(*end);
        size += bytes.len() as u64;
        sum.update(&bytes);
    }
}

/// Returns whether a removal found something to remove. A file that was not there is not an error.
pub(in crate::keep) fn is_there(removed: io::Result<()>) -> io::Result<bool> {
    match removed {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
