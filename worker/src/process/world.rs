//! The surroundings of a worker beside its files: the time, the way to its master, and the machine that runs its steps. The product
//! uses [`World::real`], and a simulation brings its own.

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

/// The surroundings of a worker: those of the product, or those of a simulation.
pub struct World {
    pub clock: Box<dyn Clock>,
    pub net: Box<dyn Net>,
    pub machine: Arc<dyn Machine>,
    /// The place for work that may block.
    pub blocking: BlockingWork,
}

impl World {
    /// `program`: a binary that answers to [`crate::SUPERVISE`].
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

/// The clocks. Both are the same for all processes of a machine.
pub trait Clock {
    /// The clock of leases and limits, which nobody can set.
    fn now(&self) -> Moment;
    /// The wall clock, for people.
    fn wall(&self) -> Time;
    /// A text that is another one after each start of the machine, with which `now` begins anew. Empty means that it cannot be
    /// said.
    fn boot(&self) -> String;
}

/// The way to the master.
pub trait Net {
    /// A stream to the master that a credential names, each end knowing the other's key.
    fn dial<'a>(
        &'a self,
        credential: &'a SturdyRef,
        identity: &'a Identity,
    ) -> LocalBoxFuture<'a, Result<Box<dyn Stream>, VatError>>;
}

/// Runs steps under supervisors that outlive the worker. What both write down is in [`supervisor::StepFiles`].
pub trait Machine: Send + Sync {
    /// Starts a supervisor for a step, and answers the line to it.
    fn start(&self, dir: &Path, step: u16, order: &Order) -> io::Result<Box<dyn Stream>>;
    /// Another line to the supervisor of a step, which takes the place of the earlier one.
    fn connect(&self, dir: &Path, step: u16) -> io::Result<Box<dyn Stream>>;
    /// Tries a tier of isolation. An error says why the tier is not to be offered. A machine of a simulation gives every tier.
    fn probe(&self, _tier: Tier) -> Result<(), String> {
        Ok(())
    }
    /// Tries whether a step can be held to its limits. An error says why not.
    fn probe_bounds(&self) -> Result<(), String> {
        Ok(())
    }
    /// Makes ahead of the first step what takes long. Blocks as long as that takes.
    fn settle_in(&self) {}
    /// From here on, what a supervisor that was killed leaves behind comes to this process, whatever its environment.
    fn adopt(&self) {}
    /// Kills every process with this in its environment, and what was adopted; says how many could not be killed.
    fn kill_marked(&self, mark: &str) -> usize;
    /// Kills what was adopted; says how much of it could not be killed.
    fn kill_adopted(&self) -> usize {
        0
    }
    /// Names of the attempts of which a supervisor or a step lives on this machine.
    fn living(&self) -> BTreeSet<String>;
    /// How many bytes are free on the disk of a path, or of the nearest directory above it that exists. `None` means that it
    /// cannot be said.
    fn free_bytes(&self, place: &Path) -> Option<u64>;
    /// Why no file can be written in a directory. `None` means that one can be, or somebody has to make room for it. The disk of
    /// a simulation is full at times, and never broken.
    fn write_error(&self, _place: &Path) -> Option<io::Error> {
        None
    }
}

/// The place for work on files that may block for long.
#[derive(Clone, Copy, Debug)]
pub enum BlockingWork {
    /// Work on the threads of the runtime, so that the worker goes on meanwhile.
    Threads,
    /// At once, in the calling task, because a simulation's clock would run ahead of a thread.
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
    /// A binary that answers to [`crate::SUPERVISE`].
    program: PathBuf,
    /// Whether this process is the one to which orphans come.
    adopts: AtomicBool,
    /// Held while processes are killed. What forks all the time is only caught by one thread that has the machine to itself,
    /// because several at once would slow each other.
    killing: Mutex<()>,
    spawner: Mutex<SupervisorSpawner>,
}

impl Processes {
    fn spawner(&self) -> MutexGuard<'_, SupervisorSpawner> {
        self.spawner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock that is held while processes are found and killed.
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
            Err(error) => tracing::warn!(%error, "what a killed supervisor leaves is found by its environment only"),
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
