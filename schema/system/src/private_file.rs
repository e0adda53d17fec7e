//! Files that hold a secret: written whole or not at all, readable by their owner only, and refused when
//! others can read them. Directories of ours, which are closed to others whoever made them. Knows nothing of what is in them.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes `bytes` with mode 0600, so that a reader or a power cut finds the old file or the new one.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = DraftFile::write(path, bytes)?;
    fs::rename(&draft.0, path)?;
    sync_folder(path)
}

/// As [`replace`], but fails with `AlreadyExists` where there is a file, without a window for two writers.
pub fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = DraftFile::write(path, bytes)?;
    fs::hard_link(&draft.0, path)?;
    drop(draft);
    sync_folder(path)
}

/// The permission bits when group or others may do anything with the file. Always `None` where a system
/// has no such bits.
pub fn exposed_mode(path: &Path) -> io::Result<Option<u32>> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(path)?.permissions().mode() & 0o777;
        Ok((mode & 0o077 != 0).then_some(mode))
    }
    #[cfg(not(unix))]
    {
        fs::metadata(path)?;
        Ok(None)
    }
}

/// Whatever this process makes from here on is its owner's alone, if nothing else is said of it. For the start of a program: a step
/// gets the usual umask back where it is started.
pub fn keep_to_owner() {
    #[cfg(unix)]
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
}

/// Takes from group and others what they may do with a file or a directory of ours, and answers the mode that it had; none: it was
/// closed, or is not there. What belongs to another user is an error, because it is not ours to change.
pub fn close(path: &Path) -> io::Result<Option<u32>> {
    let found = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found?,
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
        let mode = found.permissions().mode() & 0o7777;
        if mode & 0o077 == 0 {
            return Ok(None);
        }
        if found.uid() != rustix::process::geteuid().as_raw() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it belongs to another user"));
        }
        fs::set_permissions(path, fs::Permissions::from_mode(mode & !0o077))?;
        Ok(Some(mode))
    }
    #[cfg(not(unix))]
    Ok(None.filter(|_: &u32| found.is_dir()))
}

/// As [`close`], which says in the log what was open, or why it stays so.
pub fn close_and_tell(path: &Path) {
    match close(path) {
        Ok(None) => {}
        Ok(Some(mode)) => {
            tracing::warn!("{} was open to other users (mode {mode:04o}); it is closed to them now", path.display());
        }
        Err(error) => {
            let path = path.display();
            tracing::warn!(
                "{path} is open to other users, and cannot be closed to them: {error}; its owner can: chmod go= {path}"
            );
        }
    }
}

/// A finished file beside its destination; removed unless it was renamed away.
struct DraftFile(PathBuf);

impl DraftFile {
    fn write(path: &Path, bytes: &[u8]) -> io::Result<Self> {
        let draft = Self(draft_name(path)?);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&draft.0)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(draft)
    }
}

impl Drop for DraftFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn draft_name(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let unique = getrandom::u64().map_err(io::Error::other)?;
    let mut draft = OsString::from(".");
    draft.push(name);
    draft.push(format!(".{unique:016x}"));
    Ok(path.with_file_name(draft))
}

/// A rename is durable only when its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_is_ours_is_closed_and_stays_usable() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        for (name, before, after) in [("a", 0o755, 0o700), ("b", 0o2770, 0o2700), ("c", 0o700, 0o700)] {
            let path = dir.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(before)).unwrap();
            assert_eq!(close(&path).unwrap(), (before != after).then_some(before), "{name}");
            assert_eq!((mode(&path), close(&path).unwrap()), (after, None), "{name}");
        }
        assert_eq!(close(&dir.path().join("gone")).unwrap(), None);
    }
}
