//! Change sources. Each one notices what is to be built for one project, and reports it to a [`ChangeSink`]. A [`ChangeSource`] has no
//! other way to command, and decides nothing about builds. [`open`] makes the sources of a project.

mod again;
mod cron;
mod followed;
pub mod git;
mod history;
mod pattern;
mod poke;
mod poll_health;
mod repository;
mod sight;
mod sink;
mod source;
#[cfg(test)]
mod tests;
mod tidying;
mod unreadable;

pub use history::History;
pub use poke::{Poke, pokes};
pub use poll_health::{Looks, PollHealth};
pub use repository::{Repositories, Repository};
pub use sink::ChangeSink;
pub use source::{ChangeSource, Following, ProjectSources};

use crate::config::ProjectConfig;
use crate::config::forge;
use crate::decide::coordinator::record::{Head, RefScope};
use crate::keep::mirror::{GitGate, Mirror, Remote};
use cron::CronSource;
use followed::FollowedRepository;
use git::GitSource;
use sight::Scope;
use std::io;
use std::path::Path;
use std::rc::Rc;

/// Opens the mirror of a project and its sources. `heads` has the known revision of each ref. All git commands of this master pass `git`.
pub fn open(
    state: &Path,
    project: &str,
    config: &ProjectConfig,
    heads: Vec<(String, Head)>,
    git: &GitGate,
) -> io::Result<(Rc<Repository>, ProjectSources)> {
    let remote = Remote {
        address: config.repo.clone(),
        key_file: config.credential_file.clone(),
        known_hosts_file: config.known_hosts_file.clone(),
        token_file: config.token_file.clone(),
    };
    let mirror = Rc::new(Mirror::open(&state.join("mirrors").join(project), remote, git)?);
    let scope = RefScope { branches: config.branches.clone(), tags: config.tags.clone() };
    let (poke, pokes) = pokes();
    let repository = Rc::new(Repository {
        project: project.to_owned(),
        address: config.repo.clone(),
        aliases: config.aliases.clone(),
        mirror: mirror.clone(),
        scope: scope.clone(),
        inferred: config.inferred.clone(),
        commit_url: forge::commit_url(config),
        poke,
        health: Rc::default(),
    });
    let cron = CronSource { scope: Scope::new(&scope), mirror: mirror.clone(), health: repository.health.clone() };
    let following = Following { project: project.to_owned(), address: config.repo.clone(), scope: scope.clone() };
    let git = FollowedRepository {
        source: GitSource { project: project.to_owned(), mirror, poll: config.poll, scope },
        known: heads.into_iter().collect(),
        pokes,
        health: repository.health.clone(),
    };
    Ok((repository, ProjectSources { following, sources: vec![Box::new(git), Box::new(cron)] }))
}
