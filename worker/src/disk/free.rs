//! The free room of a disk, and whether the disk can be written.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

/// The number of free bytes below which a disk counts as full. What fails on such a disk may fail only because the disk is full.
pub(crate) const FULL_BELOW: u64 = 1 << 20;

/// Returns how many bytes this user may still write on the disk of an existing path. `None` means that the system does not say.
pub(crate) fn free_bytes(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Tries to write a file in a directory, and returns why that fails. `None` means that it works, or that the disk is only full.
pub(crate) fn write_error(dir: &Path) -> Option<io::Error> {
    let probe = dir.join(format!(".guild-probe-{}", std::process::id()));
    let written = File::create(&probe).and_then(|mut file| file.write_all(b"x").and_then(|()| file.sync_all()));
    let _ = std::fs::remove_file(&probe);
    let is_full = |kind| matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    written.err().filter(|error| !is_full(error.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_tried_and_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        assert!(write_error(dir.path()).is_none());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!(write_error(&dir.path().join("gone")).unwrap().kind(), io::ErrorKind::NotFound);
    }
}
