//! Files that hold a secret. They are written as a whole or not at all, only their owner can read them, and they are refused if
//! others can. This module also closes our directories to other users, and knows nothing of their content.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes `bytes` to a file with mode 0600. A reader, also after a power cut, finds either the old file or the new one.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = DraftFile::write(path, bytes)?;
    fs::rename(&draft.0, path)?;
    sync_folder(path)
}

/// Writes a file like [`replace`], but fails with `AlreadyExists` if there is one. If two writers race, only one of them succeeds.
pub fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    create_by(path, bytes, |draft, path| fs::hard_link(draft, path))
}

/// Does the work of [`create`]. If `link` finds that the file system has no hard links, like vfat, the file is written in place. Also
/// then only one of two writers succeeds, but a power cut may leave a part of the file.
fn create_by(path: &Path, bytes: &[u8], link: impl Fn(&Path, &Path) -> io::Result<()>) -> io::Result<()> {
    let draft = DraftFile::write(path, bytes)?;
    match link(&draft.0, path) {
        Err(error) if has_no_links(&error) => {
            let made = write_new(path, bytes);
            // a file of which we wrote only a part must not stay
            if made.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::AlreadyExists) {
                let _ = fs::remove_file(path);
            }
            made?;
        }
        linked => linked?,
    }
    drop(draft);
    sync_folder(path)
}

/// Whether a file system reports with this error that it has no hard links. The error does not mean a missing permission for the
/// directory, because without it the draft could not have been made.
fn has_no_links(error: &io::Error) -> bool {
    let kinds = [io::ErrorKind::PermissionDenied, io::ErrorKind::Unsupported, io::ErrorKind::TooManyLinks];
    kinds.contains(&error.kind())
}

/// Makes a file that only its owner can read. Fails if the file exists.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Returns the permission bits of a file if its group or other users may do anything with it. It is always `None` on a system without
/// such bits. A file of root that a group of ours may only read is not exposed, because container platforms pass secrets in this way.
pub fn exposed_mode(path: &Path) -> io::Result<Option<u32>> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
        let found = fs::metadata(path)?;
        let mode = found.permissions().mode() & 0o777;
        let own = rustix::process::geteuid().as_raw();
        let is_exposed = mode & 0o077 != 0 && !is_handed(mode, found.uid(), own, is_our_group(found.gid()));
        Ok(is_exposed.then_some(mode))
    }
    #[cfg(not(unix))]
    {
        fs::metadata(path)?;
        Ok(None)
    }
}

/// Whether root passes this file to us by a group of ours. Then only members of the group can read it, and only root can change it.
#[cfg(unix)]
fn is_handed(mode: u32, owner: u32, own: u32, is_our_group: bool) -> bool {
    owner == 0 && own != 0 && mode & 0o037 == 0 && is_our_group
}

#[cfg(unix)]
fn is_our_group(group: u32) -> bool {
    let further = rustix::process::getgroups().unwrap_or_default();
    further.iter().chain([&rustix::process::getegid()]).any(|own| own.as_raw() == group)
}

/// Sets the umask so that only their owner can use the files that this process makes from now on. A program calls this when it starts.
/// A step gets the usual umask back when it is started.
pub fn keep_to_owner() {
    #[cfg(unix)]
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
}

/// Removes all permissions of the group and of others from a file or a directory of ours, and returns the mode that it had. `None`
/// means that it was closed before or does not exist. Fails if it belongs to another user, because then we must not change it.
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

/// Closes a path like [`close`], and logs the mode that it had, or the reason why it stays open.
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

/// A finished file beside its destination. Dropping it removes the file, unless it was renamed to its destination.
struct DraftFile(PathBuf);

impl DraftFile {
    fn write(path: &Path, bytes: &[u8]) -> io::Result<Self> {
        let draft = Self(draft_name(path)?);
        write_new(&draft.0, bytes)?;
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

/// Syncs the folder of `path`, because a rename is durable only once its folder is.
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

    /// C51: a key is made on a file system without hard links, whichever error reports that.
    #[test]
    fn a_secret_is_made_also_where_there_are_no_links() {
        let dir = tempfile::tempdir().unwrap();
        for refusal in [rustix::io::Errno::PERM, rustix::io::Errno::OPNOTSUPP, rustix::io::Errno::MLINK] {
            let path = dir.path().join(format!("{refusal:?}"));
            let make = |bytes: &[u8]| create_by(&path, bytes, |_, _| Err(refusal.into()));
            make(b"first").unwrap();
            assert_eq!(make(b"second").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read(&path).unwrap(), b"first");
            assert_eq!(exposed_mode(&path).unwrap(), None);
        }
        let other = create_by(&dir.path().join("x"), b"", |_, _| Err(io::ErrorKind::StorageFull.into()));
        assert_eq!(other.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "no draft is left");
    }

    /// C51: a secret volume of a container has files of root with the mode 0440 and a group of ours.
    #[test]
    fn a_secret_may_be_handed_by_a_group() {
        assert!(is_handed(0o440, 0, 1_000, true) && is_handed(0o640, 0, 1_000, true));
        for (mode, owner, own, is_ours) in [
            (0o444, 0, 1_000, true),
            (0o660, 0, 1_000, true),
            (0o440, 0, 1_000, false),
            (0o440, 1_001, 1_000, true),
            (0o440, 0, 0, true),
        ] {
            assert!(!is_handed(mode, owner, own, is_ours), "{mode:o} of {owner} for {own}");
        }
    }

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
