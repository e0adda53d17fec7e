//! `guild-master up`: master, worker and client in one command, for one git repository on this machine. All are the real parts: the
//! worker is a process of its own, credentials are issued, and connections use TLS on loopback.

mod checkout;
mod follow;
mod target;
mod unshown;
mod worker;

pub use worker::{WORKER, work};

use crate::config::{Config, ProjectConfig};
use crate::keep::installation::{self, InstallError};
use crate::keep::mirror::GitError;
use crate::{Master, RunError};
use checkout::Checkout;
use client::Guild;
use schema::identity::Identity;
use schema::shown;
use schema::sturdy_ref::SturdyRef;
use schema::values::{Outcome, ShortCommit};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;
use target::Target;

/// The time between two looks for new commits: short, because the repository is on this machine.
const POLL: Duration = Duration::from_secs(1);
/// The pattern of the tags that are followed: all tags.
const ALL_TAGS: &str = "**";

#[derive(clap::Args)]
pub struct UpArguments {
    /// The repository
    #[arg(default_value = ".")]
    repo: PathBuf,
    /// Build HEAD and exit with its outcome
    #[arg(long)]
    once: bool,
    /// Build the files as they are, with what is not committed, and exit with the outcome. Ignored files are left out
    #[arg(long)]
    dirty: bool,
    /// Serve the builds that were made here, and build nothing
    #[arg(long, conflicts_with_all = ["once", "dirty"])]
    look: bool,
    /// The directory for builds, logs and credentials [default: below $XDG_STATE_HOME/guild/up]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The address on which to serve pages; port 0 means any free one. Everybody who can reach it sees everything
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    web: String,
    /// The address on which to serve RPC; port 0 means any free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: String,
}

