//! Single objects of a mirror, through one `git cat-file` that stays: a question costs two writes to a pipe, not a
//! process. It is started when first asked, and again after it died or was interrupted.

use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::Mutex;

use super::gate::Pass;
use super::git::{Git, GitError};
use super::recent::Recent;
use crate::keep::process_group::ProcessGroup;

const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
const VERB: &str = "cat-file";
/// The longest target of a link that is read: Linux takes no longer path.
const LINK_BYTES_MAX: usize = 4096;

/// A process that is there or not, and is held by who asks it.
pub(super) type Kept = Mutex<Option<Conversation>>;

#[derive(Debug)]
pub(super) struct Objects {
    git: Arc<Git>,
    running: Arc<Kept>,
    recent: std::sync::Mutex<Recent>,
}

/// An object's id, type and length in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) size: usize,
}

impl Objects {
    pub(super) fn new(git: Arc<Git>) -> Objects {
        Objects { git, running: Arc::default(), recent: std::sync::Mutex::default() }
    }

    /// `name` must be free of line ends; none: there is no such object, or more than one.
    pub(super) async fn header(&self, name: &str) -> Result<Option<Header>, GitError> {
        if let Some(header) = self.recent().header(name) {
            return Ok(Some(header));
        }
        let Some((header, _)) = self.ask(name, None).await? else { return Ok(None) };
        self.recent().keep(name, &header, None);
        Ok(Some(header))
    }

    /// The object's bytes, if it is of this type; longer than `limit` is an error.
    pub(super) async fn contents(&self, name: &str, kind: &str, limit: usize) -> Result<Option<Vec<u8>>, GitError> {
        if let Some(bytes) = self.recent().bytes(name, kind, limit) {
            return Ok(Some(bytes.to_vec()));
        }
        let Some((header, bytes)) = self.ask(name, Some((kind, limit))).await? else {
            return Ok(None);
        };
        self.recent().keep(name, &header, bytes.as_deref());
        if header.kind != kind {
            return Ok(None);
        }
        bytes.map(Some).ok_or(GitError::TooMuch { verb: VERB, limit })
    }

    /// Ends the process, which holds packs open that are gone.
    pub(super) async fn forget(&self) {
        self.running.lock().await.take();
        *self.recent() = Recent::default();
    }

    #[cfg(test)]
    pub(super) fn is_running(&self) -> bool {
        self.running.try_lock().is_ok_and(|running| running.is_some())
    }

    fn recent(&self) -> std::sync::MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn ask(
        &self,
        name: &str,
        wanted: Option<(&str, usize)>,
    ) -> Result<Option<(Header, Option<Vec<u8>>)>, GitError> {
        if name.contains(['\n', '\0']) {
            return Ok(None);
        }
        let mut running = self.running.lock().await;
        let pass = self.git.passage.pass().await;
        for last in [false, true] {
            // taken out: whoever drops us in the middle of an answer drops the process with it
            let mut conversation = match running.take() {
                Some(conversation) => conversation,
                None => Conversation::start(&self.git, &pass)?,
            };
            let asked = tokio::time::timeout(ANSWER_DEADLINE, conversation.ask(name, wanted)).await;
            match asked {
                Err(_) => {
                    return Err(GitError::Deadline { verb: VERB, after: ANSWER_DEADLINE });
                }
                Ok(Ok(answer)) => {
                    *running = Some(conversation);
                    drop(running);
                    self.git.passage.keep(&self.running);
                    return Ok(answer);
                }
                Ok(Err(cause)) if cause.get_ref().is_some_and(|cause| cause.is::<Astray>()) => {
                    *running = Some(conversation);
                    drop(running);
                    self.git.passage.keep(&self.running);
                    return Err(GitError::Astray(cause.to_string()));
                }
                Ok(Err(cause)) if last => return Err(GitError::io("git cat-file", cause)),
                Ok(Err(_)) => {}
            }
        }
        Ok(None)
    }
}

#[derive(Debug)]
pub(super) struct Conversation {
    _group: ProcessGroup,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Conversation {
    fn start(git: &Git, pass: &Pass) -> Result<Conversation, GitError> {
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

    async fn ask(
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

fn header_of(line: &str) -> Option<Header> {
    let mut words = line.split(' ');
    let header =
        Header { id: words.next()?.to_string(), kind: words.next()?.to_string(), size: words.next()?.parse().ok()? };
    (super::refs::is_object_id(&header.id) && words.next().is_none()).then_some(header)
}

/// A path in a commit whose symbolic links lead to no file of that commit.
#[derive(Debug, thiserror::Error)]
#[error("{how}")]
struct Astray {
    how: &'static str,
}

/// What git says of such a path, and how many bytes follow: see "--follow-symlinks" in git-cat-file(1).
fn link_of(line: &str) -> Option<(&'static str, usize)> {
    let (word, length) = line.split_once(' ')?;
    let how = match word {
        "symlink" => "it is a symbolic link that leads out of the repository",
        "dangling" => "it is a symbolic link to nothing",
        "loop" => "it is a symbolic link that leads to itself",
        "notdir" => "a part of its path is no directory",
        _ => return None,
    };
    Some((how, length.parse().ok().filter(|length| *length <= LINK_BYTES_MAX)?))
}

fn unreadable(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("an answer that cannot be read: {line}"))
}
