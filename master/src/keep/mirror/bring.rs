//! A commit that no branch and no tag holds, from a repository on this machine. It is HEAD in the middle of a rebase, or the
//! files of a checkout as they are.

use super::git::GitError;
use super::patience::Deadline;
use super::{Mirror, is_object_id};
use std::path::Path;

/// Where such commits are kept: what no ref holds would be lost when the mirror is packed anew. The last part of a ref's name is
/// `NUMBER-COMMIT`, where a later one has a greater number, or `COMMIT` alone, as older masters wrote it.
const BROUGHT: &str = "refs/guild/brought";
/// How many commits that were brought stay, the newest ones. Whoever brought one builds it at once, and each fetch compares what
/// comes with all that refs hold.
const BROUGHT_MAX: usize = 20;

impl Mirror {
    /// Takes `commit` with its history from the repository at `from`, unless it is here already.
    ///
    /// # Errors
    /// Where `from` has no such commit, or where the remote, which is asked first if the mirror is empty, cannot be read.
    pub async fn bring(&self, from: &Path, commit: &str) -> Result<(), GitError> {
        if !is_object_id(commit) {
            return Err(GitError::Invalid(format!("{commit} is not an object id")));
        }
        if self.refs().await?.refs.is_empty() {
            // an empty mirror does not know yet which format of objects its remote has
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
        // the commit is here, whatever becomes of the older ones
        if let Err(error) = self.forget_old(&brought).await {
            tracing::warn!(address = %self.remote.address, %error, "commits that were brought before could not be let go");
        }
        Ok(())
    }

    /// The refs of what was brought, the newest last.
    async fn brought(&self) -> Result<Vec<String>, GitError> {
        let lines = self.git.run("for-each-ref").args(["--format=%(refname)", BROUGHT]).bytes().await?;
        let mut names: Vec<String> = String::from_utf8_lossy(&lines).lines().map(str::to_owned).collect();
        names.sort_by_key(|name| number_of(name));
        Ok(names)
    }

    /// Lets go of all commits that were brought but the last ones.
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

/// When a commit was brought, compared with others; zero, where an older master did.
fn number_of(name: &str) -> u64 {
    let last = name.rsplit('/').next().unwrap_or_default();
    last.split_once('-').and_then(|(number, _)| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
#[path = "bring_tests.rs"]
mod tests;
