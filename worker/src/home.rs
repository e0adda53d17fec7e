//! Where a worker's state lies, so that a copy of its directory is known for one: what the copy says of steps is not its own,
//! and nothing of them is the copy's to end.

use crate::whole;
use schema::values::Home;
use std::io;
use std::os::linux::fs::MetadataExt as _;
use std::path::Path;

/// What the master let in last, in the state directory.
const FILE: &str = "home.json";

/// None: this machine does not say.
pub(crate) fn find(state: &Path, boot: String) -> Option<Home> {
    let directory = std::fs::metadata(state).ok()?;
    let namespace = std::fs::metadata("/proc/self/ns/pid").ok()?;
    Some(Home { boot, pid_namespace: namespace.st_ino(), device: directory.st_dev(), inode: directory.st_ino() })
}

/// Whether the directory is a copy of one that was let in elsewhere. Where none is noted, as in those of 0.1.0, it is not.
pub(crate) fn is_copy(state: &Path, here: Option<&Home>) -> bool {
    let noted = std::fs::read(state.join(FILE)).ok().and_then(|bytes| serde_json::from_slice::<Home>(&bytes).ok());
    match (noted, here) {
        (Some(noted), Some(here)) => (noted.device, noted.inode) != (here.device, here.inode),
        (Some(_), None) | (None, _) => false,
    }
}

/// From here on the directory is this worker's own.
pub(crate) fn note(state: &Path, home: &Home) -> io::Result<()> {
    let path = state.join(FILE);
    let bytes = serde_json::to_vec(home)?;
    match std::fs::read(&path) {
        Ok(noted) if noted == bytes => Ok(()),
        Ok(_) | Err(_) => whole::write(&path, &bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_known_for_one_until_it_is_let_in() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let home = |dir: &tempfile::TempDir| find(dir.path(), "boot".to_owned()).unwrap();
        assert!(!is_copy(first.path(), Some(&home(&first))), "a new one");
        note(first.path(), &home(&first)).unwrap();
        let restarted = Home { boot: "another".to_owned(), ..home(&first) };
        assert!(!is_copy(first.path(), Some(&restarted)), "after a restart of the machine");
        std::fs::copy(first.path().join(FILE), second.path().join(FILE)).unwrap();
        assert!(is_copy(second.path(), Some(&home(&second))));
        note(second.path(), &home(&second)).unwrap();
        assert!(!is_copy(second.path(), Some(&home(&second))));
    }
}
