//! The repository on which `up` was called: where it is, what is checked out, and what is not committed.

use super::UpError;
use schema::shown;
use schema::values::{ShortRef, branch_ref};
use std::path::{Path, PathBuf};
use std::process::Command;

pub(super) struct Checkout {
    pub(super) top: PathBuf,
    /// The project's name: the directory's name, with `-` for each character that a name must not have.
    pub(super) name: String,
    /// The name of the branch, without `refs/heads/`; `None` if HEAD is detached.
    pub(super) branch: Option<String>,
    pub(super) head: String,
    /// The subject of the commit, made safe for a terminal because a commit can contain anything.
    pub(super) subject: String,
    /// The number of files that differ from HEAD, including untracked files.
    pub(super) uncommitted: usize,
}

impl Checkout {
    pub(super) fn look(path: &Path) -> Result<Checkout, UpError> {
        let top = match git(path, &["rev-parse", "--show-toplevel"])? {
            Some(top) => PathBuf::from(top),
            None => return Err(UpError::Usage(no_checkout(path)?)),
        };
        is_whole(&top)?;
        let head = git(&top, &["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])?
            .ok_or_else(|| UpError::Usage(format!("{} has no commit yet: commit something to build", top.display())))?;
        let status = git(&top, &["status", "--porcelain"])?.unwrap_or_default();
        let subject = git(&top, &["log", "-1", "--encoding=UTF-8", "--format=%s"])?;
        Ok(Checkout {
            name: name_of(&top),
            // git's short name would not do: it is `heads/main` if a tag is called `main` as well
            branch: git(&top, &["symbolic-ref", "--quiet", "HEAD"])?
                .and_then(|name| ShortRef::of(&name).branch().map(str::to_owned)),
            subject: shown::line(&subject.unwrap_or_default()).into_owned(),
            uncommitted: status.lines().count(),
            top,
            head,
        })
    }

    /// Returns the full ref of the branch, or an empty text if HEAD is detached.
    pub(super) fn ref_name(&self) -> String {
        self.branch.as_deref().map(branch_ref).unwrap_or_default()
    }
}

/// Returns why there is no checkout at `path`, and what to do instead.
fn no_checkout(path: &Path) -> Result<String, UpError> {
    let shown = path.display();
    if !path.exists() {
        return Ok(format!("{shown} does not exist: name the directory of a git checkout"));
    }
    if !path.is_dir() {
        return Ok(format!("{shown} is a file: name the directory of a git checkout"));
    }
    Ok(match git(path, &["rev-parse", "--is-bare-repository"])?.as_deref() {
        Some("true") => format!(
            "{shown} is a bare repository, which has no files to look at: clone it, and name the clone; docs/master.md says how a \
             lasting master follows a bare one"
        ),
        _ => format!("{shown} is not in a git work tree: run `git init` there, and commit"),
    })
}

/// Refuses a clone that lacks objects, because a build starts from a copy of the whole repository.
fn is_whole(top: &Path) -> Result<(), UpError> {
    let shown = top.display();
    if git(top, &["rev-parse", "--is-shallow-repository"])?.as_deref() == Some("true") {
        let text =
            format!("{shown} is a shallow clone, whose history is cut: run `git fetch --unshallow` to get the rest");
        return Err(UpError::Usage(text));
    }
    let promised = git(top, &["config", "--get-regexp", r"^remote\..*\.promisor$", "^true$"])?;
    let remote = promised.as_deref().and_then(|line| line.strip_prefix("remote.")?.split(".promisor").next());
    if let Some(remote) = remote {
        let text = format!(
            "{shown} is a partial clone, which lacks files: clone it without --filter, or run `git config --unset \
             remote.{remote}.partialCloneFilter`, `git fetch --refetch {remote}` and `git config --unset remote.{remote}.promisor`"
        );
        return Err(UpError::Usage(text));
    }
    Ok(())
}

/// Returns what git prints, trimmed. `None` means that git failed, which is also how it says no.
pub(super) fn git(dir: &Path, arguments: &[&str]) -> Result<Option<String>, UpError> {
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

    /// Makes a repository with one commit on `main`.
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

    /// Returns the text with which `look` refuses a path.
    fn refused(path: &Path) -> String {
        Checkout::look(path).map(|checkout| checkout.name).unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_built_is_named_with_the_way_out() {
        let dir = repository("one");
        let (whole, other) = (dir.path(), tempfile::tempdir().unwrap());
        let url = format!("file://{}", whole.display());
        let clone = |name: &str, arguments: &[&str]| {
            let to = other.path().join(name);
            let status = Command::new("git").args(["clone", "--quiet"]).args(arguments).arg(&url).arg(&to).status();
            assert!(status.unwrap().success(), "git clone {arguments:?}");
            to
        };
        run(&dir, &["commit", "--quiet", "--allow-empty", "-m", "two"]);
        run(&dir, &["config", "uploadpack.allowFilter", "true"]);
        std::fs::write(other.path().join("file"), "").unwrap();
        assert!(refused(&clone("bare", &["--bare"])).contains("is a bare repository"));
        assert!(refused(&other.path().join("missing")).contains("does not exist: name the directory"));
        assert!(refused(&other.path().join("file")).contains("is a file: name the directory"));
        assert!(refused(other.path()).contains("`git init` there"));
        assert!(refused(&clone("shallow", &["--depth=1"])).contains("run `git fetch --unshallow` to get the rest"));
        assert!(refused(&clone("blobless", &["--filter=blob:none"])).contains("`git fetch --refetch origin`"));
    }

    #[test]
    fn the_way_out_of_a_clone_that_is_not_whole_leads_out() {
        let dir = repository("one");
        run(&dir, &["commit", "--quiet", "--allow-empty", "-m", "two"]);
        run(&dir, &["config", "uploadpack.allowFilter", "true"]);
        let url = format!("file://{}", dir.path().display());
        let shallow = tempfile::tempdir().unwrap();
        run(&shallow, &["clone", "--quiet", "--depth=1", &url, "."]);
        run(&shallow, &["fetch", "--quiet", "--unshallow"]);
        Checkout::look(shallow.path()).unwrap();
        let partial = tempfile::tempdir().unwrap();
        run(&partial, &["clone", "--quiet", "--filter=blob:none", &url, "."]);
        run(&partial, &["config", "--unset", "remote.origin.partialCloneFilter"]);
        run(&partial, &["fetch", "--quiet", "--refetch", "origin"]);
        run(&partial, &["config", "--unset", "remote.origin.promisor"]);
        Checkout::look(partial.path()).unwrap();
        run(&partial, &["fsck", "--connectivity-only"]);
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
