//! Talks to a `git cat-file` that keeps running: sends it questions and reads its answers.

use std::io;
use std::process::Stdio;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};

use super::gate::Pass;
use super::git::{Git, GitError};
use crate::keep::process_group::ProcessGroup;

pub(super) const VERB: &str = "cat-file";
/// The longest target of a symbolic link that is read, in bytes. Linux accepts no longer path.
const LINK_BYTES_MAX: usize = 4096;

/// The id of an object, its type, and its length in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) size: usize,
}

/// A running `git cat-file`, and the pipes to it.
#[derive(Debug)]
pub(super) struct Conversation {
    _group: ProcessGroup,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Conversation {
    pub(super) fn start(git: &Git, pass: &Pass) -> Result<Conversation, GitError> {
        let failed = |cause| GitError::Start { verb: VERB, cause: Arc::new(cause) };
        let mut command = git.command(pass, VERB);
        command
            .args(["--batch-command", "--follow-symlinks"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut group = ProcessGroup::spawn(command).map_err(failed)?;
        let pipes = group.0.stdin.take().zip(group.0.stdout.take());
        let (stdin, stdout) = pipes.ok_or_else(|| failed(io::Error::other("it has no pipes")))?;
        Ok(Conversation { _group: group, stdin, stdout: BufReader::new(stdout) })
    }

    /// Returns the object of this name. Its bytes are included if it has the `wanted` type and is not longer than the `wanted`
    /// length.
    pub(super) async fn ask(
        &mut self,
        name: &str,
        wanted: Option<(&str, usize)>,
    ) -> io::Result<Option<(Header, Option<Vec<u8>>)>> {
        let Some(header) = self.question("info", name).await? else {
            return Ok(None);
        };
        let fits = wanted.is_some_and(|(kind, limit)| header.kind == kind && header.size <= limit);
        if !fits {
            return Ok(Some((header, None)));
        }
        let again = self.question("contents", &header.id).await?;
        if again.as_ref() != Some(&header) {
            return Err(unreadable("another object"));
        }
        let mut bytes = vec![0; header.size + 1];
        self.stdout.read_exact(&mut bytes).await?;
        bytes.pop();
        Ok(Some((header, Some(bytes))))
    }

    async fn question(&mut self, verb: &str, name: &str) -> io::Result<Option<Header>> {
        self.stdin.write_all(format!("{verb} {name}\n").as_bytes()).await?;
        self.stdin.flush().await?;
        let mut line = Vec::new();
        self.stdout.read_until(b'\n', &mut line).await?;
        if line.pop() != Some(b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = String::from_utf8_lossy(&line);
        if line.ends_with(" missing") || line.ends_with(" ambiguous") {
            return Ok(None);
        }
        if let Some((how, length)) = link_of(&line) {
            let mut target = vec![0; length + 1];
            self.stdout.read_exact(&mut target).await?;
            return Err(io::Error::other(Astray { how }));
        }
        header_of(&line).map(Some).ok_or_else(|| unreadable(&line))
    }
}

pub(super) fn header_of(line: &str) -> Option<Header> {
    let mut words = line.split(' ');
    let header =
        Header { id: words.next()?.to_string(), kind: words.next()?.to_string(), size: words.next()?.parse().ok()? };
    (super::refs::is_object_id(&header.id) && words.next().is_none()).then_some(header)
}

/// The error for a path whose symbolic links lead to no file of its commit.
#[derive(Debug, thiserror::Error)]
#[error("{how}")]
pub(super) struct Astray {
    how: &'static str,
}

/// Reads git's answer for such a path: why it leads to no file, and how many bytes follow. See "--follow-symlinks" in
/// git-cat-file(1).
pub(super) fn link_of(line: &str) -> Option<(&'static str, usize)> {
    let (word, length) = line.split_once(' ')?;
    let how = match word {
        "symlink" => "it is a symbolic link that leads out of the repository",
        "dangling" => "it is a symbolic link to nothing",
        "loop" => "it is a symbolic link that leads to itself",
        "notdir" => "a part of its path is not a directory",
        _ => return None,
    };
    Some((how, length.parse().ok().filter(|length| *length <= LINK_BYTES_MAX)?))
}

fn unreadable(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("an answer that cannot be read: {line}"))
}
