//! Makes a commit of the files of a git checkout as they are now: staged, unstaged and untracked ones, but not ignored ones. The
//! checkout stays as it is, byte for byte. New objects are written to a repository beside it, which borrows the checkout's objects.
//!
//! Sources: git-add(1), git-write-tree(1), git-commit-tree(1); `GIT_INDEX_FILE` and `GIT_OBJECT_DIRECTORY` in git(1).

mod beside;
mod git;
mod status;

use beside::Beside;
use git::{Git, text_of};
use status::Status;
use std::fs::File;
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

/// A commit of the files of a checkout, as they were when it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The path of the repository that has the commit under [`REF`]. It borrows the older objects from the checkout.
    pub repository: PathBuf,
    pub commit: String,
    pub tree: String,
    /// The parent of the commit, which is the commit of HEAD.
    pub base: String,
    /// The number of files that differ from HEAD, including untracked ones.
    pub changed: usize,
    /// The paths of submodules with changes of their own, which a commit of this repository cannot hold.
    pub left_out: Vec<String>,
    /// The files that git does not know, each with its size in bytes.
    pub new: Vec<(String, u64)>,
}

/// The ref of the commit in the snapshot's repository.
pub const REF: &str = "refs/heads/snapshot";

/// Takes a snapshot of the checkout whose top directory is `top`. The snapshot's repository replaces anything that is at `place`.
///
/// `untracked_max` is the most bytes that the untracked files may have together. They are included automatically, and the limit
/// keeps a forgotten disk image out.
///
/// The same files on the same commit always become the same commit, because its date is the date of its parent.
///
/// # Errors
/// See [`SnapshotError`]. The checkout stays as it is also if this fails.
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
        left_out: status.submodules.clone(),
        new: status.sizes(top),
    })
}

/// Returns the commit of HEAD and its first parents, the newest first, at most `most` of them.
///
/// # Errors
/// Fails if git fails, for example because there is no commit yet.
pub fn ancestors(top: &Path, most: usize) -> Result<Vec<String>, SnapshotError> {
    let most = format!("--max-count={most}");
    let lines = Git::of(top).run(&["rev-list", "--first-parent", &most, "HEAD"])?;
    Ok(text_of(&lines).lines().map(str::to_owned).collect())
}

impl Snapshot {
    /// Returns the commit that has the files: the commit of HEAD if no file differs from it.
    pub fn tip(&self) -> &str {
        if self.changed == 0 { &self.base } else { &self.commit }
    }

    /// Writes a pack with [`Snapshot::tip`] and all that it needs to the file `to`. It leaves out what the commit `known` has; an empty
    /// `known` leaves out nothing. The pack is thin: its objects may be differences from objects of `known`.
    ///
    /// # Errors
    /// Fails if git or the disk fails.
    pub fn pack(&self, known: &str, to: &Path) -> Result<(), SnapshotError> {
        let failed = |cause| SnapshotError::Io { place: to.display().to_string(), cause };
        let mut wanted = format!("{}\n", self.tip());
        if !known.is_empty() {
            wanted += &format!("^{known}\n");
        }
        let list = to.with_extension("list");
        std::fs::write(&list, wanted).map_err(failed)?;
        let (input, output) = (File::open(&list).map_err(failed)?, File::create(to).map_err(failed)?);
        let arguments = ["pack-objects", "--revs", "--thin", "--stdout", "--delta-base-offset", "--quiet"];
        Git::of(&self.repository).copy(&arguments, input, output)
    }
}

/// Makes a commit with the user that git knows as its author, and with the date of its parent.
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

/// Refuses a repository within the checkout that is not a submodule, because git would leave out its files.
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
