//! The path of a program of this machine.
//!
//! If the standard library must look up a program in a given `PATH`, it copies this whole process first. It starts a program that is
//! named by its path without a copy, which is several times faster.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Returns the path of git, as it was first found in this process's `PATH`. If there is none, it returns the bare name, so that
/// starting git then reports the error.
pub fn git() -> &'static Path {
    static GIT: OnceLock<PathBuf> = OnceLock::new();
    if let Some(found) = GIT.get() {
        return found;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    match find("git", &path) {
        Some(found) => GIT.get_or_init(|| found),
        None => Path::new("git"),
    }
}

/// Returns the first executable file of this name in the directories of `path`, which has the form of `PATH`.
fn find(name: &str, path: &OsStr) -> Option<PathBuf> {
    let mut places = std::env::split_paths(path).filter(|dir| dir.is_absolute()).map(|dir| dir.join(name));
    places.find(|place| is_program(place))
}

fn is_program(place: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(place).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_first_that_may_be_run_is_found() {
        let root = tempfile::tempdir().unwrap();
        let dirs = ["none", "plain", "first", "second"].map(|name| root.path().join(name));
        for dir in &dirs[1..] {
            std::fs::create_dir_all(dir).unwrap();
            std::fs::write(dir.join("tool"), "").unwrap();
        }
        for dir in &dirs[2..] {
            std::fs::set_permissions(dir.join("tool"), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = std::env::join_paths(dirs.iter().map(PathBuf::as_path).chain([Path::new("relative")])).unwrap();
        assert_eq!(find("tool", &path), Some(dirs[2].join("tool")));
        assert_eq!(find("no-such-tool", &path), None);
    }
}
