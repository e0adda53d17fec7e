//! Forgets the commits of tries whose builds retention has removed. It asks the store which commits a build still names, and git
//! nothing unless a mirror has taken such commits.

use crate::intake::sources::{Repositories, Repository};
use crate::keep::mirror::GitError;
use crate::keep::store::{BuildFilter, Reading, StoreError};
use crate::keep::turns::{Own, Principal};
use crate::program::wiring::MasterParts;
use std::rc::Rc;
use std::time::Duration;

/// The pause between two passes. Builds go a few at a time, and their commits take little room.
const PAUSE: Duration = Duration::from_secs(10 * 60);

/// `TryRetention` removes from mirrors what tries left there.
pub struct TryRetention {
    readers: Reading,
    repositories: Rc<Repositories>,
}

/// The reasons for which commits stay until the next pass.
#[derive(Debug, thiserror::Error)]
pub enum TryRetentionError {
    #[error(transparent)]
    Git(#[from] GitError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl TryRetention {
    pub fn new(parts: &MasterParts) -> TryRetention {
        let readers = parts.readers.of(Principal::Own(Own::Retention));
        TryRetention { readers, repositories: parts.repositories.clone() }
    }

    /// Does passes at intervals, for as long as the master runs.
    pub async fn keep(self) {
        loop {
            tokio::time::sleep(PAUSE).await;
            self.pass().await;
        }
    }

    /// Forgets in each mirror what no build names. What fails is done in a later pass.
    pub async fn pass(&self) {
        for repository in self.repositories.all() {
            if let Err(error) = self.pass_of(&repository).await {
                tracing::warn!(project = repository.project, %error, "the commits of removed tries stay in the mirror for now");
            }
        }
    }

    async fn pass_of(&self, repository: &Repository) -> Result<(), TryRetentionError> {
        let project = &repository.project;
        let Some(mirror) = repository.mirror.taking() else { return Ok(()) };
        mirror.forget_tries(async |commits: Vec<String>| self.unneeded(project, commits).await).await
    }

    /// Returns those of these commits that no build of the project names.
    async fn unneeded(&self, project: &str, commits: Vec<String>) -> Result<Vec<String>, TryRetentionError> {
        let mut unneeded = Vec::new();
        for commit in commits {
            let filter = BuildFilter {
                project: Some(project.to_owned()),
                revision: Some(commit.clone()),
                ..BuildFilter::default()
            };
            if self.readers.builds(filter, 1).await?.is_empty() {
                unneeded.push(commit);
            }
        }
        Ok(unneeded)
    }
}
