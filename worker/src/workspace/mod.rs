//! Workspaces: one directory per lane. It is locked while an attempt uses it, found again by the next build of the lane, and removed if
//! nobody uses it for long. Only its checkout knows of git.
//!
//! ```text
//! ROOT/LANE/tree       the directory of the steps
//! ROOT/LANE/guild.git  the checkout's own bookkeeping
//! ROOT/LANE/lock       locked while in use; its time is the last use, to a minute
//! ROOT/.trash/         directories that are set aside and being removed
//! ```
//! The steps of jobs, which are not trusted, left the files in `tree`. So links there are never followed, only moved and removed.

pub mod checkout;
pub mod git;

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use schema::values::Workspace as Mode;
use system::private_file;

use crate::disk::private_dir::{is_own, private_dir};
pub use crate::disk::removal::remove_tree;
use crate::disk::removal::{in_background, make_writable};

const TRASH: &str = ".trash";
const LOCK: &str = "lock";
/// The limit for how much of a lane's name is in the name of its directory, in characters.
const NAME_CHARS_MAX: usize = 60;
/// How many attempts of one lane may have a workspace at the same time.
const TWINS_MAX: u32 = 1000;

/// The number of tries to take a lock whose directory is moved away meanwhile.
const LOCK_TRIES_MAX: u32 = 100;

/// The least time between two updates of a workspace's last use, because an update for each use would cost more than a short job.
const TOUCH_EVERY: Duration = Duration::from_secs(60);

/// The locked directory of one attempt. Dropping this frees it for the next attempt.
#[derive(Debug)]
pub struct Workspace {
    root: PathBuf,
    dir: PathBuf,
    lock: Lock,
}

/// The lock of a workspace, whose time says when the workspace was last used.
#[derive(Debug)]
struct Lock {
    file: File,
    /// The time of the last use, as the file has it.
    used: SystemTime,
}

/// Returns the directory of all workspaces as a path without links, as steps see it. Creates the directory if it does not exist.
pub fn root(configured: &Path) -> io::Result<PathBuf> {
    std::fs::create_dir_all(configured)?;
    let root = configured.canonicalize()?;
    close_all(&root)?;
    Ok(root)
}

/// Closes each workspace to other users. The directory of all workspaces stays as it is, because it may be a disk that others use too.
fn close_all(root: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(root)? {
        let path = entry?.path();
        let is_own_dir = |found: std::fs::Metadata| found.is_dir() && is_own(&found);
        if path.join(LOCK).exists() && std::fs::symlink_metadata(&path).is_ok_and(is_own_dir) {
            private_file::close_and_tell(&path);
        }
    }
    // If several workers share a disk, the trash of another worker stays as it is.
    let trash = root.join(TRASH);
    if trash.exists() {
        private_file::close_and_tell(&trash);
    }
    Ok(())
}

/// Locks the workspace of `lane`, or a twin of it if that is in use. In mode `Fresh`, its tree is then empty. This takes only a few
/// system calls, because it only sets aside what must be removed.
pub fn open(root: &Path, lane: &str, mode: Mode) -> io::Result<Workspace> {
    make_writable(root);
    let name = directory_name(lane);
    for twin in 1..=TWINS_MAX {
        let name = if twin == 1 { name.clone() } else { format!("{name}-{twin}") };
        let dir = root.join(name);
        if let Some(lock) = lock(&dir, true)? {
            let mut workspace = Workspace { root: root.to_owned(), dir, lock };
            workspace.touch()?;
            match workspace.prepare(mode) {
                // Files that another user left stay where they are, and the lane goes on in a workspace beside them.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied && twin < TWINS_MAX => {
                    tracing::warn!(dir = %workspace.dir.display(), %error, "a workspace cannot be emptied");
                }
                prepared => return prepared.map(|()| workspace),
            }
        }
    }
    Err(io::Error::other(format!("{}: all {TWINS_MAX} workspaces of lane {lane} are in use", root.display())))
}

/// Locks a workspace again, by the name of its directory, and leaves its content as it is. It is for an attempt that outlived its
/// worker. `None` means that the workspace is in use, or no longer exists.
pub fn reopen(root: &Path, name: &str) -> io::Result<Option<Workspace>> {
    if !is_name(name) {
        return Ok(None);
    }
    let dir = root.join(name);
    Ok(lock(&dir, false)?.map(|lock| Workspace { root: root.to_owned(), dir, lock }))
}

/// Whether a workspace may have this name, which must lead to a directory directly below the directory of all workspaces.
pub(crate) fn is_name(name: &str) -> bool {
    name != TRASH && !name.contains(['/', '\0']) && !["", ".", ".."].contains(&name)
}

