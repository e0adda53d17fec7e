//! Removes a directory with any content, which may be hostile. Follows no symbolic link, undoes missing permissions, and handles
//! any depth with a bounded stack and a bounded number of open directories.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

/// The depth down to which directories are removed in place. A deeper one is first moved up to the top, which bounds the stack and
/// the number of open descriptors.
const DEPTH_MAX: u32 = 32;

/// Removes `path`, whatever it is. If it is a link, removes only the link itself. A missing path is not an error.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    let name = CString::new(path.as_os_str().as_encoded_bytes())?;
    match rustix::fs::unlinkat(CWD, &name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        // Linux reports ISDIR for a directory, and other systems PERM.
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    let top = open_dir(CWD, &name)?;
    let mut deep = Deep { top: top.as_fd(), moved: 0 };
    // A directory that was moved up is a new entry of the top, so look again until nothing is moved.
    loop {
        let before = deep.moved;
        empty(top.as_fd(), 0, &mut deep)?;
        if deep.moved == before {
            break;
        }
    }
    match rustix::fs::unlinkat(CWD, &name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes a file or a link. A missing path is not an error.
pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a tree that another thread may be removing too. Tries twice, because each thread removes entries that the other has
/// listed.
pub(crate) fn remove_contended(path: &Path) {
    if remove_tree(path).is_err() {
        let _ = remove_tree(path);
    }
}

/// Runs a removal on a thread of its own, because it may take long. The next start or expiry removes what it leaves.
pub(crate) fn in_background(what: PathBuf, removal: impl FnOnce(&Path) -> io::Result<()> + Send + 'static) {
    let shown = what.display().to_string();
    let spawned = std::thread::Builder::new().name("removal".to_string()).spawn(move || {
        if let Err(error) = removal(&what) {
            tracing::warn!(path = %what.display(), %error, "cannot remove a directory that is no longer used");
        }
    });
    if let Err(error) = spawned {
        tracing::warn!(path = %shown, %error, "cannot start a thread that removes an unused directory");
    }
}

/// Gives this user the permission to change a directory, as far as that is possible, because a step may have taken it away. Follows
/// no link.
pub(crate) fn make_writable(path: &Path) {
    // Nearly every directory is writable, and then one look is the whole cost.
    if !is_writable(path) {
        let _ = writable(path);
    }
}

fn is_writable(path: &Path) -> bool {
    rustix::fs::lstat(path).is_ok_and(|found| {
        FileType::from_raw_mode(found.st_mode) == FileType::Directory
            && Mode::from_raw_mode(found.st_mode).contains(Mode::RWXU)
    })
}

/// Does what [`make_writable`] does, for each directory of a whole tree.
pub(crate) fn make_all_writable(path: &Path) {
    if let Some(dir) = writable(path) {
        open_below(dir.as_fd(), 0);
    }
}

fn writable(path: &Path) -> Option<OwnedFd> {
    open_dir(CWD, &CString::new(path.as_os_str().as_encoded_bytes()).ok()?).ok()
}

/// Opens the directories below `dir`, which makes them writable. If one cannot be opened, the later attempt to write to it fails.
fn open_below(dir: BorrowedFd<'_>, depth: u32) {
    if depth >= DEPTH_MAX {
        return;
    }
    let below = entries(dir).unwrap_or_default();
    for (name, _) in below.into_iter().filter(|(_, is_dir)| *is_dir) {
        if let Ok(inner) = open_dir(dir, &name) {
            open_below(inner.as_fd(), depth + 1);
        }
    }
}

/// The top of a tree that is being removed, and the number of deep directories that were moved up to it.
struct Deep<'a> {
    top: BorrowedFd<'a>,
    moved: u64,
}

fn empty(dir: BorrowedFd<'_>, depth: u32, deep: &mut Deep<'_>) -> rustix::io::Result<()> {
    // All names are read first, because the system does not define what a directory lists while its entries vanish.
    for (name, is_dir) in entries(dir)? {
        if is_dir {
            remove_dir(dir, &name, depth, deep)?;
        } else {
            gone(rustix::fs::unlinkat(dir, &name, AtFlags::empty()))?;
        }
    }
    Ok(())
}

fn remove_dir(parent: BorrowedFd<'_>, name: &CStr, depth: u32, deep: &mut Deep<'_>) -> rustix::io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        // The directory is not empty, or its permissions do not allow it yet.
        Err(Errno::NOTEMPTY | Errno::EXIST | Errno::ACCESS | Errno::PERM) => {}
        Err(error) => return Err(error),
    }
    let dir = open_dir(parent, name)?;
    if depth < DEPTH_MAX {
        empty(dir.as_fd(), depth + 1, deep)?;
        return gone(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR));
    }
    drop(dir);
    deep.moved += 1;
    let up = CString::new(format!("guild-removal-{}-{}", std::process::id(), deep.moved)).unwrap_or_default();
    rustix::fs::renameat(parent, name, deep.top, up)
}

