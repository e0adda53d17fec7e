//! The repositories of this master: one mirror and one poke each, by the name of the project.

use super::sight::Scope;
use super::{History, Poke, PollHealth};
use crate::decide::coordinator::record::{GrantId, RefScope};
use crate::decide::coordinator::{Order, Origin};
use crate::keep::mirror::{GitError, GitGate, Mirror};
use schema::values::{Commit, Refusal, RefusalCode, SourceRevision, SourceStamp, full_refs};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

pub struct Repository {
    pub project: String,
    /// The address of the repository, as the master file has it.
    pub address: String,
    pub aliases: Vec<String>,
    pub mirror: Rc<dyn History>,
    /// The refs that the master follows.
    pub scope: RefScope,
    /// The pipeline to use if the repository has no file of its own (`guild-master up`).
    pub inferred: Option<String>,
    /// The address of a commit's page at the forge, with the placeholder [`COMMIT`](crate::config::forge::COMMIT); `None` if it is not
    /// known.
    pub commit_url: Option<String>,
    /// The channel that makes the source look now.
    pub poke: Poke,
    /// The health of the looks at the repository.
    pub health: Rc<PollHealth>,
}

/// `Repositories` holds the repositories that are followed now. A reload of the master file adds and removes some.
#[derive(Default)]
pub struct Repositories {
    by_project: RefCell<BTreeMap<String, Rc<Repository>>>,
    git: GitGate,
}

impl Repositories {
    /// Makes the collection. All git commands of this master pass `git`.
    pub fn new(git: GitGate, repositories: impl IntoIterator<Item = Rc<Repository>>) -> Repositories {
        let these = Repositories { git, ..Repositories::default() };
        repositories.into_iter().for_each(|repository| these.put(repository));
        these
    }

    pub fn git(&self) -> &GitGate {
        &self.git
    }

    pub fn put(&self, repository: Rc<Repository>) {
        self.by_project.borrow_mut().insert(repository.project.clone(), repository);
    }

    pub fn remove(&self, project: &str) {
        self.by_project.borrow_mut().remove(project);
    }

    pub fn get(&self, project: &str) -> Option<Rc<Repository>> {
        self.by_project.borrow().get(project).cloned()
    }

    /// Returns all repositories in the order of their names.
    pub fn all(&self) -> Vec<Rc<Repository>> {
        self.by_project.borrow().values().cloned().collect()
    }
}

impl Repository {
    /// Whether the master follows this ref, which is named in full.
    pub fn follows(&self, ref_name: &str) -> bool {
        Scope::new(&self.scope).has(ref_name)
    }

    /// Looks at one ref now, and returns after the store has committed what was found.
    pub async fn look(&self, ref_name: &str) -> Result<(), Refusal> {
        self.poke.look(ref_name).await.map(|_| ())
    }

    /// Looks at all refs now, like [`Repository::look`].
    pub async fn look_at_all(&self) -> Result<(), Refusal> {
        self.poke.look_at_all().await.map(|_| ())
    }

    /// Returns the order to build what a person asks for: a revision, or the tip of a ref after a fetch. `since` is the number that the
    /// next build of the project had before that fetch.
    pub async fn order(&self, ref_name: &str, revision: &str, by: GrantId, since: u32) -> Result<Order, Refusal> {
        let origin = if revision.is_empty() { Origin::Tip { since } } else { Origin::Named };
        let (ref_name, revision) = self.resolve(ref_name, revision).await?;
        let tip = self.mirror.commit(&revision).await.map_err(|error| self.unreachable(&error))?;
        let source = SourceRevision { repository: self.project.clone(), ref_name, revision, base: String::new() };
        Ok(Order {
            project: self.project.clone(),
            stamp: SourceStamp { sources: vec![source] },
            tip: tip.unwrap_or_else(Commit::default),
            by,
            origin,
        })
    }

