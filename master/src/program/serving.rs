//! Opens what the configuration of a master names, and serves until somebody stops the master or a commit fails.

use crate::config::Config;
use crate::config::clock::Clock;
use crate::intake::sources::{self, Repositories};
use crate::keep::installation;
use crate::keep::logs::Logs;
use crate::keep::mirror;
use crate::keep::store::Store;
use crate::keep::turns::{Own, Principal};
use crate::program::reload::Reloader;
use crate::program::retention::Retention;
use crate::program::soundness::SoundnessWatch;
use crate::program::test_intake::TestIntake;
use crate::program::wiring::{Base, MasterParts, RunError, establish, hooks, open_repositories};
use crate::serve::api::{self, Api};
use crate::serve::config_calls::ConfigCalls;
use crate::serve::web;
use schema::identity::Identity;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use system::heap::Heap;
use system::systemd;
use tokio::net::TcpListener;

/// A `Master` is open: its store is locked and its objects exist, but nothing is served yet.
pub struct Master {
    pub parts: Rc<MasterParts>,
    identity: Rc<Identity>,
    listener: TcpListener,
    sources: Vec<(Rc<sources::Repository>, sources::ProjectSources)>,
    retention: Retention,
    test_intake: TestIntake,
    soundness: SoundnessWatch,
    reloader: Reloader,
    pages: Option<Pages>,
}

/// `Pages` has the socket of the pages, which are not served yet.
struct Pages {
    listener: std::net::TcpListener,
    url: String,
    door: api::Door,
    hooks: web::Hooks,
    names_projects: bool,
}

/// Binds the port for RPC.
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
    let parts = establish(&config, base, |coordinator| {
        let git = mirror::GitGate::default();
        sources = open_repositories(&config, coordinator, &git)?;
        Ok(Repositories::new(git, sources.iter().map(|(repository, _)| repository.clone())))
    });
    let parts = parts.await?;
    let taken = web::Hooks::default();
    taken.replace(hooks(&config)?);
    let pages = open_pages(&config, &parts.api, taken.clone())?;
    let readers = parts.readers.of(Principal::Own(Own::Retention));
    let soundness = SoundnessWatch {
        driver: parts.driver.clone(),
        readers: parts.readers.of(Principal::Own(Own::Soundness)),
        noted: parts.soundness.clone(),
    };
    let web = pages.as_ref().and_then(|pages| pages.listener.local_addr().ok());
    let (driver, logs, blobs) = (parts.driver.clone(), parts.logs.clone(), parts.blobs.clone());
    let retention = Retention::new(config.limits.retain.clone(), driver, readers, logs, blobs);
    let test_intake = TestIntake::new(&parts);
    let reloader = Reloader::new(config, parts.clone(), taken, web, retention.retain());
    Ok(Master { parts, identity, listener, sources, retention, test_intake, soundness, reloader, pages })
}

impl Master {
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Returns the address at which browsers reach the pages; `None` means that there are no pages.
    pub fn pages(&self) -> Option<&str> {
        self.pages.as_ref().map(|pages| pages.url.as_str())
    }

    /// Returns the address at which the pages listen.
    pub fn web_address(&self) -> Option<SocketAddr> {
        self.pages.as_ref().and_then(|pages| pages.listener.local_addr().ok())
    }

    /// Returns the channel to the task that reloads the master file.
    pub fn config_calls(&self) -> ConfigCalls {
        self.reloader.config_calls()
    }

    /// Follows the sources, keeps history within its limits, runs the reporters and serves connections and pages, until `shutdown`
    /// resolves or a commit fails.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        let driver = self.parts.driver.clone();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn_local(self.reloader.keep(self.sources));
        tasks.spawn_local(self.retention.keep());
        tasks.spawn_local(self.test_intake.keep());
        tasks.spawn_local(self.soundness.keep());
        tasks.spawn_local(keep_heap_small());
        let _pages = self.pages.map(|pages| pages.serve(&mut tasks)).transpose()?;
        let serving = tasks.spawn_local(api::serve(self.parts.api.clone(), self.identity, self.listener));
        tasks.spawn_local(systemd::stay_awake());
        systemd::status("serving");
        systemd::ready();
        let result = tokio::select! {
            () = shutdown => Ok(()),
            why = driver.failure() => Err(RunError::Commit(why)),
        };
        if result.is_ok() {
            systemd::stopping();
            // no client may reconnect to a master that is leaving
            serving.abort();
            self.parts.api.leave().await;
            // what was decided is written before the process ends
            let _ = tokio::time::timeout(Duration::from_secs(8), driver.settled()).await;
            driver.close().await;
        }
        result
    }
}

impl Pages {
    fn serve(self, tasks: &mut tokio::task::JoinSet<()>) -> Result<web::Serving, RunError> {
        let (bridge, answers) = web::bridge();
        tasks.spawn_local(answers.serve(self.door));
        web::serve(self.listener, web::Site::new(bridge, &self.url, self.hooks, self.names_projects))
            .map_err(RunError::Pages)
    }
}

/// The pause between two returns of free memory to the machine. `SECURITY.md` promises that peers' memory is returned within half a
/// minute, and this is well below.
const HEAP_EVERY: Duration = Duration::from_secs(10);

/// Returns free memory to the machine, on a thread of its own because it takes some milliseconds.
async fn keep_heap_small() {
    let mut heap = Heap::default();
    loop {
        tokio::time::sleep(HEAP_EVERY).await;
        let tidying = tokio::task::spawn_blocking(move || {
            heap.tidy();
            heap
        });
        heap = tidying.await.unwrap_or_default();
    }
}

/// Binds the port of the pages, if the master file names one. Everyone sees public projects; a login also shows what its grant names.
fn open_pages(config: &Config, api: &Api, hooks: web::Hooks) -> Result<Option<Pages>, RunError> {
    let Some(address) = &config.listen.web else { return Ok(None) };
    let bound = web::listen(address).map_err(|source| RunError::Listen { address: address.clone(), source });
    let (listener, bound) = bound?;
    let url = if config.url.is_empty() { format!("http://{bound}") } else { config.url.clone() };
    api.set_pages(url.clone());
    let names_projects = config.listen.metrics_name_projects;
    Ok(Some(Pages { listener, url, door: api.door(), hooks, names_projects }))
}
