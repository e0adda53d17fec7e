//! The target of a single build by `up`: the commit that HEAD names, or the files as they are.

use super::UpError;
use super::checkout::{Checkout, git};
use client::words::count;
use snapshot::Snapshot;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The most bytes that the untracked files may have together. They are copied on this machine only, so the bound is far above the size of
/// source code, and below a forgotten disk image.
const UNTRACKED_BYTES_MAX: u64 = 1 << 30;

pub(super) struct Target {
    pub(super) commit: String,
    /// A repository that has the commit.
    pub(super) repository: PathBuf,
    /// Whether the commit has a guild.toml.
    pub(super) has_pipeline: bool,
    snapshot: Option<(Snapshot, TempDir)>,
}

impl Target {
    pub(super) fn of(checkout: &Checkout, dirty: bool) -> Result<Target, UpError> {
        let snapshot = if dirty { Some(take(&checkout.top)?) } else { None };
        let (commit, repository) = match &snapshot {
            Some((taken, _)) => (taken.commit.clone(), taken.repository.clone()),
            None => (checkout.head.clone(), checkout.top.clone()),
        };
        let has_pipeline = git(&repository, &["cat-file", "-t", &format!("{commit}:guild.toml")])?.is_some();
        Ok(Target { commit, repository, has_pipeline, snapshot })
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.snapshot.is_some()
    }

    /// Returns the lines that say how the build differs from HEAD or from the files. `uncommitted` is the number of files that differ.
    pub(super) fn told(&self, uncommitted: usize) -> Vec<String> {
        let Some((taken, _)) = &self.snapshot else {
            return if uncommitted > 0 { vec![left_out(uncommitted)] } else { Vec::new() };
        };
        let left_out = taken.left_out.iter();
        let left_out = left_out.map(|path| format!("the changes in the submodule {path} are left out"));
        [format!("with {}", count(taken.changed, "uncommitted file"))].into_iter().chain(left_out).collect()
    }
}

/// Returns the text, shown before and after a build, which says that uncommitted files were left out.
pub(super) fn left_out(uncommitted: usize) -> String {
    let files = count(uncommitted, "uncommitted file");
    let is = if uncommitted == 1 { "is" } else { "are" };
    format!("the commit is built: {files} {is} left out. Commit them, or build the files as they are with --dirty")
}

fn take(top: &Path) -> Result<(Snapshot, TempDir), UpError> {
    let dir = tempfile::tempdir().map_err(UpError::io("a directory for the snapshot"))?;
    let taken = snapshot::take(top, &dir.path().join("snapshot"), UNTRACKED_BYTES_MAX)?;
    Ok((taken, dir))
}
