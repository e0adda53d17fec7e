//! How much a disk has free.

use std::path::Path;

/// In bytes: with less than this left, a disk counts as full, because what fails on it then may fail for that alone.
pub(crate) const FULL_BELOW: u64 = 1 << 20;

/// Bytes that this user may still write on the disk of an existing path. None: it cannot be said.
pub(crate) fn free_bytes(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}
