//! The only place where a worker runs the `git` program. Git runs on the worker's own directories, with nothing to fetch from, without
//! hooks and with only the configuration that is given here. Knows nothing of stores and workspaces.

use crate::process::isolation::spawn;
use std::cell::Cell;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, sleep_until};

/// The limit for the end of git's stderr that is kept, in bytes. It holds git's last messages.
const STDERR_BYTES_MAX: usize = 4 << 10;
/// The limit for git's stdout, in bytes. No call of a worker comes near it.
const OUTPUT_BYTES_MAX: usize = 16 << 20;
/// How long git may show no progress, which means that no byte goes in and none comes out. With progress, git may take any time, as
/// for a large repository over a slow link. The limit is long enough for silent work, such as joining packs on a slow disk.
const SILENCE: Duration = Duration::from_secs(900);

/// The configuration of git. It is passed in the environment, because there it does not show in an argument list, and also holds for
/// programs that git starts.
const CONFIG: &[(&str, &str)] = &[
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.logAllRefUpdates", "false"),
    ("protocol.allow", "never"),
    ("safe.directory", "*"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("submodule.recurse", "false"),
    ("diff.ignoreSubmodules", "all"),
    ("advice.graftFileDeprecated", "false"),
];

/// Why a run of git gave no result.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error("git {verb} could not be run: {cause}; is git installed?")]
    Start { verb: &'static str, cause: io::Error },
    /// Git failed. `text` is the end of what git wrote to stderr.
    #[error("git {verb} failed ({status}): {text}")]
    Failed { verb: &'static str, status: ExitStatus, text: String },
    #[error("git {verb} made no progress for {} s", SILENCE.as_secs())]
    Deadline { verb: &'static str },
    #[error("git {verb} wrote more than {OUTPUT_BYTES_MAX} bytes")]
    TooMuch { verb: &'static str },
}

/// The messages of git about a tree that it cannot write on any machine. The tree is damaged, or has a name that no file may have.
const UNUSABLE: &[&str] =
    &["invalid path '", "empty filename in tree entry", "malformed mode in tree entry", "too-short tree object"];
/// The limit for a message about an unusable tree when it is passed on, in characters.
const UNUSABLE_CHARS_MAX: usize = 300;

impl GitError {
    /// Returns why git cannot write a tree, if only the tree is at fault.
    pub(crate) fn unusable(&self) -> Option<String> {
        let GitError::Failed { text, .. } = self else { return None };
        let line = text.lines().find(|line| UNUSABLE.iter().any(|words| line.contains(words)))?;
        let line = line.trim_start_matches("error: ").trim_start_matches("fatal: ");
        Some(line.chars().take(UNUSABLE_CHARS_MAX).collect())
    }
}

/// Runs git on one repository, with or without a work tree.
#[derive(Clone, Debug)]
pub(crate) struct Git {
    dir: PathBuf,
    tree: Option<PathBuf>,
}

impl Git {
    pub(crate) fn bare(dir: &Path) -> Git {
        Git { dir: dir.to_path_buf(), tree: None }
    }

    pub(crate) fn with_tree(dir: &Path, tree: &Path) -> Git {
        Git { dir: dir.to_path_buf(), tree: Some(tree.to_path_buf()) }
    }

    /// Runs git with these bytes on its stdin, and returns its stdout. Dropping the future kills git.
    pub(crate) async fn run<A: AsRef<OsStr>>(
        &self,
        verb: &'static str,
        args: impl IntoIterator<Item = A>,
        stdin: Vec<u8>,
    ) -> Result<Vec<u8>, GitError> {
        let (running, pipe) = self.start(verb, args)?;
        running.fed(pipe, stdin).await
    }

    /// Runs git only for its exit status, and discards its stdout, however long that is.
    pub(crate) async fn check<A: AsRef<OsStr>>(
        &self,
        verb: &'static str,
        args: impl IntoIterator<Item = A>,
        stdin: Vec<u8>,
    ) -> Result<(), GitError> {
        let (running, pipe) = self.spawn(verb, args, Stdio::null())?;
        running.fed(pipe, stdin).await.map(drop)
    }

    /// Starts git. The caller writes git's stdin into the pipe.
    pub(crate) fn start<A: AsRef<OsStr>>(
        &self,
        verb: &'static str,
        args: impl IntoIterator<Item = A>,
    ) -> Result<(Running, ChildStdin), GitError> {
        self.spawn(verb, args, Stdio::piped())
    }

    fn spawn<A: AsRef<OsStr>>(
        &self,
        verb: &'static str,
        args: impl IntoIterator<Item = A>,
        stdout: Stdio,
    ) -> Result<(Running, ChildStdin), GitError> {
        let failed = |cause| GitError::Start { verb, cause };
        let mut command = Command::from(self.command());
        command.arg(verb).args(args).stdout(stdout).kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        let stdin = child.stdin.take().ok_or_else(|| failed(io::Error::other("it has no stdin")))?;
        Ok((Running { verb, child, progress: Progress::begin() }, stdin))
    }

    fn command(&self) -> std::process::Command {
        let mut command = std::process::Command::new(system::program::git());
        command.env_clear();
        for name in ["PATH", "TMPDIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .envs([("LC_ALL", "C"), ("GIT_TERMINAL_PROMPT", "0"), ("GIT_CONFIG_NOSYSTEM", "1")])
            .envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_ATTR_NOSYSTEM", "1")])
            .env("GIT_CONFIG_COUNT", CONFIG.len().to_string())
            .env("GIT_DIR", &self.dir)
            .current_dir(self.tree.as_ref().unwrap_or(&self.dir))
            .stdin(Stdio::piped())
            .stderr(Stdio::piped());
        for (index, (key, value)) in CONFIG.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{index}"), key).env(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
        if let Some(tree) = &self.tree {
            command.env("GIT_WORK_TREE", tree);
            // The files that git writes belong to a user's checkout, and are not the worker's own.
            spawn::with_usual_umask(&mut command);
        }
        command
    }
}

/// The moment of the last sign of git's progress.
#[derive(Clone, Debug)]
pub(crate) struct Progress(Rc<Cell<Instant>>);

impl Progress {
    fn begin() -> Progress {
        Progress(Rc::new(Cell::new(Instant::now())))
    }

    pub(crate) fn note(&self) {
        self.0.set(Instant::now());
    }

    /// Resolves when there was no sign of progress for [`SILENCE`].
    async fn ceased(&self) {
        loop {
            let end = self.0.get() + SILENCE;
            if Instant::now() >= end {
                return;
            }
            sleep_until(end).await;
        }
    }
}

/// A run of git whose stdin somebody feeds.
#[derive(Debug)]
pub(crate) struct Running {
    verb: &'static str,
    child: Child,
    progress: Progress,
}

impl Running {
    /// Returns the progress of the run. The caller that feeds git notes each piece there that git takes.
    pub(crate) fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Writes git's input, and waits for its end.
    async fn fed(self, mut pipe: ChildStdin, stdin: Vec<u8>) -> Result<Vec<u8>, GitError> {
        let feed = async move {
            // Git may end before it reads everything; its exit status says whether that is an error.
            let _ = pipe.write_all(&stdin).await;
        };
        tokio::join!(feed, self.finish()).1
    }

    /// Waits until git has ended, and returns its stdout if it succeeded.
    pub(crate) async fn finish(mut self) -> Result<Vec<u8>, GitError> {
        let verb = self.verb;
        let failed = |cause| GitError::Start { verb, cause };
        let (out, err) = (self.child.stdout.take(), self.child.stderr.take());
        let read = async { tokio::try_join!(take_start(out), take_end(err, &self.progress)) };
        let read = tokio::select! {
            read = read => read,
            () = self.progress.ceased() => return Err(GitError::Deadline { verb }),
        };
        let (stdout, stderr) = read.map_err(failed)?;
        let status = self.child.wait().await.map_err(failed)?;
        if !status.success() {
            return Err(GitError::Failed { verb, status, text: complaint(&stderr) });
        }
        stdout.ok_or(GitError::TooMuch { verb })
    }
}

/// Reads at most [`OUTPUT_BYTES_MAX`] bytes. `None` means that there were more.
async fn take_start(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let Some(mut pipe) = pipe else {
        return Ok(Some(bytes));
    };
    (&mut pipe).take(OUTPUT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).await?;
    // Reading goes on to the end, because git would otherwise wait for room in the pipe.
    tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await?;
    Ok((bytes.len() <= OUTPUT_BYTES_MAX).then_some(bytes))
}

/// Returns the text that git wrote to stderr, without the counters that it overwrites with a carriage return.
fn complaint(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.trim().lines().map(|line| line.rsplit('\r').next().unwrap_or_default()).collect();
    lines.join("\n")
}

async fn take_end(pipe: Option<impl AsyncRead + Unpin>, progress: &Progress) -> io::Result<Vec<u8>> {
    let mut tail = Vec::new();
    let Some(mut pipe) = pipe else {
        return Ok(tail);
    };
    let mut chunk = vec![0; STDERR_BYTES_MAX];
    loop {
        let count = pipe.read(&mut chunk).await?;
        if count == 0 {
            return Ok(tail);
        }
        progress.note();
        tail.extend_from_slice(&chunk[..count]);
        tail.drain(..tail.len().saturating_sub(STDERR_BYTES_MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_goes_on_may_take_any_time_and_silence_ends() {
        let progress = Progress::begin();
        let feeder = progress.clone();
        let going_on = async move {
            for _ in 0..100 {
                tokio::time::sleep(SILENCE - Duration::from_secs(1)).await;
                feeder.note();
            }
        };
        tokio::select! {
            () = going_on => {}
            () = progress.ceased() => panic!("it goes on"),
        }
        let began = Instant::now();
        progress.ceased().await;
        assert_eq!(began.elapsed().as_secs(), SILENCE.as_secs());
    }

    #[test]
    fn counts_are_not_part_of_a_complaint() {
        let stderr = b"Updating files:  10% (1/10)\rUpdating files:  20% (2/10)\rerror: no room\nfatal: end\n";
        assert_eq!(complaint(stderr), "error: no room\nfatal: end");
    }
}
