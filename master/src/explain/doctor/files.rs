//! Checks the files that the master file names: whether the master can read them, and who else can.

use super::count;
use crate::explain::quoted;
use schema::values::Finding;
use std::io;
use std::path::{Path, PathBuf};

/// A file, with the key of the master file that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamedFile {
    /// The key that names the file, such as "credential_file".
    pub(super) key: String,
    /// The project that the file is for. Empty means all projects.
    pub(super) project: String,
    pub(super) path: PathBuf,
    pub(super) is_secret: bool,
}

impl NamedFile {
    pub(super) fn new(project: &str, key: &str, path: &Path, is_secret: bool) -> NamedFile {
        NamedFile { project: project.to_owned(), key: key.to_owned(), path: path.to_owned(), is_secret }
    }

    fn subject(&self) -> String {
        if self.project.is_empty() { self.key.clone() } else { format!("{} of {}", self.key, self.project) }
    }
}

/// A file, with its permissions if it could be opened.
pub(super) type OpenedFile = (NamedFile, io::Result<Permissions>);

#[derive(Clone, Copy, Debug)]
pub(super) struct Permissions {
    pub(super) mode: u32,
    /// Whether the master's user owns the file, so that it needs no group to read it.
    pub(super) is_own: bool,
}

pub(super) fn look(files: Vec<NamedFile>) -> Vec<OpenedFile> {
    let seen = files.into_iter().map(|file| {
        let access = access_of(&file.path);
        (file, access)
    });
    seen.collect()
}

fn access_of(path: &Path) -> io::Result<Permissions> {
    use std::os::unix::fs::MetadataExt as _;
    let seen = std::fs::File::open(path)?.metadata()?;
    Ok(Permissions { mode: seen.mode() & 0o777, is_own: seen.uid() == rustix::process::geteuid().as_raw() })
}

/// Returns one finding for each file that is not as it should be. If all files are, returns one good finding for all of them.
pub(super) fn judge(files: &[OpenedFile]) -> Vec<Finding> {
    let found: Vec<Finding> = files.iter().filter_map(judge_one).collect();
    match (found.is_empty(), files.len()) {
        (true, 0) | (false, _) => found,
        (true, number) => {
            let seen = format!("{}, readable by the master, secrets by nobody else", count(number, "file"));
            vec![Finding::good("files that the master file names", seen)]
        }
    }
}

fn judge_one((file, access): &OpenedFile) -> Option<Finding> {
    let path = file.path.display();
    match access {
        Err(error) => {
            let key = &file.key;
            let remedy =
                format!("put the file there, readable by the master's user, or change `{key}` in the master file");
            Some(Finding::bad(file.subject(), format!("{path}: {error}"), remedy))
        }
        Ok(access) if file.is_secret && access.is_exposed() => {
            let others = if access.is_own { "go" } else { "o" };
            let remedy = format!("chmod {others}= {}", quoted(&path.to_string()));
            let seen = format!("{path} can be used by others (mode {:04o})", access.mode);
            Some(Finding::warned(file.subject(), seen, remedy))
        }
        Ok(_) => None,
    }
}

impl Permissions {
    fn is_exposed(self) -> bool {
        let others = if self.is_own { 0o077 } else { 0o007 };
        self.mode & others != 0
    }
}
