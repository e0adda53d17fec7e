//! Fetches commits that no branch and no tag holds, from a repository on this machine. Such a commit is the HEAD during a
//! rebase, or a snapshot of a checkout's files.

use super::git::GitError;
use super::patience::Deadline;
use super::{Mirror, is_object_id};
use std::path::Path;

/// The folder of the refs that hold such commits: without a ref, a commit is lost when the mirror is packed. The last part of a
/// ref's name is `NUMBER-COMMIT`, in which later commits have greater numbers. Older masters wrote `COMMIT` alone.
const BROUGHT: &str = "refs/guild/brought";
/// The number of such commits that are kept, the newest ones. It is small because each is built soon after it is brought, and
/// because each fetch compares new objects with all refs.
const BROUGHT_MAX: usize = 20;

impl Mirror {
    /// Fetches `commit` with its history from the repository at `from`, unless the mirror has it already.
    ///
    /// # Errors
    /// Fails if `from` has no such commit. It also fails if the mirror is empty and its remote, which is fetched first, cannot
    /// be read.
    pub async fn bring(&self, from: &Path, commit: &str) -> Result<(), GitError> {
        if !is_object_id(commit) {
            return Err(GitError::Invalid(format!("{commit} is not an object id")));
        }
        if self.refs().await?.refs.is_empty() {
            // an empty mirror does not know the remote's object format yet
            self.fetch().await?;
        }
        if self.resolve(commit).await?.is_some() {
            return Ok(());
        }
        let mut fetching = self.fetching.lock().await;
        let mut brought = self.brought().await?;
        let name = name_after(brought.last(), commit);
        let options = ["--no-tags", "--force", "--no-write-fetch-head", "--progress", "--end-of-options"];
        let spec = format!("+{commit}:{name}");
        let run = self.git.run("fetch").args(options).args([from.as_os_str()]).args([&spec]);
        fetching.interrupted = true;
        let fetched = run.deadline(Deadline::Silence(self.fetch_silence)).output().await;
        fetching.interrupted = fetched.as_ref().map_or(true, |output| output.cut);
        fetched?.succeeded()?;
        brought.push(name);
        // the commit is in the mirror, so a failure to remove older ones is not an error
        if let Err(error) = self.forget_old(&brought).await {
            tracing::warn!(address = %self.remote.address, %error, "the refs of older brought commits could not be removed");
        }
        Ok(())
    }

    /// Returns the refs of such commits, the newest last.
    async fn brought(&self) -> Result<Vec<String>, GitError> {
        let lines = self.git.run("for-each-ref").args(["--format=%(refname)", BROUGHT]).bytes().await?;
        let mut names: Vec<String> = String::from_utf8_lossy(&lines).lines().map(str::to_owned).collect();
        names.sort_by_key(|name| number_of(name));
        Ok(names)
    }

    /// Removes the refs of all such commits except the newest ones.
    async fn forget_old(&self, brought: &[String]) -> Result<(), GitError> {
        let old = &brought[..brought.len().saturating_sub(BROUGHT_MAX)];
        if old.is_empty() {
            return Ok(());
        }
        let lines: String = old.iter().map(|name| format!("delete {name}\n")).collect();
        self.git.run("update-ref").args(["--stdin"]).stdin(lines.into_bytes()).bytes().await.map(drop)
    }
}

fn name_after(last: Option<&String>, commit: &str) -> String {
    let number = last.map_or(0, |name| number_of(name)).saturating_add(1);
    format!("{BROUGHT}/{number}-{commit}")
}

/// Returns the number in the name of a ref, by which refs are ordered; 0 if an older master wrote it.
fn number_of(name: &str) -> u64 {
    let last = name.rsplit('/').next().unwrap_or_default();
    last.split_once('-').and_then(|(number, _)| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
#[path = "bring_tests.rs"]
mod tests;
