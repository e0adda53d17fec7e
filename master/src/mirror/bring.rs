//! A commit that no branch and no tag holds, from a repository on this machine: HEAD in the middle of a rebase, or the files of a
//! checkout as they are.

use super::git::{Deadline, GitError};
use super::{Mirror, is_object_id};
use std::path::Path;

/// Where such commits are kept: what no ref holds would be lost when the mirror is packed anew.
const BROUGHT: &str = "refs/guild/brought";

impl Mirror {
    /// Takes `commit` with its history from the repository at `from`, unless it is here already.
    ///
    /// # Errors
    /// Where `from` has no such commit, or where the remote, which is asked first if the mirror is empty, cannot be read.
    pub async fn bring(&self, from: &Path, commit: &str) -> Result<(), GitError> {
        if !is_object_id(commit) {
            return Err(GitError::Invalid(format!("{commit} is no object id")));
        }
        if self.refs().await?.refs.is_empty() {
            // an empty mirror does not know yet which format of objects its remote has
            self.fetch().await?;
        }
        if self.resolve(commit).await?.is_some() {
            return Ok(());
        }
        let mut fetching = self.fetching.lock().await;
        let options = ["--no-tags", "--force", "--no-write-fetch-head", "--progress", "--end-of-options"];
        let spec = format!("+{commit}:{BROUGHT}/{commit}");
        let run = self.git.run("fetch").args(options).args([from.as_os_str()]).args([&spec]);
        fetching.interrupted = true;
        let fetched = run.deadline(Deadline::Silence(self.fetch_silence)).output().await;
        fetching.interrupted = fetched.as_ref().map_or(true, |output| output.cut);
        fetched?.succeeded().map(drop)
    }
}

#[cfg(test)]
#[path = "bring_tests.rs"]
mod tests;
