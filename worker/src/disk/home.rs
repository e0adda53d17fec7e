//! The home of a worker's state, by which a copy of its directory is recognised. The steps in the files of a copy belong to the
//! original worker, so the copy must not end them.

use crate::disk::atomic_file;
use schema::values::Home;
use std::io;
use std::os::linux::fs::MetadataExt as _;
use std::path::Path;

/// The file in the state directory that notes the home of the worker that the master let in last.
const FILE: &str = "home.json";

/// Returns the home of a state directory, which identifies it on this machine. `None` means that this machine does not tell it.
pub(crate) fn find(state: &Path, boot: String) -> Option<Home> {
    let directory = std::fs::metadata(state).ok()?;
    let namespace = std::fs::metadata("/proc/self/ns/pid").ok()?;
    Some(Home { boot, pid_namespace: namespace.st_ino(), device: directory.st_dev(), inode: directory.st_ino() })
}

/// The owner of a state directory, as far as its files say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The directory is the one with which the master let the worker in.
    Own,
    /// The directory is a copy: the master let the worker in with another directory.
    Copy,
    /// The directory notes no home, like a new one or one of version 0.1.0, or this machine does not say where the directory is.
    Unknown,
}

pub(crate) fn whose(state: &Path, here: Option<&Home>) -> Whose {
    let noted = std::fs::read(state.join(FILE)).ok().and_then(|bytes| serde_json::from_slice::<Home>(&bytes).ok());
    match (noted, here) {
        (Some(noted), Some(here)) if (noted.device, noted.inode) == (here.device, here.inode) => Whose::Own,
        (Some(_), Some(_)) => Whose::Copy,
        (Some(_), None) | (None, _) => Whose::Unknown,
    }
}

/// Notes that the directory is this worker's own from here on.
pub(crate) fn note(state: &Path, home: &Home) -> io::Result<()> {
    let path = state.join(FILE);
    let bytes = serde_json::to_vec(home)?;
    match std::fs::read(&path) {
        Ok(noted) if noted == bytes => Ok(()),
        Ok(_) | Err(_) => atomic_file::write(&path, &bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_known_for_one_until_it_is_let_in() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let home = |dir: &tempfile::TempDir| find(dir.path(), "boot".to_owned()).unwrap();
        assert_eq!(whose(first.path(), Some(&home(&first))), Whose::Unknown, "a new one");
        note(first.path(), &home(&first)).unwrap();
        let restarted = Home { boot: "another".to_owned(), ..home(&first) };
        assert_eq!(whose(first.path(), Some(&restarted)), Whose::Own, "after a restart of the machine");
        assert_eq!(whose(first.path(), None), Whose::Unknown, "nobody can say where it lies");
        std::fs::copy(first.path().join(FILE), second.path().join(FILE)).unwrap();
        assert_eq!(whose(second.path(), Some(&home(&second))), Whose::Copy);
        note(second.path(), &home(&second)).unwrap();
        assert_eq!(whose(second.path(), Some(&home(&second))), Whose::Own);
    }
}
