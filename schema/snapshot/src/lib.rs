//! The files of a git checkout as they are now, as a commit: staged, unstaged and untracked ones, without what is ignored. The
//! checkout stays as it is, byte for byte. Its index, its refs and its objects are read, and what is new is written to a
//! repository beside it, which borrows the checkout's objects.
//!
//! Sources: git-add(1), git-write-tree(1), git-commit-tree(1); `GIT_INDEX_FILE` and `GIT_OBJECT_DIRECTORY` in git(1).

mod beside;
mod git;
mod status;

use beside::Beside;
use git::{Git, text_of};
use status::Status;
use std::path::{Path, PathBuf};

/// The reasons for which there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("git could not be run: {0}")]
    Start(std::io::Error),
    #[error("git {verb} failed: {text}")]
    Git { verb: String, text: String },
    #[error("{place}: {cause}")]
    Io { place: String, cause: std::io::Error },
    #[error("there is no commit yet: commit something first")]
    NoCommit,
    #[error("{path} has conflicts: finish the merge first, or give it up")]
    Unmerged { path: String },
    #[error("{path} is a repository of its own, so its files would be left out: ignore it, or make it a submodule")]
    Embedded { path: String },
    #[error(
        "the files that git does not know have {bytes} bytes, and at most {limit} are taken; the largest is {path}: ignore it, or add \
         it"
    )]
    TooLarge { path: String, bytes: u64, limit: u64 },
}

/// A commit of the files as they are now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The repository that has the commit, under [`REF`], and borrows the rest from the checkout.
    pub repository: PathBuf,
    pub commit: String,
    pub tree: String,
    /// The parent: what HEAD names.
    pub base: String,
    /// Files that differ from HEAD, untracked ones included.
    pub changed: usize,
    /// Submodules with changes of their own, which no commit here can hold.
    pub left_out: Vec<String>,
}

/// The ref of the commit in the snapshot's repository.
pub const REF: &str = "refs/heads/snapshot";

/// Takes a snapshot of the checkout whose top is `top`. Whatever is at `place` makes room for the snapshot's repository.
///
/// `untracked_max`: how many bytes the untracked files may have together. They are taken along without being asked for, and
/// a forgotten disk image should not be.
///
/// The same files on the same commit become the same commit: it is dated as its parent is.
///
/// # Errors
/// See [`SnapshotError`]; the checkout is as it was then, too.
pub fn take(top: &Path, place: &Path, untracked_max: u64) -> Result<Snapshot, SnapshotError> {
    let plain = Git::of(top);
    let base =
        plain.optional(&["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])?.ok_or(SnapshotError::NoCommit)?;
    let status = Status::read(&plain)?;
    status.check(top, untracked_max)?;
    let beside = Beside::make(&plain, place)?;
    let git = beside.git(top);
    git.run(&["add", "--all", "--", ":/"])?;
    refuse_embedded(&git, &base)?;
    let tree = git.line(&["write-tree"])?;
    let commit = commit(&git, &tree, &base)?;
    beside.keep(&commit)?;
    Ok(Snapshot {
        repository: place.to_owned(),
        commit,
        tree,
        base,
        changed: status.changed,
        left_out: status.submodules,
    })
}

/// Makes a commit by the person that git knows, at the time of the parent.
fn commit(git: &Git, tree: &str, base: &str) -> Result<String, SnapshotError> {
    let setting = |key: &str| Ok::<String, SnapshotError>(git.optional(&["config", key])?.unwrap_or_default());
    let named = |value: String, other: &str| if value.is_empty() { other.to_owned() } else { value };
    let name = named(setting("user.name")?, "somebody");
    let mail = named(setting("user.email")?, "somebody@localhost");
    let date = format!("@{} +0000", git.line(&["show", "--no-patch", "--format=%ct", base])?);
    let who = ["AUTHOR", "COMMITTER"].into_iter().flat_map(|role| {
        [("NAME", &name), ("EMAIL", &mail), ("DATE", &date)]
            .map(|(part, value)| (format!("GIT_{role}_{part}"), value.clone()))
    });
    let git = git.clone().with(who);
    let message = format!("uncommitted changes on {}", &base[..base.len().min(10)]);
    git.line(&["-c", "i18n.commitEncoding=UTF-8", "commit-tree", tree, "-p", base, "-m", &message])
}

/// git takes a repository within for a submodule without a name: of its files nothing would be left.
fn refuse_embedded(git: &Git, base: &str) -> Result<(), SnapshotError> {
    let links = |output: Vec<u8>, separator: &str| -> Vec<String> {
        let entries = output.split(|byte| *byte == 0).filter(|entry| entry.starts_with(b"160000 "));
        entries.filter_map(|entry| text_of(entry).split_once(separator).map(|(_, path)| path.to_owned())).collect()
    };
    let now = links(git.run(&["ls-files", "--stage", "-z", "--", ":/"])?, "\t");
    if now.is_empty() {
        return Ok(());
    }
    let before = links(git.run(&["ls-tree", "-r", "-z", "--full-tree", base])?, "\t");
    let settings = git.optional(&["config", "--file", ".gitmodules", "--get-regexp", r"^submodule\..*\.path$"])?;
    let named: Vec<String> =
        settings.unwrap_or_default().lines().filter_map(|line| Some(line.split_once(' ')?.1.to_owned())).collect();
    match now.into_iter().find(|path| !before.contains(path) && !named.contains(path)) {
        Some(path) => Err(SnapshotError::Embedded { path }),
        None => Ok(()),
    }
}
