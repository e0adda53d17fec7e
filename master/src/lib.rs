//! Guild's master. [`open`] opens everything, wires it, and hands out the capabilities: it *is* the security policy.
//!
//! The modules stand in the order of the main path: a change comes in at the top, events leave at the bottom.

pub mod api;
pub mod arguments;
pub mod backup;
pub mod clock;
pub mod config;
pub mod coordinator;
pub mod desk;
pub mod driver;
pub mod events;
pub mod examine;
pub mod installation;
pub mod logs;
pub mod mirror;
mod pace;
mod places;
pub mod planner;
mod process_group;
pub mod reporters;
pub mod retention;
pub mod sources;
pub mod store;
pub mod turns;
pub mod unit;
pub mod up;
pub mod upkeep;
mod web;

use api::{Office, Policy};
use clock::Clock;
use config::Config;
use coordinator::record::{BuildId, SealRow, StepKey};
use coordinator::{PoolTerms, ProjectTerms, Terms};
use desk::Desk;
use driver::Driver;
use events::Feed;
use futures::future::LocalBoxFuture;
use installation::InstallError;
use logs::Logs;
use reporters::{Reach, Reporters};
use retention::Retention;
use schema::identity::Identity;
use schema::sturdy_ref::Fingerprint;
use schema::systemd;
use schema::values::Scope;
use sources::Repositories;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use store::{Store, StoreError};
use tokio::net::TcpListener;
use turns::{Own, Principal};
use upkeep::Upkeep;

/// Why a master does not run, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Install(#[from] InstallError),
    #[error("failed to listen on {address}: {source}")]
    Listen { address: String, source: io::Error },
    #[error("project {project}: {source}")]
    Repository { project: String, source: io::Error },
    #[error("project {project}: hook: {}: {source}", file.display())]
    Hook { project: String, file: PathBuf, source: io::Error },
    #[error("failed to serve pages: {0}")]
    Pages(io::Error),
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
    sources: Vec<(Rc<sources::Repository>, sources::Source)>,
    retention: Retention,
    upkeep: Upkeep,
    pages: Option<Pages>,
}

/// Pages that are listened for and not served yet.
struct Pages {
    listener: std::net::TcpListener,
    url: String,
    door: api::Door,
    hooks: web::Hooks,
}

/// Binds the RPC port.
pub async fn listen(address: &str) -> Result<TcpListener, RunError> {
    TcpListener::bind(address).await.map_err(|source| RunError::Listen { address: address.to_owned(), source })
}

/// Opens a master from its configuration: store, coordinator, logs, mirrors.
pub async fn open(config: Config, listener: TcpListener) -> Result<Master, RunError> {
    let identity = Rc::new(installation::identity(&config.state)?);
    let base = Base {
        fingerprint: identity.fingerprint(),
        store: Store::open(&config.state)?,
        clock: Clock::system(),
        seed: installation::random(),
        open_logs: Logs::open,
    };
    let mut sources = Vec::new();
    let office = establish(&config, base, |coordinator| {
        let git = mirror::GitGate::default();
        sources = open_repositories(&config, coordinator, &git)?;
        Ok(Repositories::new(git, sources.iter().map(|(repository, _)| repository.clone())))
    });
    let office = office.await?;
    let taken = web::Hooks::default();
    taken.replace(hooks(&config)?);
    let pages = open_pages(&config, &office, taken.clone())?;
    let readers = office.readers.of(Principal::Own(Own::Retention));
    let parts = (office.driver.clone(), readers, office.logs.clone());
    let web = pages.as_ref().and_then(|pages| pages.listener.local_addr().ok());
    let retention = Retention::new(config.limits.retain.clone(), parts.0, parts.1, parts.2);
    let upkeep = Upkeep::new(config, office.clone(), taken, web, retention.retain());
    Ok(Master { office, identity, listener, sources, retention, upkeep, pages })
}

/// What a master stands on. [`open`] takes the product's; a simulation brings its own.
pub struct Base {
    pub fingerprint: Fingerprint,
    pub store: Store,
    pub clock: Clock,
    /// What the names of leases follow from; another one for each start.
    pub seed: [u8; 32],
    pub open_logs: OpenLogs,
}

/// [`Logs::open`] or [`Logs::open_inline`].
pub type OpenLogs = fn(&Path, u64, bool, Box<dyn logs::Seals>) -> io::Result<Logs>;

/// Makes the objects of a master, and lets it run; nothing is served yet. Needs a `LocalSet`.
pub async fn establish(
    config: &Config,
    base: Base,
    open_repositories: impl FnOnce(&coordinator::Coordinator) -> Result<Repositories, RunError>,
) -> Result<Rc<Office>, RunError> {
    let Base { fingerprint, store, clock, seed, open_logs } = base;
    let mut coordinator = installation::load(&store, terms(config), &clock, seed).await?;
    coordinator.stop_following_others();
    let (readers, incarnation) = (store.readers(), store.incarnation()?);
    let feed = Rc::new(Feed::new(readers.clone(), incarnation, coordinator.last_event()));
    let seals = Box::new(StoredSeals(readers.of(Principal::Own(Own::Logs))));
    let logs = open_logs(&config.state, config.limits.log_bytes, store.is_same_boot(), seals);
    let logs = Rc::new(logs.map_err(RunError::Logs)?);
    let repositories = Rc::new(open_repositories(&coordinator)?);
    let workshop = planner::Workshop::new(store.is_inline());
    let driver = Driver::new(coordinator, store, feed.clone(), clock);
    let office = Rc::new(Office {
        driver: driver.clone(),
        feed,
        logs,
        readers,
        repositories,
        served: Default::default(),
        workshop,
        live: Default::default(),
        fingerprint,
        incarnation,
        policy: RefCell::new(Rc::new(policy(config))),
        desk: Default::default(),
        pages: Default::default(),
        premises: Default::default(),
    });
    driver.start(api::outside(office.clone()));
    Ok(office)
}

