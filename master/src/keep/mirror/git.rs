//! Runs the `git` program for the master. Arguments are passed as a list, the environment starts empty, output is bounded, and
//! every run has a deadline. This module knows nothing of refs or packs.
//!
//! A configuration file of Guild says what git may do: [`CONFIG_FILE`] in the mirror, named by `GIT_CONFIG_GLOBAL`. Unlike
//! `-c`, a file also reaches the `upload-pack` that git starts for a local path. Without it, `upload-pack` would refuse a
//! repository of another user.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::gate::{Pass, Passage, RunKind};
use super::patience::{Deadline, Heard, is_over};
use super::prepare::{CONFIG_FILE, Preparation};
use crate::keep::process_group::ProcessGroup;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;

const STDERR_BYTES_MAX: usize = 4 << 10;
const OUTPUT_BYTES_MAX: usize = 64 << 20;
const DEADLINE: Duration = Duration::from_secs(30);

/// The environment variables that are passed on to git. Git, ssh or curl read them, and they are harmless; all others are left
/// out.
const PASSED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "SSH_AUTH_SOCK",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
];

/// If a run of git fails and the repository's disk has fewer free bytes than this, the disk counts as full. Git itself reports
/// a full disk in many different words.
const ROOM_MIN: u64 = 1 << 20;

