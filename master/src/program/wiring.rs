//! Makes the objects of a master and connects them. Only this module decides which object gets which capability. It also takes from the
//! master file what the objects need, for the first start and for each reload.

mod change_sink;
mod past_runs;
mod reporter_access;

pub(crate) use change_sink::CommandedSink;

use crate::commit::driver::Driver;
use crate::commit::events::{Feed, Subscription};
use crate::commit::state_reader::StateReader;
use crate::config::Config;
use crate::config::clock::Clock;
use crate::decide::coordinator::record::{BuildId, SealRow, StepKey, UploadKey};
use crate::decide::coordinator::{self, PoolTerms, ProjectTerms, Terms};
use crate::intake::planner::{Planner, Workshop};
use crate::intake::sources::{self, Repositories};
use crate::keep::blobs::{BlobHash, BlobIndex, BlobUsage, Blobs};
use crate::keep::bytes::Seal;
use crate::keep::installation::{self, InstallError};
use crate::keep::logs::{self, Logs};
use crate::keep::mirror;
use crate::keep::soundness::SoundnessCell;
use crate::keep::store::{self, Readers, Store, StoreError};
use crate::keep::turns::{Own, Principal};
use crate::serve::api::{Api, ApiParts, EffectPerformer, LiveObjects, Policy};
use crate::serve::reporters::{ReporterAccess, Reporters};
use crate::serve::web;
use futures::future::LocalBoxFuture;
use past_runs::StoredRuns;
use reporter_access::{CommittedDeliveries, StoredReads};
use schema::sturdy_ref::Fingerprint;
use schema::values::{Scope, Want};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The reason why a master does not start, or stops.
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
    #[error("failed to open the blobs: {0}")]
    Blobs(io::Error),
    #[error("{0}; everything that was acknowledged is safe, and goes on after a restart when the disk works again")]
    Commit(String),
}

impl From<StoreError> for RunError {
    fn from(error: StoreError) -> RunError {
        RunError::Install(error.into())
    }
}

/// A `Base` is what a master stands on. [`crate::open`] takes the product's parts; a simulation brings its own.
pub struct Base {
    pub fingerprint: Fingerprint,
    pub store: Store,
    pub clock: Clock,
    /// The seed of the lease tokens, random for each start.
    pub seed: [u8; 32],
    pub open_logs: OpenLogs,
}

/// The function that opens the logs: [`Logs::open`] or [`Logs::open_inline`].
pub type OpenLogs = fn(&Path, u64, bool, Box<dyn logs::Seals>) -> io::Result<Logs>;

/// `MasterParts` are the objects of a master. Only the room `program` holds all of them; every other room gets the parts that it needs.
pub struct MasterParts {
    pub driver: Rc<Driver>,
    pub clock: Clock,
    pub feed: Rc<Feed>,
    pub logs: Rc<Logs>,
    pub blobs: Rc<Blobs>,
    pub readers: Readers,
    pub repositories: Rc<Repositories>,
    pub planner: Rc<Planner>,
    pub incarnation: u64,
    /// The result of the last look for damage in the whole store.
    pub soundness: Rc<SoundnessCell>,
    pub api: Api,
}

/// Makes the objects of a master and starts the driver. Nothing is served yet. Needs a `LocalSet`.
pub async fn establish(
    config: &Config,
    base: Base,
    open_repositories: impl FnOnce(&coordinator::Coordinator) -> Result<Repositories, RunError>,
) -> Result<Rc<MasterParts>, RunError> {
    let Base { fingerprint, store, clock, seed, open_logs } = base;
    let mut coordinator = installation::load(&store, terms(config), &clock, seed).await?;
    coordinator.stop_following_others();
    coordinator.end_claims_of_others(clock.now());
    let (readers, incarnation) = (store.readers(), store.incarnation()?);
    // events that the coordinator made while it was loaded are not committed yet; they are published after their commit
    let feed = Rc::new(Feed::new(readers.clone(), incarnation, store.last_event()?));
    let seals = Box::new(StoredSeals(readers.of(Principal::Own(Own::Logs))));
    let logs = open_logs(&config.state, config.limits.log_bytes, store.is_same_boot(), seals);
    let logs = Rc::new(logs.map_err(RunError::Logs)?);
    let index = Box::new(StoredBlobs(readers.of(Principal::Own(Own::Blobs))));
    let quota = config.limits.blob_bytes_total;
    let blobs = Blobs::open(&config.state, quota, store.is_same_boot(), store.is_inline(), index);
    let blobs = blobs.map_err(RunError::Blobs)?;
    blobs.keep_partials(|job, attempt| coordinator.is_attempt_open(job, attempt)).map_err(RunError::Blobs)?;
    let blobs = Rc::new(blobs);
    let repositories = Rc::new(open_repositories(&coordinator)?);
    let past = Box::new(StoredRuns(readers.of(Principal::Own(Own::Planner))));
    let planner = Rc::new(Planner::new(repositories.clone(), past, Workshop::new(store.is_inline())));
    let live = Rc::<LiveObjects>::default();
    let driver = Driver::new(coordinator, store, feed.clone(), clock);
    let api_parts = ApiParts {
        driver: driver.clone(),
        feed: feed.clone(),
        logs: logs.clone(),
        blobs: blobs.clone(),
        readers: readers.clone(),
        repositories: repositories.clone(),
        live: live.clone(),
        fingerprint,
        incarnation,
    };
    let api = Api::new(api_parts, policy(config));
    let effects = EffectPerformer {
        driver: driver.clone(),
        live,
        logs: logs.clone(),
        blobs: blobs.clone(),
        planner: planner.clone(),
    };
    driver.start(effects.outside());
    let soundness = Rc::default();
    Ok(Rc::new(MasterParts {
        driver,
        clock,
        feed,
        logs,
        blobs,
        readers,
        repositories,
        planner,
        incarnation,
        soundness,
        api,
    }))
}

