//! The repository beside the checkout, to which a snapshot writes its copy of the index and its new objects.

use super::git::Git;
use super::{REF, SnapshotError};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

pub(super) struct Beside {
    dir: PathBuf,
}

impl Beside {
    /// Makes the repository in `dir`. It replaces anything that is there.
    pub(super) fn make(checkout: &Git, dir: &Path) -> Result<Beside, SnapshotError> {
        let git_dir = checkout.line(&["rev-parse", "--absolute-git-dir"])?;
        let common = checkout.line(&["rev-parse", "--path-format=absolute", "--git-common-dir"])?;
        let is_sha256 = checkout.line(&["rev-parse", "--show-object-format"])? == "sha256";
        let beside = Beside { dir: std::path::absolute(dir).map_err(failed(dir))? };
        beside.write(Path::new(&git_dir), Path::new(&common), is_sha256).map_err(failed(dir))?;
        Ok(beside)
    }

    fn write(&self, git_dir: &Path, common: &Path, is_sha256: bool) -> io::Result<()> {
        match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        for part in ["objects/info", "objects/pack", "refs/heads"] {
            fs::create_dir_all(self.dir.join(part))?;
        }
        // one path for each line; git would read a quoted path like a string of C
        fs::write(self.dir.join("objects/info/alternates"), format!("{}\n", common.join("objects").display()))?;
        let version = u8::from(is_sha256);
        let core = format!("[core]\n\trepositoryformatversion = {version}\n\tbare = true\n");
        let format = if is_sha256 { "[extensions]\n\tobjectformat = sha256\n" } else { "" };
        fs::write(self.dir.join("config"), core + format)?;
        fs::write(self.dir.join("HEAD"), format!("ref: {REF}\n"))?;
        // a shallow clone lacks the parents of some commits, and says so in this file
        match fs::copy(common.join("shallow"), self.dir.join("shallow")) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(_) | Err(_) => {}
        }
        copy_index(&git_dir.join("index"), &self.dir.join("index"))
    }

    /// Returns a git that reads the checkout but writes its index and its objects here.
    pub(super) fn git(&self, top: &Path) -> Git {
        let places = [("GIT_INDEX_FILE", self.dir.join("index")), ("GIT_OBJECT_DIRECTORY", self.dir.join("objects"))];
        Git::of(top).with(places.map(|(name, path)| (name.to_owned(), path)))
    }

    /// Writes the ref of the commit, and removes the index, which is no longer needed.
    pub(super) fn keep(&self, commit: &str) -> Result<(), SnapshotError> {
        let written = fs::write(self.dir.join(REF), format!("{commit}\n"));
        written.and_then(|()| fs::remove_file(self.dir.join("index"))).map_err(failed(&self.dir))
    }
}

/// Copies the index with the time of its last change. Git compares this time with the times of the files, and reads a file again if
/// it may have changed since.
fn copy_index(from: &Path, to: &Path) -> io::Result<()> {
    match fs::copy(from, to) {
        Ok(_) => {
            let changed = fs::metadata(from)?.modified()?;
            fs::File::options().write(true).open(to)?.set_modified(changed)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn failed(place: &Path) -> impl FnOnce(io::Error) -> SnapshotError {
    move |cause| SnapshotError::Io { place: place.display().to_string(), cause }
}