fn entries(dir: BorrowedFd<'_>) -> rustix::io::Result<Vec<(CString, bool)>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        if matches!(entry.file_name().to_bytes(), b"." | b"..") {
            continue;
        }
        let mut kind = entry.file_type();
        if kind == FileType::Unknown {
            let stat = rustix::fs::statat(dir, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
            kind = FileType::from_raw_mode(stat.st_mode);
        }
        let is_dir = kind == FileType::Directory;
        found.push((entry.file_name().to_owned(), is_dir));
    }
    Ok(found)
}

/// Opens a directory with the permission to read and change it. Does not open a link to a directory.
fn open_dir(parent: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let path = rustix::fs::openat(parent, name, flags | OFlags::PATH, Mode::empty())?;
    let stat = rustix::fs::fstat(&path)?;
    if Mode::from_raw_mode(stat.st_mode) & Mode::RWXU != Mode::RWXU {
        // The change goes through the descriptor, because the name could by now be a link to another place. If it is refused,
        // opening fails.
        let _ = rustix::fs::chmod(format!("/proc/self/fd/{}", path.as_raw_fd()), Mode::RWXU);
    }
    rustix::fs::openat(&path, c".", flags, Mode::empty())
}

fn gone(removed: rustix::io::Result<()>) -> rustix::io::Result<()> {
    match removed {
        Err(Errno::NOENT) => Ok(()),
        // A deeper directory was moved up meanwhile, or somebody writes here: the next round removes it.
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn removes_what_strangers_make() {
        let root = tempfile::tempdir().unwrap();
        let outside = root.path().join("outside");
        std::fs::create_dir_all(outside.join("kept")).unwrap();
        let tree = root.path().join("tree");
        std::fs::create_dir_all(tree.join("closed/inner/x")).unwrap();
        symlink(&outside, tree.join("link")).unwrap();
        symlink("dangling", tree.join("closed/inner/link")).unwrap();
        std::fs::write(tree.join("file\n"), "x").unwrap();
        for path in ["closed/inner", "closed"] {
            std::fs::set_permissions(tree.join(path), std::fs::Permissions::from_mode(0o000)).unwrap();
        }
        remove_tree(&tree).unwrap();
        assert!(!tree.exists() && outside.join("kept").exists());
        symlink(&outside, &tree).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.is_symlink() && outside.join("kept").exists());
        remove_tree(&tree).unwrap();
        std::fs::write(&tree, "x").unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
    }

    #[test]
    fn depth_costs_neither_stack_nor_descriptors() {
        let root = tempfile::tempdir().unwrap();
        let tree = root.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        let mut dir = rustix::fs::open(&tree, OFlags::DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&dir, "deeper", Mode::RWXU).unwrap();
            rustix::fs::mkdirat(&dir, "beside", Mode::RWXU).unwrap();
            dir = rustix::fs::openat(&dir, "deeper", OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
    }
}