/// Returns what the API takes from the master file.
pub(crate) fn policy(config: &Config) -> Policy {
    let public = config.projects.iter().filter(|(_, project)| project.public).map(|(name, _)| name.clone());
    Policy {
        advertise: config.listen.advertise.clone(),
        roles: config.roles.clone(),
        open: if config.listen.web_is_open { Scope::all() } else { public.collect() },
        connections: config.limits.connections as usize,
    }
}

/// Reads the secrets of the projects' hooks. Returns none if the master serves no pages.
pub(crate) fn hooks(config: &Config) -> Result<BTreeMap<String, web::Hook>, RunError> {
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

/// `StoredSeals` finds the seals of logs in the store.
pub(crate) struct StoredSeals(pub(crate) store::Reading);

impl logs::Seals for StoredSeals {
    fn find(&self, key: StepKey) -> LocalBoxFuture<'_, Result<Option<SealRow>, String>> {
        Box::pin(async move { self.0.seal(key).await.map_err(|error| error.to_string()) })
    }

    fn removed(&self, build: BuildId) -> LocalBoxFuture<'_, Result<Option<String>, String>> {
        Box::pin(async move { self.0.logs_removed(build).await.map_err(|error| error.to_string()) })
    }
}

/// `StoredBlobs` finds in the store what was committed about blobs.
pub(crate) struct StoredBlobs(pub(crate) store::Reading);

impl BlobIndex for StoredBlobs {
    fn sealed(&self, key: UploadKey) -> LocalBoxFuture<'_, Result<Option<Seal>, String>> {
        Box::pin(async move { self.0.sealed_upload(key).await.map_err(|error| error.to_string()) })
    }

    fn usage(&self, key: UploadKey) -> LocalBoxFuture<'_, Result<BlobUsage, String>> {
        Box::pin(async move { self.0.blob_usage(key).await.map_err(|error| error.to_string()) })
    }

    fn referenced(&self, hashes: Vec<BlobHash>) -> LocalBoxFuture<'_, Result<BTreeSet<BlobHash>, String>> {
        Box::pin(async move { self.0.referenced_blobs(hashes).await.map_err(|error| error.to_string()) })
    }
}

pub(crate) fn reporters(config: &Config, parts: &MasterParts) -> Reporters {
    let readers = parts.readers.of(Principal::Own(Own::Reporters));
    let (driver, logs, repositories) = (parts.driver.clone(), parts.logs.clone(), parts.repositories.clone());
    let access = ReporterAccess {
        clock: parts.clock,
        events: Subscription::new(parts.feed.clone(), Principal::Own(Own::Reporters)),
        reads: Box::new(StoredReads { state: StateReader::new(driver.clone()), readers, logs, repositories }),
        deliveries: Box::new(CommittedDeliveries(driver)),
        url: config.url.clone(),
        state: config.state.clone(),
        mail: config.mail.clone(),
    };
    Reporters::new(config, access)
}

pub(crate) fn open_repositories(
    config: &Config,
    coordinator: &coordinator::Coordinator,
    git: &mirror::GitGate,
) -> Result<Vec<(Rc<sources::Repository>, sources::ProjectSources)>, RunError> {
    let opened = config.projects.iter().map(|(name, project)| {
        let wrong = |source| RunError::Repository { project: name.clone(), source };
        sources::open(&config.state, name, project, coordinator.heads_of(name), git).map_err(wrong)
    });
    opened.collect()
}

/// Returns what the coordinator takes from the master file.
pub(crate) fn terms(config: &Config) -> Terms {
    let projects = config
        .projects
        .iter()
        .map(|(name, project)| (name.clone(), ProjectTerms { pools: project.pools.iter().cloned().collect() }));
    let pools = config.pools.iter().map(|(name, pool)| {
        let wants = pool.matches.iter().map(|want| Want::read(want)).collect();
        (name.clone(), PoolTerms { wants, lease: pool.lease, isolation: pool.isolation })
    });
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