/// Removes the workspaces that nobody has used for longer than `older_than`, and the remains of an earlier removal. Returns how many
/// workspaces it removed. Blocks until it is done.
pub fn expire(root: &Path, older_than: Duration) -> io::Result<u32> {
    let mut removed = 0;
    let now = SystemTime::now();
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_name() == TRASH || !entry.file_type()?.is_dir() {
            continue;
        }
        make_writable(&entry.path());
        let used = std::fs::symlink_metadata(entry.path().join(LOCK)).and_then(|lock| lock.modified());
        let is_old = used.is_ok_and(|used| now.duration_since(used).is_ok_and(|age| age > older_than));
        if is_old && let Some(lock) = lock(&entry.path(), false)? {
            set_aside(root, &entry.path())?;
            drop(lock);
            removed += 1;
        }
    }
    empty_trash(root)?;
    Ok(removed)
}

impl Workspace {
    /// Returns the directory in which the steps of a job run.
    pub fn tree(&self) -> PathBuf {
        self.dir.join("tree")
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the directory of the checkout's own repository, which steps do not know.
    pub(crate) fn git_dir(&self) -> PathBuf {
        self.dir.join("guild.git")
    }

    /// Makes the tree an empty directory.
    pub(crate) fn empty(&self) -> io::Result<()> {
        self.discard(&self.tree())?;
        std::fs::create_dir(self.tree())?;
        // Git gives the same mode to every directory that it makes in the tree.
        std::fs::set_permissions(self.tree(), std::fs::Permissions::from_mode(0o755))
    }

    /// Moves a part of this workspace away, and removes it in the background.
    pub(crate) fn discard(&self, path: &Path) -> io::Result<()> {
        if set_aside(&self.root, path)? {
            in_background(self.root.clone(), empty_trash);
        }
        Ok(())
    }

    /// Makes the tree a directory of this user's, and an empty one if the mode asks for it.
    fn prepare(&self, mode: Mode) -> io::Result<()> {
        make_writable(&self.tree());
        match std::fs::symlink_metadata(self.tree()) {
            Ok(found) if found.is_dir() && is_own(&found) && mode != Mode::Fresh => Ok(()),
            Ok(found) if found.is_dir() && std::fs::read_dir(self.tree()).is_ok_and(|mut all| all.next().is_none()) => {
                Ok(())
            }
            _ => self.empty(),
        }
    }

    fn touch(&mut self) -> io::Result<()> {
        let now = SystemTime::now();
        if now.duration_since(self.lock.used).is_ok_and(|age| age < TOUCH_EVERY) {
            return Ok(());
        }
        self.lock.used = now;
        self.lock.file.set_modified(now)
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        // The time of the last use becomes the end of this use, to a minute. If this call fails, it stays the beginning.
        let _ = self.touch();
    }
}

/// Takes the lock of a workspace. `None` means that the workspace is in use. Without `make`, it may also mean that it does not exist.
fn lock(dir: &Path, make: bool) -> io::Result<Option<Lock>> {
    let path = dir.join(LOCK);
    make_writable(dir);
    for _ in 0..LOCK_TRIES_MAX {
        let opened = File::options().read(true).write(true).create(make).truncate(false).open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && make => {
                // The tree in this directory has the usual modes, so the directory must keep other users out.
                private_dir(dir)?;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // A process that expires workspaces may have moved the file away between the opening and the locking.
        let ours = file.metadata()?;
        match std::fs::symlink_metadata(&path) {
            Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => {
                return Ok(Some(Lock { file, used: ours.modified()? }));
            }
            _ if make => {}
            _ => return Ok(None),
        }
    }
    Err(io::Error::other(format!("{} is not a file that can be locked: remove it", path.display())))
}

/// Returns a readable name for the directory of a lane, which no other lane has.
fn directory_name(lane: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }
    };
    let readable: String = lane.chars().map(plain).take(NAME_CHARS_MAX).collect();
    let hash = blake3::hash(lane.as_bytes()).to_hex();
    let readable = readable.trim_start_matches(['.', '-']);
    format!("{}-{}", if readable.is_empty() { "lane" } else { readable }, &hash[..8])
}

