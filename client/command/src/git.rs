//! The git repository that contains the working directory: its branch, its commit and its remotes. Runs the git program, and only to
//! read. Also brings addresses of repositories into one form, so that they can be compared.

use crate::resolve::GitWord;
use schema::values::{ShortRef, branch_or_tag, branch_ref};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The prefix of the refs under which git keeps the branches of remotes.
const REMOTES: &str = "refs/remotes/";

/// The working copy to which a directory belongs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WorkingCopy {
    pub(crate) toplevel: PathBuf,
    /// The addresses of the working copy's remotes.
    pub(crate) remotes: Vec<String>,
    /// The full ref that HEAD names. `None` if HEAD is detached.
    pub(crate) branch: Option<String>,
    /// The branch of a remote that this branch tracks, if there is one.
    pub(crate) upstream: Option<Upstream>,
    /// The commit of HEAD. `None` means that there is no commit yet.
    pub(crate) head: Option<String>,
}

/// A branch of a remote that a local branch tracks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Upstream {
    /// The address of the remote.
    pub(crate) address: String,
    /// The full ref, as the remote has it.
    pub(crate) ref_name: String,
    /// The full ref of the remote's main branch, if git knows it.
    pub(crate) main: Option<String>,
}

impl Upstream {
    /// Whether the remote is the repository at `address`.
    pub(crate) fn is_of(&self, address: &str) -> bool {
        normal_address(&self.address) == normal_address(address)
    }
}

impl WorkingCopy {
    /// Returns the working copy around a directory. `None` outside of a repository, or without a git program.
    pub(crate) fn around(directory: &Path) -> Option<WorkingCopy> {
        let toplevel = PathBuf::from(git(directory, &["rev-parse", "--show-toplevel"])?);
        let remotes = git(directory, &["config", "--get-regexp", r"^remote\..*\.url$"]).unwrap_or_default();
        // Git's short name is not used, because it is `heads/main` if a tag is called `main` as well.
        let branch = git(directory, &["symbolic-ref", "--quiet", "HEAD"]).filter(|name| is_branch(name));
        let upstream = branch.as_deref().and_then(|branch| upstream(directory, branch));
        Some(WorkingCopy {
            remotes: remotes
                .lines()
                .filter_map(|line| line.split_once(' '))
                .map(|(_, address)| address.trim().to_owned())
                .collect(),
            upstream,
            branch,
            head: git(directory, &["rev-parse", "--quiet", "--verify", "HEAD^{commit}"]),
            toplevel,
        })
    }

    /// Whether this is the repository at `address`, or a clone of it.
    pub(crate) fn is_of(&self, address: &str) -> bool {
        let wanted = normal_address(address);
        self.remotes.iter().any(|remote| normal_address(remote) == wanted)
            || wanted == normal_address(&self.toplevel.to_string_lossy())
    }
}

/// Returns what a word means to git here: a branch or a tag by its full name, or else a commit.
pub(crate) fn word(directory: &Path, word: &str) -> Option<GitWord> {
    if let Some(name) = ref_called(directory, word) {
        return Some(GitWord::Ref(name));
    }
    // This finds the ref of a word like `main@{upstream}`. It finds nothing if the word is not a ref.
    let arguments = ["rev-parse", "--quiet", "--verify", "--symbolic-full-name", "--end-of-options", word];
    let full = git(directory, &arguments).and_then(|text| text.lines().last().map(str::to_owned));
    match full.filter(|name| name.starts_with("refs/")) {
        Some(name) => Some(GitWord::Ref(at_remote(directory, &name))),
        None => resolve(directory, word).map(GitWord::Commit),
    }
}

/// Returns the branch, tag or remote branch of exactly this name. For a local branch, returns the branch that it tracks.
fn ref_called(directory: &Path, word: &str) -> Option<String> {
    let [branch, tag] = branch_or_tag(word);
    let candidates = [branch, tag, format!("{REMOTES}{word}")];
    let is_there = |name: &&String| git(directory, &["show-ref", "--verify", "--", name]).is_some();
    candidates.iter().find(is_there).map(|name| at_remote(directory, name))
}

