//! Files that exist whole or not at all, even if a full disk or the end of this process interrupts a write. They are not for
//! secrets, and not safe against a loss of power. `system::private_file` is both, and costs two syncs for each file.

use std::io;
use std::path::Path;

/// Writes a file beside `path`, and renames it to `path`. Two processes must not write one file at once.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let written = std::fs::write(&fresh, bytes).and_then(|()| std::fs::rename(&fresh, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&fresh);
    }
    written
}

/// Returns the content of a file. `None` means that there is no such file.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
