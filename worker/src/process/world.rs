//! The surroundings of a worker beside its files: the time, the connection to its master, and the machine that runs its steps. The
//! product uses [`World::real`], and a simulation brings its own.

use crate::disk::free;
use crate::process::environment::ATTEMPT;
use crate::process::isolation::descent;
use crate::process::spawner::SupervisorSpawner;
use crate::process::supervisor::{self, Moment, Order};
use futures::future::LocalBoxFuture;
use schema::identity::Identity;
use schema::sturdy_ref::SturdyRef;
use schema::values::{Tier, Time};
use schema::vat::{self, VatError};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

/// Any two-way stream of bytes.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// The surroundings of a worker, in the product or in a simulation.
pub struct World {
    pub clock: Box<dyn Clock>,
    pub net: Box<dyn Net>,
    pub machine: Arc<dyn Machine>,
    /// The way to run work that may block.
    pub blocking: BlockingWork,
}

impl World {
    /// Makes the world of the product. `program` is a binary that answers to [`crate::SUPERVISE`].
    pub fn real(program: PathBuf) -> World {
        World {
            clock: Box::new(BootClock),
            net: Box::new(Tls),
            machine: Arc::new(Processes {
                program: program.clone(),
                adopts: AtomicBool::new(false),
                killing: Mutex::new(()),
                spawner: Mutex::new(SupervisorSpawner::new(program)),
            }),
            blocking: BlockingWork::Threads,
        }
    }
}

/// The clocks of a worker. Both show the same time to all processes of a machine.
pub trait Clock {
    /// The clock of leases and limits, which nobody can set.
    fn now(&self) -> Moment;
    /// The wall clock, for people.
    fn wall(&self) -> Time;
    /// Returns an id of the machine's boot. `now` begins anew with each boot. An empty id means that the machine does not tell it.
    fn boot(&self) -> String;
}

/// The network between a worker and its master.
pub trait Net {
    /// Opens a stream to the master that a credential names. Each end has checked the other's key.
    fn dial<'a>(
        &'a self,
        credential: &'a SturdyRef,
        identity: &'a Identity,
    ) -> LocalBoxFuture<'a, Result<Box<dyn Stream>, VatError>>;
}

/// Runs steps under supervisors that outlive the worker. The files that both write are in [`supervisor::StepFiles`].
pub trait Machine: Send + Sync {
    /// Starts a supervisor for a step, and returns the connection to it.
    fn start(&self, dir: &Path, step: u16, order: &Order) -> io::Result<Box<dyn Stream>>;
    /// Opens another connection to the supervisor of a step, which replaces the earlier one.
    fn connect(&self, dir: &Path, step: u16) -> io::Result<Box<dyn Stream>>;
    /// Tries a tier of isolation. An error says why the worker must not offer the tier. A machine of a simulation gives every tier.
    fn probe(&self, _tier: Tier) -> Result<(), String> {
        Ok(())
    }
    /// Tries whether this machine can hold a step to its limits. An error says why not.
    fn probe_bounds(&self) -> Result<(), String> {
        Ok(())
    }
    /// Prepares ahead of the first step whatever takes long, such as a scope. Blocks until that is done.
    fn settle_in(&self) {}
    /// Makes this process the parent of what a killed supervisor leaves behind from here on, whatever environment that has.
    fn adopt(&self) {}
    /// Kills every process that has `mark` in its environment, and every adopted process. Returns how many could not be killed.
    fn kill_marked(&self, mark: &str) -> usize;
    /// Kills every adopted process. Returns how many could not be killed.
    fn kill_adopted(&self) -> usize {
        0
    }
    /// Returns the names of the attempts that have a living supervisor or step on this machine.
    fn living(&self) -> BTreeSet<String>;
    /// Returns the number of free bytes on the disk of a path, or of the nearest directory above it that exists. `None` means that the
    /// system does not say.
    fn free_bytes(&self, place: &Path) -> Option<u64>;
    /// Returns why no file can be written in a directory. `None` means that one can be written, or that the disk is only full. The disk
    /// of a simulation is full at times, and never broken.
    fn write_error(&self, _place: &Path) -> Option<io::Error> {
        None
    }
}

