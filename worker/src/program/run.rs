//! The worker as a function: takes up what an earlier process left, then connects again and again until somebody ends it. Makes the
//! state that all parts share, and starts each part.

use super::{control, housekeeping, service_notify};
use crate::attempt::ledger::Ledger;
use crate::attempt::next::Halt;
use crate::attempt::runner;
use crate::attempt::shared::AttemptShared;
use crate::attempt::troubles::Troubles;
use crate::config::{Config, STOP_GRACE};
use crate::disk::home::{self, Whose};
use crate::disk::private_dir::private_dir;
use crate::disk::serving::ServingMark;
use crate::disk::spares::Spares;
use crate::process::environment::HostEnvironment;
use crate::process::supervisor::milliseconds;
use crate::process::world::World;
use crate::session::{self, End};
use crate::worker_shared::{CANCEL_MAX, DiskReserve, WorkerShared};
use crate::workspace;
use crate::workspace::checkout::Stores;
use schema::identity::{Identity, IdentityError};
use schema::sturdy_ref::{CapFileError, SturdyRef};
use schema::values::{Description, StepBounds, Tier, TierName, TierProbe};
use std::fs::{File, TryLockError};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use system::chance;
use system::private_file;
use system::systemd;
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

/// The bounds of the pause before the next try to connect, in milliseconds. The pause begins with the first and doubles up to the
/// second. So a worker soon finds a master that comes back, and many workers do not overrun it.
const BACKOFF_MIN_MS: u64 = 500;
const BACKOFF_MAX_MS: u64 = 8_000;
/// How long the worker waits after the first signal for a second one, which cancels all steps. The wait is short because it delays
/// each ordinary restart.
const SECOND_SIGNAL: Duration = Duration::from_millis(100);

/// The pause between two tries to take the lock. A worker that was killed releases its lock a moment later.
const LOCK_PAUSE: Duration = Duration::from_millis(50);
/// The number of tries to take the lock, which last two seconds in all.
const LOCK_TRIES: u32 = 40;

/// Whether, and how, somebody outside asked the worker to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shutdown {
    #[default]
    No,
    /// The worker ends. Its steps run on under their supervisors, and the next worker process takes them up.
    HandOver,
    /// The worker ends all steps first, and then itself.
    Cancel,
}

/// The way in which the worker ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    Stopped,
    /// The worker was drained, and has finished its jobs.
    Drained,
    /// The master took the credential back, so the worker ended its steps. The text says why.
    Revoked(String),
}

/// Why the worker could not begin its work.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("another worker uses {}", .0.display())]
    InUse(PathBuf),
    #[error(transparent)]
    Credential(#[from] CapFileError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("{}: {cause}", path.display())]
    State { path: PathBuf, cause: io::Error },
}

/// Serves until somebody ends the worker. Needs a current-thread runtime with time and I/O.
pub async fn run(config: Config, shutdown: watch::Receiver<Shutdown>) -> Result<Ended, RunError> {
    let world = World::real(config.program.clone());
    LocalSet::new().run_until(run_in(world, config, shutdown)).await
}

/// Like [`run`], but in another world, such as that of a simulation. Needs a `LocalSet`.
pub async fn run_in(world: World, config: Config, mut shutdown: watch::Receiver<Shutdown>) -> Result<Ended, RunError> {
    let broken = |cause| RunError::State { path: config.state.clone(), cause };
    private_dir(&config.state).map_err(broken)?;
    private_file::close_and_tell(&config.state);
    let _lock = lock(&config).await?;
    let (_mark, was_killed) = ServingMark::set(&config.state, &world.clock.boot());
    let probes = try_tiers(&world, &config).await.map_err(broken)?;
    let bounds = try_bounds(&world, &config).await.map_err(broken)?;
    let worker = Rc::new(open(world, &config, config.description(probes, bounds), was_killed)?);
    let is_guarded = worker.shared.tiers.contains(&Tier::Guard);
    if is_guarded {
        worker.shared.world.machine.adopt();
    }
    let machine = worker.shared.world.machine.clone();
    let _ = worker.shared.world.blocking.run(move || machine.settle_in()).await;
    for entry in worker.shared.ledger.all() {
        tokio::task::spawn_local(runner::run(worker.shared.clone(), entry));
    }
    if *worker.shared.is_ours.borrow() {
        worker.shared.ledger.clear_leftovers(&worker.shared.world.machine).await;
    }
    let _control = control::serve(&worker).map_err(broken)?;
    tokio::task::spawn_local(housekeeping::keep(worker.shared.clone(), worker.reserve.clone()));
    tokio::task::spawn_local(housekeeping::look_at_disks(worker.shared.clone()));
    if is_guarded {
        tokio::task::spawn_local(housekeeping::end_orphans(worker.shared.clone()));
    }
    service_notify::begin(worker.attached.subscribe());
    let mut connecting = std::pin::pin!(stay_connected(&worker));
    tokio::select! {
        ended = &mut connecting => return Ok(conclude(&worker, ended).await),
        _ = wait_for(&mut shutdown, Shutdown::HandOver) => {}
    }
    systemd::stopping();
    worker.draining.send_replace(true);
    tokio::select! {
        ended = &mut connecting => return Ok(conclude(&worker, ended).await),
        _ = wait_for(&mut shutdown, Shutdown::Cancel) => {}
        () = sleep(SECOND_SIGNAL) => return Ok(Ended::Stopped),
    }
    tracing::info!("ending all steps");
    for entry in worker.shared.ledger.all() {
        entry.set_halt(Halt::CancelledNow("its worker was stopped".to_owned()));
    }
    let quiet = async {
        let mut changes = worker.shared.ledger.changes();
        while !worker.shared.ledger.all().iter().all(|entry| entry.is_idle()) && changes.changed().await.is_ok() {}
        // The session now reports the ends of the steps, if the master is still connected.
        if *worker.attached.borrow() {
            let _ = timeout(Duration::from_secs(1), connecting).await;
        }
    };
    let _ = timeout(CANCEL_MAX, quiet).await;
    Ok(Ended::Stopped)
}