impl Master {
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where browsers reach the pages; none: nowhere.
    pub fn pages(&self) -> Option<&str> {
        self.pages.as_ref().map(|pages| pages.url.as_str())
    }

    /// Where the pages listen.
    pub fn web_address(&self) -> Option<SocketAddr> {
        self.pages.as_ref().and_then(|pages| pages.listener.local_addr().ok())
    }

    /// Where the master file is asked for.
    pub fn desk(&self) -> Desk {
        self.upkeep.desk()
    }

    /// Follows the sources, keeps history within its limits, tells what became of lanes and serves connections and pages, until
    /// `shutdown` resolves or a commit fails.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        let driver = self.office.driver.clone();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn_local(self.upkeep.keep(self.sources));
        tasks.spawn_local(self.retention.keep());
        let _pages = self.pages.map(|pages| pages.serve(&mut tasks)).transpose()?;
        let serving = tasks.spawn_local(api::serve(self.office.clone(), self.identity, self.listener));
        tasks.spawn_local(systemd::stay_awake());
        systemd::status("serving");
        systemd::ready();
        let result = tokio::select! {
            () = shutdown => Ok(()),
            why = driver.failure() => Err(RunError::Commit(why)),
        };
        if result.is_ok() {
            systemd::stopping();
            // nobody comes back to a master that still leaves
            serving.abort();
            self.office.live.leave().await;
            // what was decided is written before the process ends
            let _ = tokio::time::timeout(std::time::Duration::from_secs(8), driver.settled()).await;
        }
        result
    }
}

impl Pages {
    fn serve(self, tasks: &mut tokio::task::JoinSet<()>) -> Result<web::Serving, RunError> {
        let (bridge, answers) = web::bridge();
        tasks.spawn_local(answers.serve(self.door));
        web::serve(self.listener, web::Site::new(bridge, &self.url, self.hooks)).map_err(RunError::Pages)
    }
}

/// Binds the pages' port, where the master file names one. Everyone sees what is public, who logs in what the grant names.
fn open_pages(config: &Config, office: &Rc<Office>, hooks: web::Hooks) -> Result<Option<Pages>, RunError> {
    let Some(address) = &config.listen.web else { return Ok(None) };
    let bound = web::listen(address).map_err(|source| RunError::Listen { address: address.clone(), source });
    let (listener, bound) = bound?;
    let url = if config.url.is_empty() { format!("http://{bound}") } else { config.url.clone() };
    let _ = office.pages.set(url.clone());
    Ok(Some(Pages { listener, url, door: api::Door::new(office.clone()), hooks }))
}

/// What the objects tell of the master file.
fn policy(config: &Config) -> Policy {
    let public = config.projects.iter().filter(|(_, project)| project.public).map(|(name, _)| name.clone());
    Policy {
        advertise: config.listen.advertise.clone(),
        roles: config.roles.clone(),
        open: if config.listen.web_is_open { Scope::all() } else { public.collect() },
        connections: config.limits.connections as usize,
    }
}

/// Reads what the projects' hooks are signed with; without pages none is taken.
fn hooks(config: &Config) -> Result<BTreeMap<String, web::Hook>, RunError> {
    let mut hooks = BTreeMap::new();
    if config.listen.web.is_none() {
        return Ok(hooks);
    }
    for (project, hook) in config.projects.iter().filter_map(|(name, project)| Some((name, project.hook.as_ref()?))) {
        let wrong = |source| RunError::Hook { project: project.clone(), file: hook.secret_file.clone(), source };
        hooks.insert(project.clone(), web::Hook::open(hook).map_err(wrong)?);
    }
    Ok(hooks)
}

/// Where the logs find those that are sealed.
struct StoredSeals(store::Reading);

impl logs::Seals for StoredSeals {
    fn find(&self, key: StepKey) -> LocalBoxFuture<'_, Result<Option<SealRow>, String>> {
        let found = self.0.query(move |store| store::query::seal(store, key));
        Box::pin(async { found.await.map_err(|error| error.to_string()) })
    }

    fn removed(&self, build: BuildId) -> LocalBoxFuture<'_, Result<Option<String>, String>> {
        let found = self.0.query(move |store| store::ageing::removed(store, build));
        Box::pin(async { found.await.map_err(|error| error.to_string()) })
    }
}

fn reporters(config: &Config, office: &Office) -> Reporters {
    let reach = Reach {
        driver: office.driver.clone(),
        feed: office.feed.clone(),
        readers: office.readers.of(Principal::Own(Own::Reporters)),
        logs: office.logs.clone(),
        repositories: office.repositories.clone(),
        incarnation: office.incarnation,
        url: config.url.clone(),
        state: config.state.clone(),
        mail: config.mail.clone(),
    };
    Reporters::new(config, reach)
}

fn open_repositories(
    config: &Config,
    coordinator: &coordinator::Coordinator,
    git: &mirror::GitGate,
) -> Result<Vec<(Rc<sources::Repository>, sources::Source)>, RunError> {
    let opened = config.projects.iter().map(|(name, project)| {
        let wrong = |source| RunError::Repository { project: name.clone(), source };
        sources::open(&config.state, name, project, coordinator.heads_of(name), git).map_err(wrong)
    });
    opened.collect()
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
        log_bytes: config.limits.log_bytes,
        projects: projects.collect(),
        pools: pools.collect(),
        ..Terms::default()
    }
}
