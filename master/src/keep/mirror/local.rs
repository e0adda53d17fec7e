//! Makes a mark of the refs of a repository on this machine from its files, so that checking for changes needs no process. If the
//! files leave a doubt, git is asked instead.

use std::fs::{self, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

/// The number of refs in files of their own that are read for a mark. For more of them, git itself may answer sooner.
const LOOSE_MAX: usize = 1_000;
/// The size of a small file, such as HEAD or a ref, at most, in bytes. Git never writes a longer one.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// The age from which a file's time of change is trusted. A younger file may change again without another time, because some
/// file systems count in steps of 2 s.
const SETTLED_AFTER: Duration = Duration::from_secs(3);

/// A digest of all files that decide which refs a repository reports. Equal marks mean equal answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RefsMark([u8; 32]);

impl RefsMark {
    /// Returns the mark of the repository at an address; `None` means that only git can tell its refs.
    pub(super) fn of(address: &str) -> Option<RefsMark> {
        let dir = git_dir(address)?;
        if dir.join("commondir").exists() || dir.join("reftable").exists() || !dir.join("objects").is_dir() {
            return None;
        }
        let mut marking = MarkDraft { hash: Sha256::new(), loose: 0 };
        marking.config(&dir)?;
        marking.small_file(&dir.join("HEAD"))?;
        marking.packed_refs(&dir)?;
        is_plain_dir(&dir.join("refs")).then_some(())?;
        marking.refs_below(&dir.join("refs/heads"))?;
        marking.refs_below(&dir.join("refs/tags"))?;
        Some(RefsMark(marking.hash.finalize().into()))
    }
}

/// Whether the repository at this address is a partial clone, which leaves objects to another repository.
pub(super) fn is_partial(address: &str) -> bool {
    let config = git_dir(address).and_then(|dir| fs::read_to_string(dir.join("config")).ok());
    config.is_some_and(|text| text.to_ascii_lowercase().contains("promisor = true"))
}

/// Returns the directory that git would use for this address, if it is a plain one.
fn git_dir(address: &str) -> Option<PathBuf> {
    let path = address.strip_prefix("file://").filter(|path| !path.contains('%')).unwrap_or(address);
    let path = path.starts_with('/').then(|| Path::new(path))?;
    let inner = path.join(".git");
    match fs::metadata(&inner) {
        Ok(found) => found.is_dir().then_some(inner),
        Err(_) => path.is_dir().then(|| path.to_owned()),
    }
}

/// A mark that is being made.
struct MarkDraft {
    hash: Sha256,
    loose: usize,
}

impl MarkDraft {
    /// Adds the configuration, which says which refs are hidden and how refs are kept.
    fn config(&mut self, dir: &Path) -> Option<()> {
        let text = self.small_file(&dir.join("config"))?;
        let is_plain = !String::from_utf8_lossy(&text).to_ascii_lowercase().contains("refstorage");
        is_plain.then_some(())
    }

    fn small_file(&mut self, file: &Path) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        if !fs::symlink_metadata(file).ok()?.is_file() {
            return None;
        }
        fs::File::open(file).ok()?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).ok()?;
        let is_small = bytes.len() as u64 <= FILE_BYTES_MAX;
        self.note(file.as_os_str().as_encoded_bytes(), &bytes);
        is_small.then_some(bytes)
    }

    /// Adds the file of packed refs. Git always replaces it as a whole, so its identity and its times show whether it changed.
    fn packed_refs(&mut self, dir: &Path) -> Option<()> {
        let file = dir.join("packed-refs");
        let Ok(found) = fs::symlink_metadata(&file) else {
            self.note(b"packed-refs", b"");
            return Some(());
        };
        let is_settled = found.is_file() && is_settled(&found);
        let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
        let facts = format!("{} {} {times:?}", found.ino(), found.size());
        self.note(b"packed-refs", facts.as_bytes());
        is_settled.then_some(())
    }

    fn refs_below(&mut self, dir: &Path) -> Option<()> {
        if !dir.exists() {
            return Some(());
        }
        is_plain_dir(dir).then_some(())?;
        let mut entries: Vec<_> = fs::read_dir(dir).ok()?.collect::<Result<_, _>>().ok()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let (kind, path) = (entry.file_type().ok()?, entry.path());
            if kind.is_dir() {
                self.refs_below(&path)?;
            } else if path.extension().is_none_or(|end| end != "lock") {
                self.loose += 1;
                (self.loose <= LOOSE_MAX).then_some(())?;
                self.small_file(&path)?;
            }
        }
        Some(())
    }

    fn note(&mut self, name: &[u8], bytes: &[u8]) {
        for part in [name, bytes] {
            self.hash.update((part.len() as u64).to_le_bytes());
            self.hash.update(part);
        }
    }
}

fn is_plain_dir(dir: &Path) -> bool {
    fs::symlink_metadata(dir).is_ok_and(|found| found.is_dir())
}

fn is_settled(found: &Metadata) -> bool {
    let age = found.modified().ok().and_then(|written| written.elapsed().ok());
    age.is_some_and(|age| age > SETTLED_AFTER)
}

#[cfg(test)]
#[path = "local_tests.rs"]
mod tests;
