//! Guild's master. [`run`] opens everything, wires it, and hands out the capabilities: it *is* the security policy.
//!
//! The modules stand in the order of the main path: a change comes in at the top, events leave at the bottom.

pub mod api;
pub mod backup;
pub mod clock;
pub mod config;
pub mod coordinator;
pub mod driver;
pub mod events;
pub mod installation;
pub mod logs;
pub mod mirror;
pub mod planner;
pub mod sources;
pub mod store;
pub mod up;

use api::Office;
use clock::Clock;
use config::Config;
use coordinator::record::{SealRow, StepKey};
use coordinator::{PoolTerms, ProjectTerms, Terms};
use driver::Driver;
use events::Feed;
use futures::future::LocalBoxFuture;
use installation::InstallError;
use logs::Logs;
use schema::identity::Identity;
use sources::Repositories;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use store::{Store, StoreError};
use tokio::net::TcpListener;

/// Why a master does not run, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Install(#[from] InstallError),
    #[error("failed to listen on {address}: {source}")]
    Listen { address: String, source: io::Error },
    #[error("project {project}: {source}")]
    Repository { project: String, source: io::Error },
    #[error("failed to open the logs: {0}")]
    Logs(io::Error),
    #[error("a commit failed: {0}; what was acknowledged is safe, restart the master when the disk is well")]
    Commit(String),
}

impl From<StoreError> for RunError {
    fn from(error: StoreError) -> RunError {
        RunError::Install(error.into())
    }
}

/// A master that is open: its store is locked, its objects exist, nothing is served yet.
pub struct Master {
    pub office: Rc<Office>,
    identity: Rc<Identity>,
    listener: TcpListener,
    sources: Vec<sources::Source>,
}

/// Serves until `shutdown` resolves, or a commit fails. Needs a `LocalSet`.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
    let listener = listen(&config.listen.rpc).await?;
    let master = open(config, listener).await?;
    master.serve(shutdown).await
}

/// Binds the RPC port.
pub async fn listen(address: &str) -> Result<TcpListener, RunError> {
    TcpListener::bind(address).await.map_err(|source| RunError::Listen { address: address.to_owned(), source })
}

/// Opens a master from its configuration: store, coordinator, logs, mirrors.
pub async fn open(config: Config, listener: TcpListener) -> Result<Master, RunError> {
    let identity = Rc::new(installation::identity(&config.state)?);
    let store = Store::open(&config.state)?;
    let clock = Clock::system();
    let coordinator = installation::load(&store, terms(&config), &clock).await?;
    let feed = Rc::new(Feed::new(store.readers(), store.incarnation()?, coordinator.last_event()));
    let readers = store.readers();
    let seals = Box::new(StoredSeals(readers.clone()));
    let logs = Logs::open(&config.state, config.limits.log_bytes, store.is_same_boot(), seals);
    let logs = Rc::new(logs.map_err(RunError::Logs)?);
    let incarnation = store.incarnation()?;
    let (repositories, sources) = open_repositories(&config, &coordinator)?;
    let driver = Driver::new(coordinator, store, feed.clone(), clock);
    let office = Rc::new(Office {
        driver: driver.clone(),
        feed,
        logs,
        readers,
        repositories: Rc::new(repositories),
        live: Default::default(),
        fingerprint: identity.fingerprint(),
        advertise: config.listen.advertise.clone(),
        incarnation,
        term_ms: u64::try_from(config.limits.lease.as_millis()).unwrap_or(u64::MAX),
    });
    driver.start(api::outside(office.clone()));
    Ok(Master { office, identity, listener, sources })
}

impl Master {
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Follows the sources and serves connections until `shutdown` resolves, or a commit fails.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        let driver = self.office.driver.clone();
        let mut tasks = tokio::task::JoinSet::new();
        for source in self.sources {
            tasks.spawn_local(source.follow(driver.clone()));
        }
        tasks.spawn_local(api::serve(self.office.clone(), self.identity, self.listener));
        let result = tokio::select! {
            () = shutdown => Ok(()),
            why = driver.failure() => Err(RunError::Commit(why)),
        };
        if result.is_ok() {
            // what was decided is written before the process ends
            let _ = tokio::time::timeout(std::time::Duration::from_secs(8), driver.settled()).await;
        }
        result
    }
}

/// Where the logs find those that are sealed.
struct StoredSeals(store::Readers);

impl logs::Seals for StoredSeals {
    fn find(&self, key: StepKey) -> LocalBoxFuture<'_, Result<Option<SealRow>, String>> {
        let found = self.0.query(move |store| store::query::seal(store, key));
        Box::pin(async { found.await.map_err(|error| error.to_string()) })
    }
}

fn open_repositories(
    config: &Config,
    coordinator: &coordinator::Coordinator,
) -> Result<(Repositories, Vec<sources::Source>), RunError> {
    let mut repositories = Vec::new();
    let mut followed = Vec::new();
    for (name, project) in &config.projects {
        let wrong = |source| RunError::Repository { project: name.clone(), source };
        let (repository, source) =
            sources::open(&config.state, name, project, coordinator.heads_of(name)).map_err(wrong)?;
        repositories.push(repository);
        followed.push(source);
    }
    Ok((Repositories::new(repositories), followed))
}

/// The master file, as far as decisions depend on it.
fn terms(config: &Config) -> Terms {
    let projects = config
        .projects
        .iter()
        .map(|(name, project)| (name.clone(), ProjectTerms { pools: project.pools.iter().cloned().collect() }));
    let pools = config
        .pools
        .iter()
        .map(|(name, pool)| (name.clone(), PoolTerms { wants: pool.matches.clone(), lease: pool.lease }));
    Terms {
        lease: config.limits.lease,
        offer: config.limits.offer,
        job_timeout: config.limits.job_timeout,
        projects: projects.collect(),
        pools: pools.collect(),
        ..Terms::default()
    }
}