/// Returns the name that a ref has at the remote.
fn at_remote(directory: &Path, name: &str) -> String {
    if let Some(below) = name.strip_prefix(REMOTES) {
        let remotes = git(directory, &["remote"]).unwrap_or_default();
        let branch = remotes.lines().find_map(|remote| below.strip_prefix(remote)?.strip_prefix('/'));
        return branch.map_or_else(|| name.to_owned(), branch_ref);
    }
    upstream(directory, name).map_or_else(|| name.to_owned(), |upstream| upstream.ref_name)
}

fn is_branch(ref_name: &str) -> bool {
    ShortRef::of(ref_name).branch().is_some()
}

/// Returns the branch of a remote that a local branch tracks. `None` if it tracks no branch, or a branch of this repository itself.
fn upstream(directory: &Path, branch: &str) -> Option<Upstream> {
    let own = ShortRef::of(branch).branch()?;
    let configured = |key: &str| git(directory, &["config", "--get", &format!("branch.{own}.{key}")]);
    let remote = configured("remote").filter(|remote| remote != ".")?;
    let ref_name = configured("merge").filter(|name| is_branch(name))?;
    let address = git(directory, &["config", "--get", &format!("remote.{remote}.url")])?;
    Some(Upstream { address, ref_name, main: main_of(directory, &remote) })
}

/// Returns the main branch of a remote, as it was at the time of the clone.
fn main_of(directory: &Path, remote: &str) -> Option<String> {
    let space = format!("{REMOTES}{remote}/");
    let head = git(directory, &["symbolic-ref", "--quiet", &format!("{space}HEAD")])?;
    head.strip_prefix(&space).map(branch_ref)
}

/// Whether a branch of a remote has HEAD's commit, as far as git knows.
pub(crate) fn is_pushed(directory: &Path) -> bool {
    git(directory, &["for-each-ref", "--count=1", "--contains", "HEAD", REMOTES]).is_some()
}

/// Returns the address of the remote from which the working copy was cloned.
pub(crate) fn origin(directory: &Path) -> Option<String> {
    git(directory, &["remote", "get-url", "origin"])
}

