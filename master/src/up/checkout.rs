//! The repository that `up` was called on: where it is, what is checked out, what is not committed.

use super::UpError;
use schema::shown;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where branches live.
const HEADS: &str = "refs/heads/";

pub(super) struct Checkout {
    pub(super) top: PathBuf,
    /// The project's name: the directory's, as far as it is one.
    pub(super) name: String,
    /// The full ref without `refs/heads/`; none where HEAD is detached.
    pub(super) branch: Option<String>,
    pub(super) head: String,
    /// A commit can say anything: this is fit for a terminal.
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
        let subject = git(&top, &["log", "-1", "--encoding=UTF-8", "--format=%s"])?;
        Ok(Checkout {
            name: name_of(&top),
            // never git's short name: it is `heads/main` where a tag is called `main` as well
            branch: git(&top, &["symbolic-ref", "--quiet", "HEAD"])?
                .and_then(|name| name.strip_prefix(HEADS).map(str::to_owned)),
            subject: shown::line(&subject.unwrap_or_default()).into_owned(),
            uncommitted: status.lines().count(),
            has_pipeline: git(&top, &["cat-file", "-t", "HEAD:guild.toml"])?.is_some(),
            top,
            head,
        })
    }

    /// The full ref of the branch; empty where HEAD is detached.
    pub(super) fn ref_name(&self) -> String {
        self.branch.as_ref().map(|branch| format!("{HEADS}{branch}")).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A repository with one commit on `main`.
    fn repository(subject: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        run(&dir, &["init", "--quiet", "--initial-branch=main"]);
        run(&dir, &["commit", "--quiet", "--allow-empty", "-m", subject]);
        dir
    }

    fn run(dir: &tempfile::TempDir, arguments: &[&str]) {
        let who = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
        let status = Command::new("git").arg("-C").arg(dir.path()).args(who).args(arguments).status().unwrap();
        assert!(status.success(), "git {arguments:?}");
    }

    #[test]
    fn the_branch_is_what_it_is_called_whatever_else_is_called_so() {
        let dir = repository("one");
        run(&dir, &["tag", "main"]);
        let checkout = Checkout::look(dir.path()).unwrap();
        assert_eq!((checkout.branch.as_deref(), checkout.ref_name().as_str()), (Some("main"), "refs/heads/main"));
        for name in ["heads/main", "HEAD", "refs/heads/x"] {
            run(&dir, &["update-ref", &format!("refs/heads/{name}"), "refs/heads/main"]);
            run(&dir, &["symbolic-ref", "HEAD", &format!("refs/heads/{name}")]);
            let checkout = Checkout::look(dir.path()).unwrap();
            assert_eq!((checkout.branch.as_deref(), checkout.ref_name()), (Some(name), format!("refs/heads/{name}")));
        }
        run(&dir, &["checkout", "--quiet", "--detach"]);
        let checkout = Checkout::look(dir.path()).unwrap();
        assert_eq!((checkout.branch.as_deref(), checkout.ref_name().as_str()), (None, ""));
    }

    #[test]
    fn a_subject_cannot_speak_to_the_terminal() {
        let dir = repository("fine \x1b]0;owned\x07 \u{9b}2J");
        assert_eq!(Checkout::look(dir.path()).unwrap().subject, "fine  ]0;owned   2J");
    }

    #[test]
    fn a_subject_of_another_encoding_keeps_its_letters() {
        let dir = repository("one");
        let file = dir.path().join("message");
        std::fs::write(&file, b"Gr\xfc\xdfe").unwrap();
        let message = file.to_str().unwrap();
        run(&dir, &["config", "i18n.commitEncoding", "ISO-8859-1"]);
        run(&dir, &["commit", "--quiet", "--allow-empty", "-F", message]);
        assert_eq!(Checkout::look(dir.path()).unwrap().subject, "Gr\u{fc}\u{df}e");
    }
}