/// Tries the tiers of isolation that this worker may offer, and logs which of them do not work.
async fn try_tiers(world: &World, config: &Config) -> io::Result<Vec<TierProbe>> {
    let (machine, config) = (world.machine.clone(), config.clone());
    let probes = world.blocking.run(move || config.probes(|tier| machine.probe(tier))).await?;
    for probe in &probes {
        if let Some(lack) = &probe.lack {
            tracing::warn!(tier = %probe.tier, %lack, "this tier of isolation is not offered");
        }
    }
    Ok(probes)
}

/// Tries whether the worker can hold steps to their limits on this machine.
async fn try_bounds(world: &World, config: &Config) -> io::Result<StepBounds> {
    let (machine, config) = (world.machine.clone(), config.clone());
    let bounds = world.blocking.run(move || config.probed_bounds(|| machine.probe_bounds())).await?;
    if let Some(lack) = &bounds.lack {
        tracing::warn!(%lack, "the worker cannot enforce all limits of steps");
    }
    Ok(bounds)
}

async fn conclude(worker: &WorkerShared, ended: Ended) -> Ended {
    if let Ended::Revoked(why) = &ended {
        tracing::error!(%why, "this worker's credential is no longer valid: ending every step");
        worker.end_all().await;
    }
    worker.shared.ledger.sweep().await;
    ended
}

/// Connects again and again, until the worker is drained or its credential is taken back.
async fn stay_connected(worker: &Rc<WorkerShared>) -> Ended {
    let mut backoff_ms = BACKOFF_MIN_MS;
    loop {
        let (was_attached, end) = session::connect(worker).await;
        if was_attached {
            backoff_ms = BACKOFF_MIN_MS;
        }
        match end {
            End::Revoked(why) => return Ended::Revoked(why),
            End::Drained => return Ended::Drained,
            End::Unreachable(error) => tracing::warn!(%error, "trying again"),
            End::Lost(why) => tracing::warn!(%why, "the connection is lost: trying again"),
            End::Refused(refusal) => tracing::error!(%refusal, help = %refusal.help, "refused: trying again"),
        }
        if *worker.draining.borrow() && worker.shared.ledger.is_empty() {
            return Ended::Drained;
        }
        tokio::select! {
            biased;
            () = sleep(Duration::from_millis(jittered(backoff_ms))) => {}
            why = worker.when_revoked() => return Ended::Revoked(why),
        }
        backoff_ms = (backoff_ms * 2).min(BACKOFF_MAX_MS);
    }
}

/// Opens the files of the state directory, and makes the state that the parts of a worker share.
fn open(world: World, config: &Config, description: Description, was_killed: bool) -> Result<WorkerShared, RunError> {
    let broken = |cause| RunError::State { path: config.state.clone(), cause };
    let credential = SturdyRef::load(&config.credential())?;
    let identity = Identity::load(&config.identity())?;
    let state = config.state.canonicalize().map_err(broken)?;
    let refused = |cause| RunError::State { path: config.workspaces.clone(), cause };
    let workspaces = workspace::root(&config.workspaces).map_err(refused)?;
    let home = home::find(&state, world.clock.boot());
    let whose = home::whose(&state, home.as_ref());
    let ledger = Ledger::open(&state, &workspaces, &world, whose == Whose::Copy).map_err(broken)?;
    let scratch = Spares::open(state.join("spare/tmp"), |_| false).map_err(broken)?;
    let shared = AttemptShared {
        state,
        scratch,
        workspaces,
        stores: Stores::new(&config.state.join("sources")).map_err(broken)?,
        host_environment: HostEnvironment::probe(&config.pass),
        tiers: description.isolation.iter().filter_map(TierName::known).collect(),
        orphan_ms: milliseconds(config.orphan_grace),
        grace_ms: milliseconds(STOP_GRACE),
        output_max: config.output_max,
        bounds: config.bounds.clone(),
        was_killed,
        troubles: Troubles::default(),
        ledger,
        is_ours: watch::Sender::new(whose == Whose::Own),
        world,
    };
    Ok(WorkerShared {
        shared: Rc::new(shared),
        description,
        identity,
        credential,
        instance: chance::bytes(),
        attached: watch::Sender::new(false),
        draining: watch::Sender::new(false),
        revoked: watch::Sender::new(None),
        home,
        reserve: DiskReserve::new(config.reserve),
    })
}

/// Takes the lock of the state directory. If another worker holds it, waits up to two seconds, because that worker may just have
/// been killed.
async fn lock(config: &Config) -> Result<File, RunError> {
    let path = config.state.join("lock");
    let opened = File::options().create(true).truncate(false).write(true).open(&path);
    let file = opened.map_err(|cause| RunError::State { path: path.clone(), cause })?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => sleep(LOCK_PAUSE).await,
            Err(TryLockError::Error(cause)) => return Err(RunError::State { path, cause }),
        }
    }
    Err(RunError::InUse(config.state.clone()))
}

async fn wait_for(shutdown: &mut watch::Receiver<Shutdown>, least: Shutdown) {
    if shutdown.wait_for(|now| *now >= least).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Returns a random time between half of `ms` and all of it. So the workers of a master that comes back do not all connect at once.
fn jittered(ms: u64) -> u64 {
    let half = ms / 2;
    half + chance::word() % (ms - half + 1)
}
