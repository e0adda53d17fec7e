//! Change sources: each watches one place and tells what changed. None of them decides about builds.

pub mod git;
mod history;
mod pattern;
mod repository;
mod standing;
#[cfg(test)]
mod tests;

pub use history::History;
pub use repository::{Repositories, Repository};
pub use standing::{Looks, Standing, Trouble};

use crate::config::ProjectConfig;
use crate::coordinator::ROOT;
use crate::driver::Driver;
use crate::mirror::{Mirror, Remote};
use git::{GitSource, Patterns, Pokes, pokes};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::rc::Rc;
use tokio_util::sync::CancellationToken;

/// One project's repository, ready to be followed.
pub struct Source {
    source: GitSource,
    known: BTreeMap<String, String>,
    pokes: Pokes,
    standing: Rc<Standing>,
}

/// Opens the mirror of a project and its source. `heads`: the last acknowledged revision of each ref.
pub fn open(
    state: &Path,
    project: &str,
    config: &ProjectConfig,
    heads: Vec<(String, String)>,
) -> io::Result<(Rc<Repository>, Source)> {
    let remote = Remote {
        address: config.repo.clone(),
        key_file: config.credential_file.clone(),
        known_hosts_file: config.known_hosts_file.clone(),
        token_file: config.token_file.clone(),
    };
    let mirror = Rc::new(Mirror::open(&state.join("mirrors").join(project), remote)?);
    let (poke, pokes) = pokes();
    let repository = Rc::new(Repository {
        project: project.to_owned(),
        address: config.repo.clone(),
        aliases: config.aliases.clone(),
        mirror: mirror.clone(),
        inferred: config.inferred.clone(),
        poke,
        standing: Rc::default(),
    });
    let standing = repository.standing.clone();
    let source = GitSource {
        project: project.to_owned(),
        mirror,
        poll: config.poll,
        branches: Patterns::new(config.branches.iter().cloned()),
        tags: Patterns::new(config.tags.iter().cloned()),
    };
    Ok((repository, Source { source, known: heads.into_iter().collect(), pokes, standing }))
}

impl Source {
    /// Follows the repository until `stop`.
    pub async fn follow(self, driver: Rc<Driver>, stop: CancellationToken) {
        let sink = |change| {
            let driver = driver.clone();
            async move { driver.call(|it, now| it.submit_change(now, ROOT, change)).await.map(|_| ()) }
        };
        // the source logs its notices itself
        self.standing.begin(driver.now(), self.source.poll);
        let tell = |notice| self.standing.note(driver.now(), notice);
        git::follow(self.source, sink, self.known, self.pokes, tell, stop).await;
    }
}
