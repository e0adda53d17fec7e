//! A mirror is a cache of its remote: where it is damaged it is made anew, and nobody's build is to blame for it.
//!
//! Git says of damage what it happens to meet, and a remote that is damaged itself says the same. So words only raise a doubt, and
//! git's own check of the mirror decides. Both are bounded, because a large mirror costs minutes to check and hours to fetch.

use super::Mirror;
use super::git::GitError;
use super::patience::Deadline;
use super::prepare::{CONFIG_FILE, configuration, empty, initialize, is_repository, is_sha256};
use super::remote::REMOTE;
use futures::future::LocalBoxFuture;
use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

/// The least time between two checks of one mirror: what a check does not find would not be found a moment later.
const CHECK_EVERY: Duration = Duration::from_secs(600);
/// For the check of a large mirror on a slow disk.
const CHECK_DEADLINE: Duration = Duration::from_secs(1_800);
/// What git says of objects and refs that are damaged.
const WORDS: [&str; 14] = [
    "not a git repository",
    "packfile",
    ".pack",
    "pack has",
    "bad object",
    "bad tree",
    "missing",
    "corrupt",
    "unable to read",
    "could not read",
    "unable to resolve reference",
    "broken",
    "did not send all necessary objects",
    "unresolved delta",
];

/// What may be wrong with a mirror, as far as an error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// A lock is there that nobody holds, as a git that was killed leaves it.
    Locked,
    /// Files without which it is no repository are gone.
    Gone,
    /// Something that git reads may be damaged.
    Unreadable,
}

impl Mirror {
    /// Does what may be repeated. Where it fails because of the mirror itself, the mirror is mended and it is done once more.
    pub async fn mended<'a, T>(
        &'a self,
        work: impl Fn() -> LocalBoxFuture<'a, Result<T, GitError>>,
    ) -> Result<T, GitError> {
        let failure = match work().await {
            Ok(done) => return Ok(done),
            Err(failure) => failure,
        };
        match self.mend(&failure).await? {
            true => work().await,
            false => Err(failure),
        }
    }

    /// Answers whether something was mended.
    async fn mend(&self, failure: &GitError) -> Result<bool, GitError> {
        match doubt(&self.dir, failure) {
            None => return Ok(false),
            Some(Doubt::Locked) => {
                // whoever fetches next removes what no git of ours holds
                self.fetching.lock().await.interrupted = true;
                return Ok(true);
            }
            Some(Doubt::Gone) => {}
            // what is there is better than nothing for as long as the remote does not answer
            Some(Doubt::Unreadable) if self.is_damaged().await && self.ask_remote(&[REMOTE, "HEAD"]).await.is_ok() => {}
            Some(Doubt::Unreadable) => return Ok(false),
        }
        let address = &self.remote.address;
        tracing::warn!(address, dir = %self.dir.display(), %failure, "the mirror is damaged, and is made anew");
        self.make_anew().await?;
        self.fetch().await.map(|_| true)
    }

    /// Whether git's own check finds damage. False, too, where that was asked a moment ago.
    async fn is_damaged(&self) -> bool {
        let now = Instant::now();
        let before = self.checked.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
        if before.is_some_and(|before| now.duration_since(before) < CHECK_EVERY) {
            return false;
        }
        let check =
            self.git.run("fsck").args(["--connectivity-only", "--no-dangling", "--no-progress", "--no-reflogs"]);
        match check.deadline(Deadline::Total(CHECK_DEADLINE)).output().await {
            // one that was killed, as where memory is short, says nothing
            Ok(checked) => checked.status.code().is_some_and(|code| code != 0),
            Err(_) => false,
        }
    }

    async fn make_anew(&self) -> Result<(), GitError> {
        let mut fetching = self.fetching.lock().await;
        fetching.seen = None;
        self.objects.forget().await;
        let (dir, git) = (self.dir.clone(), self.git.clone());
        let (pass, configuration) = (git.passage.pass().await, configuration(self.transport.name()));
        let made = tokio::task::spawn_blocking(move || {
            let format = if is_sha256(&dir) { "sha256" } else { "sha1" };
            empty(&dir)?;
            std::fs::write(dir.join(CONFIG_FILE), configuration)?;
            initialize(git.command(&pass, "init"), format)
        });
        let place = || self.dir.display().to_string();
        made.await.map_err(|lost| GitError::io(place(), lost.into()))?.map_err(|cause| GitError::io(place(), cause))?;
        *self.refs.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    /// The file at `path` in `revision` was not found. An error where the commit has it, so that the mirror lacks it.
    pub(super) async fn refuse_lack(&self, revision: &str, path: &str) -> Result<(), GitError> {
        let lack = || {
            let text = format!("{path} of {revision} is missing in the mirror");
            GitError::Unreadable { verb: "cat-file", text }
        };
        if path.contains(['\n', '\0']) {
            return Ok(());
        }
        let listed = self.git.run("ls-tree").args(["-z", revision, "--", path]).bytes().await;
        let listed = match listed {
            Ok(listed) => listed,
            Err(GitError::Failed { .. }) => {
                let is_known = self.refs().await?.refs.values().any(|tip| tip == revision);
                return if is_known { Err(lack()) } else { Ok(()) };
            }
            Err(_) => return Ok(()),
        };
        let listed = String::from_utf8_lossy(&listed);
        let blob = listed.split('\t').next().and_then(|entry| entry.split_once(" blob ")).map(|(_, id)| id);
        match blob {
            Some(id) if self.objects.header(id).await?.is_none() => Err(lack()),
            Some(_) | None => Ok(()),
        }
    }
}

fn doubt(dir: &Path, failure: &GitError) -> Option<Doubt> {
    if failure.is_disk_full() {
        return None;
    }
    if !is_repository(dir) {
        return Some(Doubt::Gone);
    }
    match failure {
        GitError::Failed { text, .. } if text.contains(".lock") && text.contains("File exists") => Some(Doubt::Locked),
        GitError::Failed { text, .. } => tells_of_damage(text).then_some(Doubt::Unreadable),
        GitError::Unreadable { .. } | GitError::Io { .. } => Some(Doubt::Unreadable),
        GitError::Start { .. }
        | GitError::Deadline { .. }
        | GitError::TooMuch { .. }
        | GitError::Invalid(_)
        | GitError::Astray(_) => None,
    }
}

/// What the remote says of itself is about the remote.
fn tells_of_damage(text: &str) -> bool {
    let own = text.lines().filter(|line| !line.starts_with("remote: "));
    own.into_iter().any(|line| WORDS.iter().any(|word| line.contains(word)))
}

#[cfg(test)]
#[path = "mend_tests.rs"]
mod tests;
