//! How much a disk has free, and whether it can be written.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

/// In bytes: with less than this left, a disk counts as full, because what fails on it then may fail for that alone.
pub(crate) const FULL_BELOW: u64 = 1 << 20;

/// Bytes that this user may still write on the disk of an existing path. `None` means that it cannot be said.
pub(crate) fn free_bytes(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Why no file can be written in a directory, by writing one. `None` means that one can be, or the disk is only full.
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