/// The way in which the worker runs work that may block for long.
#[derive(Clone, Copy, Debug)]
pub enum BlockingWork {
    /// The threads of the runtime do the work, so that the worker goes on meanwhile.
    Threads,
    /// The calling task does the work at once, because a simulation's clock would run ahead of a thread.
    Inline,
}

impl BlockingWork {
    pub(crate) async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        match self {
            BlockingWork::Threads => tokio::task::spawn_blocking(work).await.map_err(io::Error::other),
            BlockingWork::Inline => Ok(work()),
        }
    }

    /// Begins work that nobody waits for.
    pub(crate) fn begin(self, work: impl FnOnce() + Send + 'static) {
        match self {
            BlockingWork::Threads => drop(tokio::task::spawn_blocking(work)),
            BlockingWork::Inline => work(),
        }
    }
}

struct BootClock;

impl Clock for BootClock {
    fn now(&self) -> Moment {
        Moment::now()
    }

    fn wall(&self) -> Time {
        supervisor::wall()
    }

    fn boot(&self) -> String {
        system::boot::boot_id()
    }
}

struct Tls;

impl Net for Tls {
    fn dial<'a>(
        &'a self,
        credential: &'a SturdyRef,
        identity: &'a Identity,
    ) -> LocalBoxFuture<'a, Result<Box<dyn Stream>, VatError>> {
        Box::pin(async move {
            let secured = vat::dial(credential, Some(identity)).await?;
            Ok(Box::new(secured.stream) as Box<dyn Stream>)
        })
    }
}

/// The processes of this machine, as the product runs and ends them.
struct Processes {
    /// A program that becomes a supervisor if its first argument is [`crate::SUPERVISE`].
    program: PathBuf,
    /// Whether orphans become children of this process.
    adopts: AtomicBool,
    /// Held while processes are killed. Only one thread at a time kills, because several would slow each other, and processes that fork
    /// all the time would then get away.
    killing: Mutex<()>,
    spawner: Mutex<SupervisorSpawner>,
}

impl Processes {
    fn spawner(&self) -> MutexGuard<'_, SupervisorSpawner> {
        self.spawner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lock that is held while processes are found and killed.
    fn killing(&self) -> MutexGuard<'_, ()> {
        self.killing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Machine for Processes {
    fn start(&self, dir: &Path, step: u16, order: &Order) -> io::Result<Box<dyn Stream>> {
        let prepared = supervisor::prepare(dir, step, order)?;
        self.spawner().spawn(&prepared)?;
        over(prepared.line())
    }

    fn connect(&self, dir: &Path, step: u16) -> io::Result<Box<dyn Stream>> {
        over(supervisor::connect(dir, step)?)
    }

    fn probe(&self, tier: Tier) -> Result<(), String> {
        supervisor::probe(&self.program, tier, supervisor::PROBE_MAX)
    }

    fn probe_bounds(&self) -> Result<(), String> {
        supervisor::probe_bounds(&self.program, supervisor::PROBE_MAX)
    }

    fn settle_in(&self) {
        self.spawner().settle_in();
    }

    fn adopt(&self) {
        match rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
            Ok(()) => self.adopts.store(true, Ordering::Relaxed),
            Err(error) => tracing::warn!(%error, "only its environment shows what a killed supervisor leaves"),
        }
    }

    fn kill_marked(&self, mark: &str) -> usize {
        let marked = {
            let _guard = self.killing();
            descent::kill_marked(mark)
        };
        marked + self.kill_adopted()
    }

    fn kill_adopted(&self) -> usize {
        let _guard = self.killing();
        if self.adopts.load(Ordering::Relaxed) { descent::kill_adopted(supervisor::SUPERVISE) } else { 0 }
    }

    fn living(&self) -> BTreeSet<String> {
        let mut all = supervisor::listening();
        all.extend(descent::marks(ATTEMPT));
        all
    }

    fn free_bytes(&self, place: &Path) -> Option<u64> {
        let existing = place.ancestors().find(|path| path.exists())?;
        free::free_bytes(existing)
    }

    fn write_error(&self, place: &Path) -> Option<io::Error> {
        free::write_error(place)
    }
}

fn over(line: std::os::unix::net::UnixStream) -> io::Result<Box<dyn Stream>> {
    line.set_nonblocking(true)?;
    Ok(Box::new(UnixStream::from_std(line)?))
}