/// Why a run of git gave no result.
#[derive(Clone, Debug, thiserror::Error)]
pub enum GitError {
    #[error("git {verb} could not be run: {cause}; is git installed?")]
    Start { verb: &'static str, cause: Arc<io::Error> },
    /// Git failed. `text` is the end of its standard error, without credentials.
    #[error("git {verb} failed ({status}): {text}")]
    Failed { verb: &'static str, status: ExitStatus, text: String, is_disk_full: bool },
    #[error("git {verb} was ended, because it was silent or unfinished for {} s", .after.as_secs())]
    Deadline { verb: &'static str, after: Duration },
    #[error("git {verb} wrote more than {limit} bytes")]
    TooMuch { verb: &'static str, limit: usize },
    #[error("git {verb} gave an answer that cannot be read: {text}")]
    Unreadable { verb: &'static str, text: String },
    #[error("{place}: {cause}")]
    Io { place: String, cause: Arc<io::Error> },
    /// The name or id is not one that may be handed to git.
    #[error("{0}")]
    Invalid(String),
    /// A path that leads to no file of its commit, for example through a symbolic link.
    #[error("{0}")]
    Astray(String),
}

impl GitError {
    pub(super) fn io(place: impl Into<String>, cause: io::Error) -> GitError {
        GitError::Io { place: place.into(), cause: Arc::new(cause) }
    }

    /// Whether the cause may be the requested ref or commit, and not git or this machine.
    pub fn may_be_of_what_was_asked(&self) -> bool {
        match self {
            GitError::Start { .. } | GitError::Io { .. } => false,
            GitError::Failed { is_disk_full, .. } => !is_disk_full,
            GitError::Deadline { .. }
            | GitError::TooMuch { .. }
            | GitError::Unreadable { .. }
            | GitError::Invalid(_)
            | GitError::Astray(_) => true,
        }
    }

    /// Whether git failed because the disk was full.
    pub fn is_disk_full(&self) -> bool {
        match self {
            GitError::Start { cause, .. } | GitError::Io { cause, .. } => cause.kind() == io::ErrorKind::StorageFull,
            GitError::Failed { is_disk_full, .. } => *is_disk_full,
            GitError::Deadline { .. }
            | GitError::TooMuch { .. }
            | GitError::Unreadable { .. }
            | GitError::Invalid(_)
            | GitError::Astray(_) => false,
        }
    }
}

/// Runs git on one repository.
#[derive(Clone, Debug)]
pub(super) struct Git {
    pub(super) dir: PathBuf,
    pub(super) passage: Passage,
    preparation: Arc<Preparation>,
}

impl Git {
    /// Prepares to run git in `dir`. `protocol` is the only protocol that git may use.
    pub(super) fn new(dir: &Path, passage: Passage, protocol: &'static str) -> Git {
        Git { dir: dir.to_path_buf(), passage, preparation: Arc::new(Preparation::new(protocol)) }
    }

    /// Makes the mirror's directory ready, unless it is. This has to happen before git is started there.
    pub(super) async fn ready(&self) -> Result<(), GitError> {
        if self.preparation.is_done() {
            return Ok(());
        }
        let pass = self.passage.pass().await;
        let init = self.command(&pass, "init");
        let prepared = self.preparation.make_ready(&self.dir, init, pass).await;
        prepared.map_err(|cause| GitError::io(self.dir.display().to_string(), cause))
    }

    pub(super) fn run(&self, verb: &'static str) -> Run<'_> {
        Run {
            git: self,
            verb,
            args: Vec::new(),
            env: Vec::new(),
            secrets: Vec::new(),
            stdin: Vec::new(),
            stdin_file: None,
            stdout: None,
            limit: OUTPUT_BYTES_MAX,
            deadline: Deadline::Total(DEADLINE),
            pace: RunKind::Quick,
        }
    }

    /// Returns a git command with the clean environment. The pass shows that the caller may start a process of git.
    pub(super) fn command(&self, _: &Pass, verb: &str) -> std::process::Command {
        let mut command = std::process::Command::new(system::program::git());
        command.env_clear();
        for name in PASSED {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", self.dir.join(CONFIG_FILE))
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_DIR", &self.dir)
            .current_dir(&self.dir)
            .arg(verb)
            .stdin(Stdio::null());
        command
    }
}

/// A run of git that is being prepared.
#[derive(Debug)]
pub(super) struct Run<'a> {
    git: &'a Git,
    verb: &'static str,
    args: Vec<OsString>,
    env: Vec<(String, OsString)>,
    secrets: Vec<String>,
    stdin: Vec<u8>,
    stdin_file: Option<std::fs::File>,
    stdout: Option<std::fs::File>,
    limit: usize,
    deadline: Deadline,
    pace: RunKind,
}

/// The output of a run of git.
#[derive(Debug)]
pub(super) struct Output {
    verb: &'static str,
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    /// Whether git was ended because its output reached the limit.
    pub(super) cut: bool,
    pub(super) stderr: String,
    /// Whether the run failed and the disk had hardly any room right after it.
    lacks_room: bool,
}

impl Run<'_> {
    pub(super) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Adds variables to git's environment. `secrets` never appear in an error.
    pub(super) fn env(mut self, env: Vec<(String, OsString)>, secrets: Vec<String>) -> Self {
        self.env = env;
        self.secrets = secrets;
        self
    }

    pub(super) fn stdin(mut self, bytes: Vec<u8>) -> Self {
        self.stdin = bytes;
        self
    }

    /// Reads the input from a file instead of memory.
    pub(super) fn stdin_from(mut self, file: std::fs::File) -> Self {
        self.stdin_file = Some(file);
        self
    }

    /// Writes the output to a file instead of memory, without a limit.
    pub(super) fn stdout_to(mut self, file: std::fs::File) -> Self {
        self.stdout = Some(file);
        self
    }

    pub(super) fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    pub(super) fn deadline(mut self, deadline: Deadline) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets the kind of the run, which decides in which queues it waits for its turn. The default is a quick run.
    pub(super) fn pace(mut self, pace: RunKind) -> Self {
        self.pace = pace;
        self
    }

    /// Returns the standard output of a run. The run must succeed and stay within its limit.
    pub(super) async fn bytes(self) -> Result<Vec<u8>, GitError> {
        let (verb, limit) = (self.verb, self.limit);
        let output = self.output().await?;
        if output.cut {
            return Err(GitError::TooMuch { verb, limit });
        }
        output.succeeded()
    }

    /// Waits for the run's turn and then runs git. Dropping the future ends git and all that it started.
    pub(super) async fn output(self) -> Result<Output, GitError> {
        let verb = self.verb;
        self.git.ready().await?;
        let pass = self.git.passage.pass_at(self.pace).await;
        let failed = |cause: io::Error| GitError::Start { verb, cause: Arc::new(cause) };
        let mut command = self.git.command(&pass, verb);
        command
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(match self.stdin_file {
                Some(file) => Stdio::from(file),
                None if self.stdin.is_empty() => Stdio::null(),
                None => Stdio::piped(),
            })
            .stdout(self.stdout.map_or_else(Stdio::piped, Stdio::from))
            .stderr(Stdio::piped());
        let mut group = ProcessGroup::spawn(command).map_err(failed)?;
        let heard = Heard::now();
        let talk = converse(&mut group.0, self.stdin, self.limit, &heard);
        let ended = tokio::select! {
            ended = talk => ended.map_err(failed)?,
            after = is_over(self.deadline, &heard, &pass) => return Err(GitError::Deadline { verb, after }),
        };
        let stderr = readable(&ended.stderr, &self.secrets);
        let lacks_room = !ended.status.success() && lacks_room(&self.git.dir);
        Ok(Output { verb, status: ended.status, stdout: ended.stdout, cut: ended.cut, stderr, lacks_room })
    }
}

impl Output {
    pub(super) fn succeeded(self) -> Result<Vec<u8>, GitError> {
        if self.status.success() { Ok(self.stdout) } else { Err(self.failure()) }
    }

    pub(super) fn failure(self) -> GitError {
        // decided right after the run, because there may be room again by now
        let is_disk_full = self.lacks_room || self.stderr.contains("No space left on device");
        GitError::Failed { verb: self.verb, status: self.status, text: self.stderr, is_disk_full }
    }
}

fn lacks_room(place: &Path) -> bool {
    rustix::fs::statvfs(place).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < ROOM_MIN)
}

struct Ended {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    cut: bool,
}

async fn converse(child: &mut Child, input: Vec<u8>, limit: usize, heard: &Heard) -> io::Result<Ended> {
    let stdin = child.stdin.take();
    let feed = async move {
        if let Some(mut stdin) = stdin {
            // git may answer before it has read everything, and its exit status tells whether it failed
            let _ = stdin.write_all(&input).await;
        }
    };
    let stdout = child.stdout.take();
    let take = async move {
        match stdout {
            Some(pipe) => take_up_to(pipe, limit, heard).await,
            None => Ok((Vec::new(), false)),
        }
    };
    let stderr = child.stderr.take();
    let complaints = async move {
        match stderr {
            Some(pipe) => take_tail(pipe, heard).await,
            None => Ok(Vec::new()),
        }
    };
    let mut reading = std::pin::pin!(async { tokio::join!(feed, complaints).1 });
    let mut take = std::pin::pin!(take);
    let mut early = None;
    let (stdout, cut) = tokio::select! {
        taken = &mut take => taken?,
        // stderr usually closes first; then only the end of stdout is awaited
        said = &mut reading => { early = Some(said?); take.await? }
    };
    if cut {
        child.start_kill()?;
        let status = child.wait().await?;
        return Ok(Ended { status, stdout, stderr: early.unwrap_or_default(), cut });
    }
    let stderr = match early {
        Some(said) => said,
        None => reading.await?,
    };
    let status = child.wait().await?;
    Ok(Ended { status, stdout, stderr, cut })
}

async fn take_up_to(mut pipe: impl AsyncRead + Unpin, limit: usize, heard: &Heard) -> io::Result<(Vec<u8>, bool)> {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 32 << 10];
    loop {
        let count = pipe.read(&mut chunk).await?;
        heard.again();
        if count == 0 {
            return Ok((bytes, false));
        }
        let room = limit - bytes.len();
        bytes.extend_from_slice(&chunk[..count.min(room)]);
        if count > room {
            return Ok((bytes, true));
        }
    }
}

async fn take_tail(mut pipe: impl AsyncRead + Unpin, heard: &Heard) -> io::Result<Vec<u8>> {
    let mut tail = Vec::new();
    let mut chunk = vec![0; STDERR_BYTES_MAX];
    loop {
        let count = pipe.read(&mut chunk).await?;
        heard.again();
        if count == 0 {
            return Ok(tail);
        }
        tail.extend_from_slice(&chunk[..count]);
        tail.drain(..tail.len().saturating_sub(STDERR_BYTES_MAX));
    }
}

/// Returns the standard error for a person, without progress lines and credentials.
fn readable(stderr: &[u8], secrets: &[String]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines = text.split('\n').filter_map(|line| line.trim_end().rsplit('\r').next());
    let kept: Vec<&str> =
        lines.filter(|line| !line.trim().is_empty() && !is_progress(line.trim_start_matches("remote: "))).collect();
    let mut text = without_passwords(&kept.join("\n"));
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret.as_str(), "***");
    }
    if text.is_empty() { "it gave no reason".to_string() } else { text }
}

fn is_progress(line: &str) -> bool {
    ["Enumerating", "Counting", "Compressing", "Receiving", "Resolving", "Unpacking", "Total "]
        .iter()
        .any(|start| line.starts_with(start))
}

/// Removes user names and passwords from addresses such as `scheme://user:password@host`.
fn without_passwords(text: &str) -> String {
    let mut parts = text.split("://");
    let mut clean = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let authority = part.find(['/', ' ', '\'', '"', '\n']).unwrap_or(part.len());
        let from = part[..authority].rfind('@').map_or(0, |at| at + 1);
        clean.push_str("://");
        clean.push_str(&part[from..]);
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stderr_loses_progress_and_credentials() {
        let raw = b"remote: Counting objects: 10% (1/10)\rremote: Counting objects: 100%, done.\n\
            fatal: unable to access 'https://me:hunter2@host/x.git/': s3cr3t\n";
        let text = readable(raw, &["s3cr3t".to_string()]);
        assert_eq!(text, "fatal: unable to access 'https://host/x.git/': ***");
        assert_eq!(readable(b"\n", &[]), "it gave no reason");
    }

    #[tokio::test]
    async fn a_run_ends_at_its_limit_and_at_its_deadline() {
        let dir = tempfile::tempdir().unwrap();
        let git = Git::new(dir.path(), super::super::gate::GitGate::default().passage(""), "file");
        let cut = git.run("version").limit(3).output().await.unwrap();
        assert!(cut.cut);
        assert_eq!(cut.stdout, b"git");
        let long = git.run("version").limit(3).bytes().await.unwrap_err();
        assert_eq!(long.to_string(), "git version wrote more than 3 bytes");
        // git waits for its standard input, a pipe that nobody closes
        let (_open, pipe) = std::io::pipe().map(|(read, write)| (write, read)).unwrap();
        let pass = git.passage.pass().await;
        let mut command = git.command(&pass, "hash-object");
        command.arg("--stdin").stdin(pipe).stdout(Stdio::piped());
        let mut group = ProcessGroup::spawn(command).unwrap();
        let heard = Heard::now();
        let short = Duration::from_millis(20);
        tokio::select! {
            _ = converse(&mut group.0, Vec::new(), 100, &heard) => panic!("it cannot end"),
            after = is_over(Deadline::Silence(short), &heard, &pass) => assert_eq!(after, short),
        }
    }
}
