//! Change sources: each watches one place and tells what changed. None of them decides about builds.

pub mod git;
mod history;
mod pattern;
mod poll_health;
mod repository;
mod sight;
#[cfg(test)]
mod tests;
mod tidying;
mod unreadable;

pub use history::History;
pub use poll_health::{Looks, PollHealth};
pub use repository::{Repositories, Repository};

use crate::config::ProjectConfig;
use crate::coordinator::record::{Head, RefScope};
use crate::coordinator::{Before, Coordinator, ROOT};
use crate::driver::Driver;
use crate::mirror::{GitGate, Mirror, Remote};
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use git::{ChangeSink, GitSource, Known, Pokes, pokes};
use schema::values::{Change, Refusal, Time};
use std::io;
use std::path::Path;
use std::rc::Rc;
use tokio_util::sync::CancellationToken;

/// One project's repository, ready to be followed.
pub struct Source {
    source: GitSource,
    known: Known,
    pokes: Pokes,
    health: Rc<PollHealth>,
}

/// Opens the mirror of a project and its source. `heads`: what is known of each ref. `git`: where all git of this master passes.
pub fn open(
    state: &Path,
    project: &str,
    config: &ProjectConfig,
    heads: Vec<(String, Head)>,
    git: &GitGate,
) -> io::Result<(Rc<Repository>, Source)> {
    let remote = Remote {
        address: config.repo.clone(),
        key_file: config.credential_file.clone(),
        known_hosts_file: config.known_hosts_file.clone(),
        token_file: config.token_file.clone(),
    };
    let mirror = Rc::new(Mirror::open(&state.join("mirrors").join(project), remote, git)?);
    let (poke, pokes) = pokes();
    let repository = Rc::new(Repository {
        project: project.to_owned(),
        address: config.repo.clone(),
        aliases: config.aliases.clone(),
        mirror: mirror.clone(),
        inferred: config.inferred.clone(),
        poke,
        health: Rc::default(),
    });
    let health = repository.health.clone();
    let source = GitSource {
        project: project.to_owned(),
        mirror,
        poll: config.poll,
        scope: RefScope { branches: config.branches.clone(), tags: config.tags.clone() },
    };
    Ok((repository, Source { source, known: heads.into_iter().collect(), pokes, health }))
}

impl Source {
    /// Follows the repository until `stop`.
    pub async fn follow(self, driver: Rc<Driver>, stop: CancellationToken) {
        let sink = ToDriver {
            driver: driver.clone(),
            project: self.source.project.clone(),
            address: self.source.mirror.remote().address.clone(),
            scope: self.source.scope.clone(),
        };
        // the source logs its notices itself
        self.health.begin(driver.now(), self.source.poll);
        let tell = |notice| self.health.note(driver.now(), notice);
        git::follow(self.source, sink, self.known, self.pokes, tell, stop).await;
    }
}

/// Tells the coordinator what the source of one project sees.
struct ToDriver {
    driver: Rc<Driver>,
    project: String,
    address: String,
    scope: RefScope,
}

impl ToDriver {
    fn apply<'a, T: 'a>(
        &'a self,
        command: impl FnOnce(&mut Coordinator, Time) -> T + 'a,
    ) -> LocalBoxFuture<'a, Result<T, Refusal>> {
        self.driver.apply(command).boxed_local()
    }
}

impl ChangeSink for ToDriver {
    fn begin(&self) -> LocalBoxFuture<'_, Result<Before, Refusal>> {
        self.apply(|it, _| it.begin_following(&self.project, &self.scope))
    }

    fn submit(&self, change: Change) -> LocalBoxFuture<'_, Result<Option<Head>, Refusal>> {
        self.apply(|it, now| {
            let ref_name = change.ref_name.clone();
            it.submit_change(now, ROOT, change);
            it.head(&self.project, &ref_name)
        })
    }

    fn see(&self, refs: Vec<(String, String)>) -> LocalBoxFuture<'_, Result<(), Refusal>> {
        self.apply(|it, _| it.see_refs(&self.project, refs))
    }

    fn looked(&self) -> LocalBoxFuture<'_, Result<(), Refusal>> {
        self.apply(|it, now| it.looked_at_all(now, &self.project, &self.address, &self.scope))
    }
}
