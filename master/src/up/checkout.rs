//! The repository that `up` was called on: where it is, what is checked out, what is not committed.

use super::UpError;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(super) struct Checkout {
    pub(super) top: PathBuf,
    /// The project's name: the directory's, as far as it is one.
    pub(super) name: String,
    /// Short name; none where HEAD is detached.
    pub(super) branch: Option<String>,
    pub(super) head: String,
    pub(super) subject: String,
    /// Files that differ from HEAD, untracked ones included.
    pub(super) uncommitted: usize,
    /// Whether HEAD has a guild.toml.
    pub(super) has_pipeline: bool,
}

impl Checkout {
    pub(super) fn look(path: &Path) -> Result<Checkout, UpError> {
        let top = git(path, &["rev-parse", "--show-toplevel"])?.ok_or_else(|| {
            UpError::Usage(format!("{} is not in a git work tree: `git init` there, and commit", path.display()))
        })?;
        let top = PathBuf::from(top);
        let head = git(&top, &["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])?
            .ok_or_else(|| UpError::Usage(format!("{} has no commit yet: commit something to build", top.display())))?;
        let status = git(&top, &["status", "--porcelain"])?.unwrap_or_default();
        Ok(Checkout {
            name: name_of(&top),
            branch: git(&top, &["symbolic-ref", "--quiet", "--short", "HEAD"])?,
            subject: git(&top, &["-c", "i18n.logOutputEncoding=UTF-8", "log", "-1", "--format=%s"])?
                .unwrap_or_default(),
            uncommitted: status.lines().count(),
            has_pipeline: git(&top, &["cat-file", "-t", "HEAD:guild.toml"])?.is_some(),
            top,
            head,
        })
    }

    /// The full ref of the branch; empty where HEAD is detached.
    pub(super) fn ref_name(&self) -> String {
        self.branch.as_ref().map(|branch| format!("refs/heads/{branch}")).unwrap_or_default()
    }
}

/// What git prints, trimmed; none where it fails, as it does to say no.
fn git(dir: &Path, arguments: &[&str]) -> Result<Option<String>, UpError> {
    let output = Command::new("git").arg("-C").arg(dir).args(arguments).output();
    let output = output.map_err(UpError::io("failed to run git"))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(output.status.success().then_some(text))
}

fn name_of(top: &Path) -> String {
    let name = top.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let valid = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = name.chars().map(valid).take(100).collect();
    if name.is_empty() { "project".to_owned() } else { name }
}