/// The reason why `up` ended without an outcome.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Install(#[from] InstallError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Client(#[from] client::Error),
    #[error("failed to fetch what is to be built: {0}")]
    Fetch(#[from] GitError),
    #[error("{0}")]
    Snapshot(#[from] snapshot::SnapshotError),
    #[error("the worker process {0}")]
    Worker(String),
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
}

impl UpError {
    fn io(what: impl std::fmt::Display) -> impl FnOnce(std::io::Error) -> UpError {
        let what = what.to_string();
        move |source| UpError::Io { what, source }
    }

    fn exit_code(&self) -> u8 {
        match self {
            UpError::Usage(_) | UpError::Snapshot(_) => 2,
            UpError::Client(error) => error.exit_code(),
            UpError::Install(_) | UpError::Run(_) | UpError::Fetch(_) | UpError::Worker(_) | UpError::Io { .. } => 4,
        }
    }
}

/// Resolves at SIGINT or SIGTERM.
pub async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be awaited");
    let mut interrupt = signal(SignalKind::interrupt()).expect("signals can be awaited");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

pub fn main(arguments: UpArguments) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime can be made");
    match tokio::task::LocalSet::new().block_on(&runtime, up(arguments)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            shown::tell(&format!("guild-master up: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}

async fn up(arguments: UpArguments) -> Result<u8, UpError> {
    let checkout = Checkout::look(&arguments.repo)?;
    let state = match &arguments.state {
        Some(state) => state.clone(),
        None => default_state(&checkout)?,
    };
    let target = Target::of(&checkout, arguments.dirty)?;
    let once = arguments.once || arguments.dirty;
    let inferred = if arguments.look {
        None
    } else {
        say_what(&checkout, &target);
        infer(&checkout, &target)?
    };
    let listener = crate::listen(&arguments.listen).await?;
    let address = listener.local_addr().map_err(UpError::io("the RPC port"))?.to_string();
    let mut config = config(&checkout, &state, &address, inferred, once || arguments.look);
    (config.listen.web, config.listen.web_is_open) = (Some(arguments.web.clone()), true);
    let caps = Credentials::prepare(&state, &address).await?;
    let master = crate::open(config, listener).await?;
    let parts = master.parts.clone();
    if let Some(pages) = master.pages().filter(|_| !once) {
        tell(&format!("pages: {pages}/"));
    }
    let serving = tokio::task::spawn_local(serve(master));
    let guild = Guild::connect(caps.operator.clone(), caps.identity.clone()).await?;
    if arguments.look {
        return look(&checkout, &caps, serving).await;
    }
    let mut worker = worker::Worker::start(&state, &caps).await?;
    let _registered = register(&checkout, &caps);
    let result = tokio::select! {
        result = follow::follow(&parts, &guild, &checkout, once.then_some(&target)) => result,
        why = worker.ended() => Err(UpError::Worker(why)),
        () = stop_signal() => Ok(FollowEnd::Stopped),
        result = serving => Err(serving_ended(result)),
    };
    worker.stop().await;
    match result? {
        FollowEnd::Outcome(outcome) => Ok(u8::try_from(outcome.exit_code()).unwrap_or(4)),
        FollowEnd::Stopped => Ok(130),
    }
}

/// Makes the commands in this repository use this master, until the returned registration is dropped.
fn register(checkout: &Checkout, caps: &Credentials) -> Option<client::context::Registration> {
    match client::context::register(&checkout.top, &caps.operator_file, &caps.identity_file) {
        Ok(registration) => Some(registration),
        Err(error) => {
            let cap = caps.operator_file.display();
            tell(&format!("`guild` finds this master only with --cap {cap}: {error}"));
            None
        }
    }
}

/// Serves the builds of earlier runs. Nothing runs, because there is no worker.
async fn look(
    checkout: &Checkout,
    caps: &Credentials,
    serving: tokio::task::JoinHandle<Result<(), RunError>>,
) -> Result<u8, UpError> {
    let _registered = register(checkout, caps);
    tell(
        "shows the builds that were made here, and builds nothing; stop it with ctrl-c. `guild list`, `guild logs` work now.",
    );
    tokio::select! {
        () = stop_signal() => Ok(130),
        result = serving => Err(serving_ended(result)),
    }
}

/// The way in which the following of builds ended.
enum FollowEnd {
    Outcome(Outcome),
    Stopped,
}

async fn serve(master: Master) -> Result<(), RunError> {
    master.serve(std::future::pending()).await
}

fn serving_ended(result: Result<Result<(), RunError>, tokio::task::JoinError>) -> UpError {
    match result {
        Ok(Err(error)) => error.into(),
        Ok(Ok(())) => UpError::Worker("outlived its master".to_owned()),
        Err(error) => UpError::Io { what: "the master's task ended".to_owned(), source: std::io::Error::other(error) },
    }
}

/// Returns the configuration with one project. With `--once` no ref is polled, because `up` itself asks for a build of HEAD. The pipeline
/// decides which of the new tags are built.
fn config(checkout: &Checkout, state: &Path, address: &str, inferred: Option<String>, once: bool) -> Config {
    let mut config = Config::standalone(state, address);
    let (branches, tags) = match (&checkout.branch, once) {
        (Some(branch), false) => (vec![branch.clone()], vec![ALL_TAGS.to_owned()]),
        (Some(_) | None, _) => (Vec::new(), Vec::new()),
    };
    let mut project = ProjectConfig::of(checkout.top.to_string_lossy().into_owned());
    (project.branches, project.tags) = (branches, tags);
    project.poll = POLL;
    project.inferred = inferred;
    config.projects = BTreeMap::from([(checkout.name.clone(), project)]);
    config
}

/// The credentials with which this process and its worker connect to the master.
pub(crate) struct Credentials {
    operator: SturdyRef,
    operator_file: PathBuf,
    identity: Rc<Identity>,
    identity_file: PathBuf,
    worker_join: PathBuf,
}

impl Credentials {
    /// Loads the credentials of an earlier `up` in this state directory, or issues them. Corrects their address, because the port may
    /// have changed.
    async fn prepare(state: &Path, address: &str) -> Result<Credentials, UpError> {
        let master = installation::identity(state)?;
        let operator_file = state.join("operator.cap");
        let identity_file = state.join("client.key");
        let identity = Identity::load_or_create(&identity_file).map_err(InstallError::from)?;
        let worker_join = state.join("worker.join");
        let reference =
            |token| SturdyRef { fingerprint: master.fingerprint(), addresses: vec![address.to_owned()], token };
        if operator_file.exists() {
            for file in [&operator_file, &state.join("worker").join(::worker::CREDENTIAL_FILE), &worker_join] {
                readdress(file, address)?;
            }
        } else {
            let issued = issue(state, &identity).await?;
            reference(issued.worker_join).save(&worker_join).map_err(UpError::io(worker_join.display()))?;
            // written last, because its presence means that everything else is there
            reference(issued.operator).save(&operator_file).map_err(UpError::io(operator_file.display()))?;
        }
        let operator = SturdyRef::load(&operator_file).map_err(|error| UpError::Usage(error.to_string()))?;
        Ok(Credentials { operator, operator_file, identity: Rc::new(identity), identity_file, worker_join })
    }
}

struct Issued {
    operator: schema::sturdy_ref::Token,
    worker_join: schema::sturdy_ref::Token,
}

/// Issues a join credential for a worker, and an operator's grant, which the key of this process redeems at once.
async fn issue(state: &Path, identity: &Identity) -> Result<Issued, UpError> {
    let store = crate::keep::store::Store::open(state).map_err(InstallError::from)?;
    let clock = crate::config::clock::Clock::system();
    let issued = installation::first_credentials(&store, &clock, identity.fingerprint()).await?;
    Ok(Issued { operator: issued.0, worker_join: issued.1 })
}

fn readdress(file: &Path, address: &str) -> Result<(), UpError> {
    if !file.exists() {
        return Ok(());
    }
    let mut reference = SturdyRef::load(file).map_err(|error| UpError::Usage(error.to_string()))?;
    reference.addresses = vec![address.to_owned()];
    reference.save(file).map_err(UpError::io(file.display()))
}

fn default_state(checkout: &Checkout) -> Result<PathBuf, UpError> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let base = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| home.map(|home| home.join(".local/state")));
    let base = base.ok_or_else(|| UpError::Usage("neither HOME nor XDG_STATE_HOME is set: use --state DIR".into()))?;
    let hash = blake3::hash(checkout.top.as_os_str().as_encoded_bytes());
    Ok(base.join("guild/up").join(format!("{}-{}", checkout.name, &hash.to_hex()[..8])))
}

/// Guesses a pipeline if the repository has none. The guess is shown and not written.
fn infer(checkout: &Checkout, target: &Target) -> Result<Option<String>, UpError> {
    if target.has_pipeline {
        return Ok(None);
    }
    let Some(inferred) = pipeline::infer(&checkout.top) else {
        let text = "there is no guild.toml, and no file here says how to build the project: write a guild.toml, as docs/pipeline.md shows";
        return Err(UpError::Usage(text.to_owned()));
    };
    let whose = if target.is_dirty() { "in these files" } else { "in this commit" };
    tell(&format!("there is no guild.toml {whose}. Guessed from {} (`guild init` saves it):", inferred.saw));
    inferred.text.lines().for_each(|line| tell(&format!("    {line}")));
    Ok(Some(inferred.text))
}

fn say_what(checkout: &Checkout, target: &Target) {
    let branch = checkout.branch.as_deref().unwrap_or("HEAD");
    let short = ShortCommit::of(&checkout.head);
    tell(&format!("{} {} {short} \"{}\"", checkout.name, branch, checkout.subject));
    target.told(checkout.uncommitted).iter().for_each(|line| tell(line));
}

/// Prints progress and hints to standard error, a line at a time.
fn tell(text: &str) {
    shown::tell(&shown::line(text));
}
