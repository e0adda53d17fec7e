//! A mirror is a cache of its remote. If it is damaged, it is fetched again, and no build fails because of it.
//!
//! Git reports only the damage that it meets, and a damaged remote causes the same messages. So a message only raises a doubt,
//! and git's own check of the mirror decides. A large mirror takes minutes to check and hours to fetch, so both are bounded.
//! The new mirror is fetched beside the old one and replaces it when it is complete. Until then, everything that can be read
//! stays.

use super::gate::RunKind;
use super::git::GitError;
use super::patience::Deadline;
use super::prepare::{is_repository, remove_tree, swap, twin};
use super::{Fetching, Mirror};
use futures::future::LocalBoxFuture;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

/// The shortest time between two checks of a mirror. Damage that a check does not find would not be found a moment later.
const CHECK_EVERY: Duration = Duration::from_secs(600);
/// How long the check of a mirror may take: 30 minutes, because a mirror may be large and its disk slow.
const CHECK_DEADLINE: Duration = Duration::from_secs(1_800);
/// Words in git's messages about damaged objects and refs.
const WORDS: [&str; 16] = [
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
    "inflate:",
    "unable to unpack",
];

/// The result of the last check of a mirror.
#[derive(Clone, Copy, Debug)]
pub(super) struct MirrorCheck {
    at: Instant,
    is_damaged: bool,
}

/// The doubt about a mirror that an error raises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// A lock exists that nobody holds, which a killed git leaves behind.
    Locked,
    /// Files are missing that every repository has.
    Gone,
    /// Something that git has to read may be damaged.
    Unreadable,
}

impl Mirror {
    /// Runs `work`, which may be repeated. If it fails because of the mirror itself, the mirror is mended and `work` runs once
    /// more.
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

    /// Mends the mirror if it caused a failure. Returns whether it mended something.
    async fn mend(&self, failure: &GitError) -> Result<bool, GitError> {
        match doubt(&self.dir, failure) {
            None => return Ok(false),
            Some(Doubt::Locked) => {
                // the next fetch removes the locks, unless a tidying runs
                self.fetching.lock().await.interrupted = true;
                return Ok(true);
            }
            Some(Doubt::Gone) => {}
            Some(Doubt::Unreadable) if self.is_damaged().await => {}
            Some(Doubt::Unreadable) => return Ok(false),
        }
        let (address, dir) = (&self.remote.address, self.dir.display());
        tracing::warn!(address, %dir, %failure, "the mirror is damaged and is fetched again");
        // the old mirror is better than none while the remote does not answer
        if let Err(error) = self.make_anew().await {
            tracing::warn!(address, %dir, %error, "the damaged mirror stays as it is, because it could not be fetched again");
            return Ok(false);
        }
        Ok(true)
    }

    /// Whether git's own checks find damage. The result of a recent check is used again.
    async fn is_damaged(&self) -> bool {
        let before = *self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(check) = before.filter(|check| check.at.elapsed() < CHECK_EVERY) {
            return check.is_damaged;
        }
        let is_damaged = self.lacks_objects().await || self.has_damaged_pack().await;
        self.note_check(is_damaged);
        is_damaged
    }

    fn note_check(&self, is_damaged: bool) {
        let check = MirrorCheck { at: Instant::now(), is_damaged };
        *self.checked.lock().unwrap_or_else(PoisonError::into_inner) = Some(check);
    }

    /// Whether an object is missing, or an unpacked object cannot be read. It does not read the contents of files in packs, so
    /// it is quick.
    async fn lacks_objects(&self) -> bool {
        let common = ["--no-dangling", "--no-progress", "--no-reflogs"];
        self.finds_fault("fsck", &[&["--connectivity-only"], &common[..]].concat()).await
            || self.finds_fault("fsck", &[&["--no-full"], &common[..]].concat()).await
    }

    /// Whether the bytes of a pack have changed since it was received. Each pack is checked in a run of its own, so that other
    /// runs have turns in between.
    async fn has_damaged_pack(&self) -> bool {
        let dir = self.dir.clone();
        let packs = tokio::task::spawn_blocking(move || packs(&dir)).await;
        for pack in packs.unwrap_or_else(|lost| Err(lost.into())).unwrap_or_default() {
            if self.finds_fault("verify-pack", &[pack]).await {
                return true;
            }
        }
        false
    }

    async fn finds_fault(&self, verb: &'static str, args: &[impl AsRef<std::ffi::OsStr>]) -> bool {
        let check = self.git.run(verb).args(args).deadline(Deadline::Total(CHECK_DEADLINE)).pace(RunKind::Tidying);
        match check.output().await {
            // a check that was killed, for example because memory was short, shows nothing
            Ok(checked) => checked.status.code().is_some_and(|code| code != 0),
            Err(_) => false,
        }
    }

    /// Fetches the whole repository into a directory beside this one, which then replaces it. If the fetch fails or the future
    /// is dropped, nothing has changed. It needs disk space for both.
    async fn make_anew(&self) -> Result<(), GitError> {
        let mut fetching = self.fetching.clone().lock_owned().await;
        fetching.seen = None;
        let fetching = on_files(fetching, twin(&self.dir), remove_tree).await?;
        let fresh = Mirror::at(&twin(&self.dir), self.remote.clone(), self.transport, self.git.passage.clone());
        fresh.fetch_silence(self.fetch_silence).fetch().await?;
        let fetching = on_files(fetching, self.dir.clone(), swap).await?;
        self.objects.forget().await;
        *self.refs.lock().unwrap_or_else(PoisonError::into_inner) = None;
        // a remote that is damaged itself must not be fetched again and again
        self.note_check(false);
        drop(fetching);
        Ok(())
    }

    /// Checks why the file at `path` in `revision` was not found. It is an error if the commit has the file, because then the
    /// mirror lacks it.
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

/// Runs `work` on a directory of the mirror, on a blocking thread. Nobody else fetches meanwhile, even if the future is
/// dropped.
async fn on_files(
    alone: OwnedMutexGuard<Fetching>,
    dir: PathBuf,
    work: fn(&Path) -> io::Result<()>,
) -> Result<OwnedMutexGuard<Fetching>, GitError> {
    let place = dir.display().to_string();
    let done = tokio::task::spawn_blocking(move || work(&dir).map(|()| alone)).await;
    done.unwrap_or_else(|lost| Err(lost.into())).map_err(|cause| GitError::io(place, cause))
}

/// Returns the paths of the indexes of all packs.
fn packs(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir.join("objects/pack"))?;
    let paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    Ok(paths.into_iter().filter(|path| path.extension().is_some_and(|end| end == "idx")).collect())
}

/// Whether a text of git reports damage of the mirror. Lines of the remote do not count, because they are about the remote.
fn tells_of_damage(text: &str) -> bool {
    let own = text.lines().filter(|line| !line.starts_with("remote: "));
    own.into_iter().any(|line| WORDS.iter().any(|word| line.contains(word)))
}

#[cfg(test)]
#[path = "mend_tests.rs"]
mod tests;