/// Moves a file or directory into the trash, from which it is removed later. Returns false if there was nothing to move.
fn set_aside(root: &Path, path: &Path) -> io::Result<bool> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let trash = root.join(TRASH);
    std::fs::create_dir_all(&trash)?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("{}-{}-{number}", std::process::id(), now.as_nanos());
    // Moving a directory elsewhere changes its `..`, so the directory itself must be writable.
    make_writable(path);
    match std::fs::rename(path, trash.join(name)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The remains of directories that were set aside to be removed.
#[derive(Debug)]
pub struct Trash {
    pub place: PathBuf,
    /// The number of trees that could not be removed.
    pub count: usize,
    /// The error of the last tree that could not be removed.
    pub error: Option<io::Error>,
}

/// Empties the trash, and returns what could not be removed. Blocks until that is done.
pub fn clear_trash(root: &Path) -> io::Result<Trash> {
    let place = root.join(TRASH);
    let error = empty_trash(root).err();
    let count = if place.exists() { std::fs::read_dir(&place)?.count() } else { 0 };
    Ok(Trash { place, count, error: error.filter(|_| count > 0) })
}

fn empty_trash(root: &Path) -> io::Result<()> {
    static EMPTYING: Mutex<()> = Mutex::new(());
    // Two threads in the same tree would report each other's removals as errors.
    let _guard = EMPTYING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut last = Ok(());
    let entries = match std::fs::read_dir(root.join(TRASH)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        if let Err(error) = remove_tree(&entry?.path()) {
            last = Err(error);
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_lies_right_below_its_root() {
        let root = tempfile::tempdir().unwrap();
        for name in ["", ".", "..", "a/b", "/a", TRASH] {
            assert!(reopen(root.path(), name).unwrap().is_none(), "{name}");
        }
        assert!(is_name("pyfoo-main.1"));
    }

    #[test]
    fn a_lane_finds_its_directory_again_and_twins_do_not_meet() {
        let root = tempfile::tempdir().unwrap();
        let first = open(root.path(), "pyfoo/main/test@linux,3.14", Mode::Clean).unwrap();
        std::fs::write(first.tree().join("file"), "x").unwrap();
        let second = open(root.path(), "pyfoo/main/test@linux,3.14", Mode::Clean).unwrap();
        assert_ne!(first.dir(), second.dir());
        assert!(!second.tree().join("file").exists());
        let (dir, other) = (first.dir().to_path_buf(), second.dir().to_path_buf());
        drop(first);
        let again = open(root.path(), "pyfoo/main/test@linux,3.14", Mode::Kept).unwrap();
        assert_eq!(again.dir(), dir);
        assert!(again.tree().join("file").exists());
        drop((again, second));
        let fresh = open(root.path(), "pyfoo/main/test@linux,3.14", Mode::Fresh).unwrap();
        assert_eq!(fresh.dir(), dir);
        assert!(!fresh.tree().join("file").exists());
        assert!(other.exists());
    }

    #[test]
    fn names_of_lanes() {
        assert_ne!(directory_name("a/b"), directory_name("a-b"));
        for lane in ["", "..", "../../etc", ".trash", "-x", "ü\n\0", &"long".repeat(100)] {
            let name = directory_name(lane);
            let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            assert!(name.len() < 80 && name.chars().all(plain) && !name.starts_with('.'), "{lane:?}: {name}");
        }
    }

    #[test]
    fn a_tree_replaced_by_a_link_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("precious"), "x").unwrap();
        for mode in [Mode::Fresh, Mode::Clean, Mode::Kept] {
            let first = open(root.path(), "lane", mode).unwrap();
            std::fs::remove_dir_all(first.tree()).unwrap();
            std::os::unix::fs::symlink(outside.path(), first.tree()).unwrap();
            drop(first);
            let again = open(root.path(), "lane", mode).unwrap();
            assert!(std::fs::symlink_metadata(again.tree()).unwrap().is_dir());
            assert_eq!(std::fs::read_dir(again.tree()).unwrap().count(), 0);
        }
        empty_trash(&root.path().canonicalize().unwrap()).unwrap();
        assert!(outside.path().join("precious").exists());
    }

    #[test]
    fn a_lock_that_is_a_link_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let dir = open(root.path(), "lane", Mode::Clean).unwrap().dir().to_path_buf();
        for target in ["guild.git", "/nowhere/at/all"] {
            std::fs::remove_file(dir.join(LOCK)).unwrap();
            std::os::unix::fs::symlink(target, dir.join(LOCK)).unwrap();
            let error = open(root.path(), "lane", Mode::Clean).unwrap_err().to_string();
            assert!(error.contains("is not a file that can be locked"), "{error}");
        }
    }

    #[test]
    fn only_unused_workspaces_expire() {
        let root = tempfile::tempdir().unwrap();
        let busy = open(root.path(), "busy", Mode::Clean).unwrap();
        let idle = open(root.path(), "idle", Mode::Clean).unwrap().dir().to_path_buf();
        let recent = open(root.path(), "recent", Mode::Clean).unwrap().dir().to_path_buf();
        let long_ago = SystemTime::now() - Duration::from_secs(1000);
        for dir in [busy.dir(), &idle] {
            File::options().write(true).open(dir.join(LOCK)).unwrap().set_modified(long_ago).unwrap();
        }
        assert_eq!(expire(root.path(), Duration::from_secs(500)).unwrap(), 1);
        assert!(busy.dir().exists() && recent.exists() && !idle.exists());
        assert_eq!(std::fs::read_dir(root.path().join(TRASH)).unwrap().count(), 0);
    }
}