    /// Returns the order for a build of a commit that nobody pushed, and that the mirror has taken. It belongs to no ref.
    pub async fn order_of_try(&self, commit: &str, by: GrantId) -> Result<Order, Refusal> {
        let tip = self.mirror.commit(commit).await.map_err(|error| self.unreachable(&error))?;
        let (repository, revision) = (self.project.clone(), commit.to_owned());
        let source = SourceRevision { repository, revision, ..SourceRevision::default() };
        Ok(Order {
            project: self.project.clone(),
            stamp: SourceStamp { sources: vec![source] },
            tip: tip.unwrap_or_else(Commit::default),
            by,
            origin: Origin::Named,
        })
    }

    /// Returns the first of these commits that the mirror has. If it has none, it fetches, and looks again. `None` means that it
    /// still has none.
    pub async fn first_known(&self, commits: &[String]) -> Result<Option<String>, Refusal> {
        if let Some(known) = self.first_here(commits).await? {
            return Ok(Some(known));
        }
        self.mirror.fetch().await.map_err(|error| self.unreachable(&error))?;
        self.first_here(commits).await
    }

    async fn first_here(&self, commits: &[String]) -> Result<Option<String>, Refusal> {
        for commit in commits {
            if self.mirror.tree(commit).await.map_err(|error| self.unreachable(&error))?.is_some() {
                return Ok(Some(commit.clone()));
            }
        }
        Ok(None)
    }

    /// Returns the mirror that takes commits which nobody pushed.
    pub fn taking(&self) -> Result<&Mirror, Refusal> {
        let text = format!("the repository of {} takes no tries", self.project);
        self.mirror.taking().ok_or_else(|| Refusal::new(RefusalCode::Unavailable, text))
    }

    async fn resolve(&self, ref_name: &str, revision: &str) -> Result<(String, String), Refusal> {
        if !revision.is_empty() {
            return self.resolve_revision(ref_name, revision).await;
        }
        let name = match ref_name {
            "" => self.default_branch().await?,
            name => name.to_owned(),
        };
        for full in full_refs(&name) {
            let found = self.mirror.fetch_ref(&full).await;
            match found {
                Ok(Some(revision)) => return Ok((full, revision)),
                Ok(None) | Err(GitError::Invalid(_)) => {}
                Err(error) => return Err(self.unreachable(&error)),
            }
        }
        let text = format!("{} has no branch or tag `{name}`", self.project);
        Err(Refusal::new(RefusalCode::NotFound, text).help("push it first; `--revision` takes a commit"))
    }

    async fn resolve_revision(&self, ref_name: &str, revision: &str) -> Result<(String, String), Refusal> {
        let unreachable = |error| self.unreachable(&error);
        let mut found = self.mirror.resolve(revision).await.map_err(unreachable)?;
        if found.is_none() {
            self.mirror.fetch().await.map_err(unreachable)?;
            found = self.mirror.resolve(revision).await.map_err(unreachable)?;
        }
        let text = format!("{} has no commit `{revision}` on any branch or tag", self.project);
        let refusal =
            Refusal::new(RefusalCode::NotFound, text).help("push it first: the master builds what it can fetch");
        let Some(revision) = found else { return Err(refusal) };
        // a try has no side effects, and a build of its commit by another way would have them
        if let Some(mirror) = self.mirror.taking()
            && mirror.is_only_tried(&revision).await.map_err(unreachable)?
        {
            return Err(refusal);
        }
        Ok((ref_name.to_owned(), revision))
    }

    async fn default_branch(&self) -> Result<String, Refusal> {
        let head = self.mirror.head().await.map_err(|error| self.unreachable(&error))?;
        let text = format!("the repository of {} does not name a default branch", self.project);
        head.ok_or_else(|| Refusal::new(RefusalCode::NotFound, text).help("name one with `--ref`"))
    }

    pub fn unreachable(&self, error: &GitError) -> Refusal {
        if error.is_disk_full() {
            let text = format!("disk full: the new commits of {} cannot be fetched: {error}", self.project);
            return Refusal::new(RefusalCode::Unavailable, text).help("free some space, and try again");
        }
        Refusal::new(RefusalCode::Unavailable, format!("failed to read the repository of {}: {error}", self.project))
    }
}