/// Returns the git program's own description. `None` means that there is no git program.
pub(crate) fn version() -> Option<String> {
    let output = Command::new("git").arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// Returns the full commit id that `revision` means here.
pub(crate) fn resolve(directory: &Path, revision: &str) -> Option<String> {
    git(directory, &["rev-parse", "--quiet", "--verify", "--end-of-options", &format!("{revision}^{{commit}}")])
}

/// Returns one form for all spellings of a repository's address: `git@h:a/b.git`, `ssh://git@h:22/a/b` and `https://h/a/b.git/` become
/// `h/a/b`. A local path becomes absolute, without `.git` at its end.
pub(crate) fn normal_address(address: &str) -> String {
    let address = address.trim();
    let remote = match address.split_once("://") {
        Some(("file", path)) => return local(path),
        Some((_, rest)) => rest.to_owned(),
        None => match address.split_once(':') {
            // This is scp's form. A slash before the colon makes it a path.
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
        assert_eq!(copy.branch.as_deref(), Some("refs/heads/trunk"));
        assert_eq!(copy.head, None);
        assert!(copy.is_of("https://git.example.org/pyfoo"));
        assert!(copy.is_of(directory.path().to_str().unwrap()));
        assert!(!copy.is_of("https://git.example.org/other"));
    }

    /// A clone of a repository with the branches `main` and `feature/x`.
    struct Clone {
        directory: tempfile::TempDir,
    }

    impl Clone {
        fn make() -> Clone {
            let clone = Clone { directory: tempfile::tempdir().unwrap() };
            clone.at("", &["init", "--quiet", "--initial-branch=main", "origin"]);
            clone.at("origin", &["commit", "--quiet", "--allow-empty", "-m", "one"]);
            clone.at("origin", &["branch", "feature/x"]);
            clone.at("", &["clone", "--quiet", "origin", "copy"]);
            clone
        }

        fn at(&self, below: &str, arguments: &[&str]) {
            let who = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
            let mut git = Command::new("git");
            git.arg("-C").arg(self.directory.path().join(below)).args(who).args(arguments);
            let done = git.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
            assert!(done.success(), "git {arguments:?}");
        }

        fn git(&self, arguments: &[&str]) {
            self.at("copy", arguments);
        }

        fn copy(&self) -> WorkingCopy {
            WorkingCopy::around(&self.directory.path().join("copy")).unwrap()
        }

        /// Returns the branch, the branch that it tracks, and the main branch, without `refs/heads/`.
        fn stands(&self) -> [String; 3] {
            let copy = self.copy();
            let short = |name: String| ShortRef::of(&name).name().to_owned();
            let upstream = copy.upstream.unwrap_or_default();
            let tracked = Some(upstream.ref_name).filter(|name| !name.is_empty());
            [copy.branch, tracked, upstream.main].map(|name| name.map_or("-".to_owned(), short))
        }

        fn word(&self, word: &str) -> String {
            match super::word(&self.directory.path().join("copy"), word) {
                Some(GitWord::Ref(name)) => name,
                Some(GitWord::Commit(id)) => format!("commit of {} digits", id.len()),
                None => "nothing".to_owned(),
            }
        }
    }

    #[test]
    fn the_branch_here_has_its_full_name_whatever_else_is_called_so() {
        let clone = Clone::make();
        clone.git(&["tag", "main"]);
        assert_eq!(clone.stands(), ["main", "main", "main"]);
        for name in ["heads/main", "HEAD", "refs/heads/x", "tags/v1"] {
            clone.git(&["update-ref", &format!("refs/heads/{name}"), "refs/heads/main"]);
            clone.git(&["symbolic-ref", "HEAD", &format!("refs/heads/{name}")]);
            assert_eq!(clone.stands()[0], name);
        }
        clone.git(&["update-ref", "refs/heads/-x", "refs/heads/main"]);
        clone.git(&["symbolic-ref", "HEAD", "refs/heads/-x"]);
        assert_eq!(clone.stands()[0], "-x");
    }

    #[test]
    fn a_branch_that_tracks_another_one_knows_its_name_at_the_remote() {
        let clone = Clone::make();
        clone.git(&["checkout", "--quiet", "-b", "mine", "origin/feature/x"]);
        assert_eq!(clone.stands(), ["mine", "feature/x", "main"]);
        clone.git(&["checkout", "--quiet", "-b", "topic", "origin/main"]);
        assert_eq!(clone.stands(), ["topic", "main", "main"]);
        clone.git(&["checkout", "--quiet", "--track", "-b", "below", "topic"]);
        assert_eq!(clone.stands(), ["below", "-", "-"], "a local branch is not a remote's");
        clone.git(&["checkout", "--quiet", "--detach"]);
        assert_eq!(clone.stands(), ["-", "-", "-"]);
    }

    #[test]
    fn a_word_is_a_ref_before_it_is_a_commit() {
        let clone = Clone::make();
        clone.git(&["tag", "v1"]);
        clone.git(&["checkout", "--quiet", "-b", "mine", "origin/feature/x"]);
        for (word, expected) in [
            ("main", "refs/heads/main"),
            ("mine", "refs/heads/feature/x"),
            ("v1", "refs/tags/v1"),
            ("origin/feature/x", "refs/heads/feature/x"),
            ("main@{upstream}", "refs/heads/main"),
            ("main~0", "commit of 40 digits"),
            ("feature/x", "nothing"),
            ("-x", "nothing"),
            ("no such thing", "nothing"),
        ] {
            assert_eq!(clone.word(word), expected, "{word}");
        }
        clone.git(&["tag", "main"]);
        assert_eq!(clone.word("main"), "refs/heads/main");
    }
}
