//! Change sources: each follows the repository of one project and tells a [`ChangeSink`] what changed. A source holds nothing else
//! that commands, and decides nothing about builds.

mod again;
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

pub use git::ChangeSink;
pub use history::History;
pub use poll_health::{Looks, PollHealth};
pub use repository::{Repositories, Repository};

use crate::config::ProjectConfig;
use crate::config::clock::Clock;
use crate::config::forge;
use crate::decide::coordinator::record::{Head, RefScope};
use crate::keep::mirror::{GitGate, Mirror, Remote};
use git::{GitSource, Known, Pokes, pokes};
use std::io;
use std::path::Path;
use std::rc::Rc;
use tokio_util::sync::CancellationToken;

/// One project's repository, ready to be followed.
pub struct FollowedSource {
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
) -> io::Result<(Rc<Repository>, FollowedSource)> {
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
        commit_url: forge::commit_url(config),
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
    Ok((repository, FollowedSource { source, known: heads.into_iter().collect(), pokes, health }))
}

/// What a source follows, as the coordinator is told it.
#[derive(Clone, Debug)]
pub struct Following {
    pub project: String,
    /// Where the repository lies.
    pub address: String,
    pub scope: RefScope,
}

impl FollowedSource {
    /// What this source follows: whoever makes a sink for it needs to know.
    pub fn following(&self) -> Following {
        Following {
            project: self.source.project.clone(),
            address: self.source.mirror.remote().address.clone(),
            scope: self.source.scope.clone(),
        }
    }

    /// Follows the repository until `stop`, and tells `sink` what changed.
    pub async fn follow(self, sink: impl ChangeSink, clock: Clock, stop: CancellationToken) {
        // the source logs its notices itself
        self.health.begin(clock.now(), self.source.poll);
        let tell = |notice| self.health.note(clock.now(), notice);
        git::follow(self.source, sink, self.known, self.pokes, tell, stop).await;
    }
}
