//! Where the person stands: the git repository here, its branch, its commit, its remotes. Runs the git program; reads
//! only. And addresses of repositories, brought to one form for comparison.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The working copy that a directory belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkingCopy {
    pub toplevel: PathBuf,
    /// Addresses of its remotes.
    pub remotes: Vec<String>,
    /// Short name; none when the head is detached.
    pub branch: Option<String>,
    /// None before the first commit.
    pub head: Option<String>,
}

impl WorkingCopy {
    /// None outside of any repository, or without a git program.
    pub fn around(directory: &Path) -> Option<WorkingCopy> {
        let toplevel = PathBuf::from(git(directory, &["rev-parse", "--show-toplevel"])?);
        let remotes = git(directory, &["config", "--get-regexp", r"^remote\..*\.url$"]).unwrap_or_default();
        Some(WorkingCopy {
            remotes: remotes
                .lines()
                .filter_map(|line| line.split_once(' '))
                .map(|(_, address)| address.trim().to_owned())
                .collect(),
            branch: git(directory, &["symbolic-ref", "--quiet", "--short", "HEAD"]),
            head: git(directory, &["rev-parse", "--quiet", "--verify", "HEAD^{commit}"]),
            toplevel,
        })
    }

    /// Whether this is the repository at `address`, or a clone of it.
    pub fn is_of(&self, address: &str) -> bool {
        let wanted = normal_address(address);
        self.remotes.iter().any(|remote| normal_address(remote) == wanted)
            || wanted == normal_address(&self.toplevel.to_string_lossy())
    }
}

/// The address of the remote that a clone came from.
pub fn origin(directory: &Path) -> Option<String> {
    git(directory, &["remote", "get-url", "origin"])
}

/// What the git program says of itself; none: there is none.
pub fn version() -> Option<String> {
    let output = Command::new("git").arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// The full commit id that `revision` stands for here.
pub fn resolve(directory: &Path, revision: &str) -> Option<String> {
    git(directory, &["rev-parse", "--quiet", "--verify", "--end-of-options", &format!("{revision}^{{commit}}")])
}

/// One form for all spellings of a repository's address: `git@h:a/b.git`, `ssh://git@h:22/a/b` and
/// `https://h/a/b.git/` are `h/a/b`; a local path is made absolute, without `.git` at its end.
pub fn normal_address(address: &str) -> String {
    let address = address.trim();
    let remote = match address.split_once("://") {
        Some(("file", path)) => return local(path),
        Some((_, rest)) => rest.to_owned(),
        None => match address.split_once(':') {
            // scp's form; a slash before the colon makes it a path
            Some((host, path)) if !host.contains('/') => format!("{host}/{}", path.trim_start_matches('/')),
            _ => return local(address),
        },
    };
    let (host, path) = remote.split_once('/').unwrap_or((&remote, ""));
    let host = host.rsplit('@').next().unwrap_or(host);
    let host = host.split(':').next().unwrap_or(host).to_lowercase();
    format!("{host}/{}", without_git(path))
}

fn local(path: &str) -> String {
    let absolute = std::fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
    without_git(&absolute.to_string_lossy()).to_owned()
}

fn without_git(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.strip_suffix("/.git").or_else(|| path.strip_suffix(".git")).unwrap_or(path)
}

fn git(directory: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args(arguments)
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_address_agree() {
        for address in [
            "git@git.example.org:team/pyfoo.git",
            "ssh://git@git.example.org:2222/team/pyfoo.git",
            "ssh://git.example.org/team/pyfoo",
            "https://git.example.org/team/pyfoo.git/",
            "https://me:secret@GIT.example.org/team/pyfoo",
            "git.example.org:/team/pyfoo",
        ] {
            assert_eq!(normal_address(address), "git.example.org/team/pyfoo", "{address}");
        }
    }

    #[test]
    fn local_paths_agree_with_their_file_address() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_str().unwrap();
        assert_eq!(normal_address(path), normal_address(&format!("file://{path}/.git")));
        assert_eq!(normal_address("/nowhere/at/all.git"), "/nowhere/at/all");
    }

    #[test]
    fn a_working_copy_knows_where_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let run = |arguments: &[&str]| git(directory.path(), arguments);
        run(&["init", "--quiet", "--initial-branch=trunk"]);
        run(&["remote", "add", "origin", "ssh://git@git.example.org/pyfoo.git"]);
        std::fs::create_dir(directory.path().join("deep")).unwrap();
        let copy = WorkingCopy::around(&directory.path().join("deep")).unwrap();
        assert_eq!(copy.branch.as_deref(), Some("trunk"));
        assert_eq!(copy.head, None);
        assert!(copy.is_of("https://git.example.org/pyfoo"));
        assert!(copy.is_of(directory.path().to_str().unwrap()));
        assert!(!copy.is_of("https://git.example.org/other"));
    }
}
