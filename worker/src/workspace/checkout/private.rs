//! Small repositories that are written file by file, without running git. One kind is a directory that borrows another's objects, and
//! the other is the `.git` that a step finds in its tree.

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The `.git` of one attempt.
pub(super) struct Private {
    pub(super) dir: PathBuf,
    /// The index with the state of the tree, so that `git status` need not read all files.
    pub(super) index: PathBuf,
    pub(super) objects: PathBuf,
    pub(super) is_sha256: bool,
    pub(super) revision: String,
    /// The full name of the ref. If it is not a branch, HEAD is detached.
    pub(super) ref_name: String,
    /// The tags: the full name of each, and the id of its object.
    pub(super) tags: Vec<(String, String)>,
}

impl Private {
    /// Makes the private repository, which must not exist yet.
    pub(super) fn make(&self) -> io::Result<()> {
        // This fails if something is there, even if it is a link to another place.
        std::fs::create_dir(&self.dir)?;
        open_to_readers(&self.dir)?;
        skeleton(&self.dir, &self.objects, self.is_sha256)?;
        std::fs::copy(&self.index, self.dir.join("index"))?;
        write(&self.dir.join("packed-refs"), &self.packed_refs())?;
        // This file is written last, because git sees no repository here before it exists.
        write(&self.dir.join("HEAD"), &self.head())
    }

    fn branch(&self) -> Option<&str> {
        let name = &self.ref_name;
        (name.starts_with("refs/heads/") && is_ref(name)).then_some(name)
    }

    fn head(&self) -> String {
        self.branch().map_or_else(|| format!("{}\n", self.revision), |branch| format!("ref: {branch}\n"))
    }

    fn packed_refs(&self) -> String {
        let branch = self.branch().map(|name| (name, self.revision.as_str()));
        let tags = self.tags.iter().map(|(name, id)| (name.as_str(), id.as_str()));
        let tags = tags.filter(|(name, id)| name.starts_with("refs/tags/") && is_ref(name) && is_id(id));
        let mut refs: Vec<_> = branch.into_iter().chain(tags).collect();
        refs.sort_unstable();
        refs.dedup_by_key(|(name, _)| *name);
        refs.iter().map(|(name, id)| format!("{id} {name}\n")).collect()
    }
}

/// Makes a repository without a HEAD. It borrows the objects of the directory `borrowed`.
pub(super) fn skeleton(dir: &Path, borrowed: &Path, is_sha256: bool) -> io::Result<()> {
    for part in ["", "objects", "objects/info", "objects/pack", "refs", "refs/heads", "refs/tags"] {
        make_dir(&dir.join(part))?;
    }
    write(&dir.join("objects/info/alternates"), &format!("{}\n", borrowed.display()))?;
    write(&dir.join("config"), &config(is_sha256, false))
}

/// Makes a directory with the modes that git uses by default, whatever our own umask is.
fn make_dir(path: &Path) -> io::Result<()> {
    match std::fs::create_dir(path) {
        Ok(()) => open_to_readers(path),
        // An earlier call made this directory, with the right modes.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn open_to_readers(dir: &Path) -> io::Result<()> {
    std::fs::set_permissions(dir, Permissions::from_mode(0o755))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.write_all(text.as_bytes())
}

pub(super) fn config(is_sha256: bool, is_bare: bool) -> String {
    let version = u8::from(is_sha256);
    let core = format!("[core]\n\trepositoryformatversion = {version}\n\tfilemode = true\n\tbare = {is_bare}\n");
    if is_sha256 { format!("{core}[extensions]\n\tobjectformat = sha256\n") } else { core }
}

/// Whether a text is a complete object id, in the form in which git writes it.
pub(super) fn is_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a name is safe as the name of a ref. The master sends good names, but this check keeps a line end or a `..` out in any case.
fn is_ref(name: &str) -> bool {
    name.len() <= 512
        && !name.chars().any(|c| c.is_control() || " ~^:?*[\\".contains(c))
        && !name.contains("..")
        && !name.contains("@{")
        && !name.ends_with('.')
        && name.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_well_formed_refs_are_written() {
        let id = "a".repeat(40);
        let tag = |name: &str, id: &str| (name.to_string(), id.to_string());
        let private = Private {
            dir: PathBuf::new(),
            index: PathBuf::new(),
            objects: PathBuf::new(),
            is_sha256: false,
            revision: id.clone(),
            ref_name: "refs/heads/main".to_string(),
            tags: vec![
                tag("refs/tags/v1", &id),
                tag("refs/tags/v1", &id),
                tag("refs/tags/../../x", &id),
                tag("refs/tags/x\ny", &id),
                tag("refs/heads/other", &id),
                tag("refs/tags/bad", "HEAD"),
            ],
        };
        assert_eq!(private.packed_refs(), format!("{id} refs/heads/main\n{id} refs/tags/v1\n"));
        assert_eq!(private.head(), "ref: refs/heads/main\n");
        let detached = Private { ref_name: "refs/heads/../x".to_string(), ..private };
        assert_eq!(detached.head(), format!("{id}\n"));
    }
}
