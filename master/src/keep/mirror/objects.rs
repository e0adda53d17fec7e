//! Reads single objects of a mirror through a `git cat-file` that keeps running. So a question costs two writes to a pipe and
//! no new process. It is started for the first question, and again after it has died or was interrupted.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::conversation::{Astray, Conversation, Header, VERB};
use super::gate::Idle;
use super::git::{Git, GitError};
use super::recent::Recent;

const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// The running process, if there is one. A task that asks it holds the lock.
type Kept = Mutex<Option<Conversation>>;

#[derive(Debug)]
pub(super) struct Objects {
    git: Arc<Git>,
    running: Arc<Kept>,
    recent: std::sync::Mutex<Recent>,
}

impl Objects {
    pub(super) fn new(git: Arc<Git>) -> Objects {
        Objects { git, running: Arc::default(), recent: std::sync::Mutex::default() }
    }

    /// Returns the header of an object. `None` means that there is no such object or more than one, or that `name` has a line
    /// end.
    pub(super) async fn header(&self, name: &str) -> Result<Option<Header>, GitError> {
        if let Some(header) = self.recent().header(name) {
            return Ok(Some(header));
        }
        let Some((header, _)) = self.ask(name, None).await? else { return Ok(None) };
        self.recent().keep(name, &header, None);
        Ok(Some(header))
    }

    /// Returns the object's bytes if it is of this type. If they are longer than `limit`, that is an error.
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

    /// Ends the process, which may hold packs open that were deleted, and forgets the recent objects.
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
        self.git.ready().await?;
        let mut running = self.running.lock().await;
        let pass = self.git.passage.pass().await;
        for last in [false, true] {
            // taken out of `running`: if this future is dropped in the middle of an answer, the process is dropped with it
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
                    self.git.passage.keep(self.running.clone());
                    return Ok(answer);
                }
                Ok(Err(cause)) if cause.get_ref().is_some_and(|cause| cause.is::<Astray>()) => {
                    *running = Some(conversation);
                    drop(running);
                    self.git.passage.keep(self.running.clone());
                    return Err(GitError::Astray(cause.to_string()));
                }
                Ok(Err(cause)) if last => return Err(GitError::io("git cat-file", cause)),
                Ok(Err(_)) => {}
            }
        }
        Ok(None)
    }
}

impl Idle for Kept {
    fn end_if_idle(&self) {
        if let Ok(mut running) = self.try_lock() {
            running.take();
        }
    }
}
