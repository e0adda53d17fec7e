//! What a worker stands on beside its files: the time, the way to its master, the machine that runs its steps. The product's
//! is [`World::real`]; a simulation brings its own.

use crate::disk;
use crate::environment::ATTEMPT;
use crate::isolation::descent;
use crate::supervisor::{self, Keeper, Moment, Nursery, Order, Prepared};
use futures::future::LocalBoxFuture;
use schema::identity::Identity;
use schema::sturdy_ref::SturdyRef;
use schema::values::Time;
use schema::vat::{self, VatError};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

/// A service manager that has not made a scope by then makes none.
const SCOPE_MAX: Duration = Duration::from_secs(5);

/// Any two-way stream of bytes.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

pub struct World {
    pub clock: Box<dyn Clock>,
    pub net: Box<dyn Net>,
    pub machine: Arc<dyn Machine>,
    pub hands: Hands,
}

impl World {
    /// `program`: a binary that answers to [`crate::SUPERVISE`].
    pub fn real(program: PathBuf) -> World {
        World {
            clock: Box::new(BootClock),
            net: Box::new(Tls),
            machine: Arc::new(Processes {
                program,
                adopts: AtomicBool::new(false),
                killing: Mutex::new(()),
                nest: Mutex::new(Nest { keeper: supervisor::keeper(), nursery: None }),
            }),
            hands: Hands::Threads,
        }
    }
}

/// The clocks. Both are the same for all processes of a machine.
pub trait Clock {
    /// Of leases and limits: nobody can set it.
    fn now(&self) -> Moment;
    /// For people.
    fn wall(&self) -> Time;
    /// Another text after each start of the machine, with which `now` begins anew. Empty: it cannot be said.
    fn boot(&self) -> String;
}

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
    /// Free on the disk of a place, in bytes. None: it cannot be said.
    fn free_bytes(&self, place: &Path) -> Option<u64>;
}

/// Where work on files that may take long is done.
#[derive(Clone, Copy, Debug)]
pub enum Hands {
    Threads,
    /// At once: a simulation's clock would run ahead of a thread.
    Own,
}

impl Hands {
    pub(crate) async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        match self {
            Hands::Threads => tokio::task::spawn_blocking(work).await.map_err(io::Error::other),
            Hands::Own => Ok(work()),
        }
    }

    /// Begins what nobody waits for.
    pub(crate) fn begin(self, work: impl FnOnce() + Send + 'static) {
        match self {
            Hands::Threads => drop(tokio::task::spawn_blocking(work)),
            Hands::Own => work(),
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
        schema::boot::boot_id()
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

struct Processes {
    program: PathBuf,
    adopts: AtomicBool,
    /// What forks all the time is only caught by one who has the machine to itself: many at once would slow each other.
    killing: Mutex<()>,
    nest: Mutex<Nest>,
}

/// Where supervisors come from.
struct Nest {
    /// None: there is none, or it makes no scopes.
    keeper: Option<Keeper>,
    /// None: not yet, or no longer.
    nursery: Option<Nursery>,
}

impl Processes {
    /// Has the nursery make a supervisor, with a new one where the last has gone.
    fn nurse(&self, prepared: &Prepared<'_>) -> io::Result<()> {
        let mut nest = self.nest();
        if let Some(nursery) = nest.nursery.as_ref()
            && prepared.ask(nursery).is_ok()
        {
            return Ok(());
        }
        let fresh = self.nursery(&mut nest)?;
        prepared.ask(nest.nursery.insert(fresh))
    }

    fn nest(&self) -> MutexGuard<'_, Nest> {
        self.nest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new one, in a scope of its own where that can be had.
    fn nursery(&self, nest: &mut Nest) -> io::Result<Nursery> {
        if let Some(keeper) = nest.keeper {
            match self.nursery_in(keeper) {
                Ok(fresh) => return Ok(fresh),
                Err(error) => {
                    tracing::warn!(%error, "systemd-run makes no scope: steps run in the worker's own unit");
                    nest.keeper = None;
                }
            }
        }
        let (command, fresh) = Nursery::command(&self.program)?;
        // it is reaped by the runtime
        tokio::process::Command::from(command).spawn()?;
        Ok(fresh)
    }

    fn nursery_in(&self, keeper: Keeper) -> io::Result<Nursery> {
        let (command, fresh) = Nursery::command_in(keeper, &self.program)?;
        let mut command = tokio::process::Command::from(command);
        command.spawn()?;
        // what it was given is held by nobody else, so that its end can be seen
        drop(command);
        fresh.wait(SCOPE_MAX)?;
        Ok(fresh)
    }
}

impl Machine for Processes {
    fn start(&self, dir: &Path, step: u16, order: &Order) -> io::Result<Box<dyn Stream>> {
        let prepared = supervisor::prepare(dir, step, order)?;
        if let Err(error) = self.nurse(&prepared) {
            tracing::warn!(%error, "there is no nursery: a supervisor is started by itself");
            // it is reaped by the runtime, and lives on when this process ends
            tokio::process::Command::from(prepared.command(&self.program)?).spawn()?;
        }
        over(prepared.line())
    }

    fn connect(&self, dir: &Path, step: u16) -> io::Result<Box<dyn Stream>> {
        over(supervisor::connect(dir, step)?)
    }

    fn settle_in(&self) {
        let mut nest = self.nest();
        // without a scope it costs so little that it can wait until it is wanted
        if nest.keeper.is_none() || nest.nursery.is_some() {
            return;
        }
        match self.nursery(&mut nest) {
            Ok(fresh) => nest.nursery = Some(fresh),
            Err(error) => tracing::warn!(%error, "there is no nursery yet"),
        }
    }

    fn adopt(&self) {
        match rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
            Ok(()) => self.adopts.store(true, Ordering::Relaxed),
            Err(error) => tracing::warn!(%error, "what a killed supervisor leaves is found by its environment only"),
        }
    }

    fn kill_marked(&self, mark: &str) -> usize {
        let marked = {
            let _turn = self.killing.lock().unwrap_or_else(PoisonError::into_inner);
            descent::kill_marked(mark)
        };
        marked + self.kill_adopted()
    }

    fn kill_adopted(&self) -> usize {
        let _turn = self.killing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.adopts.load(Ordering::Relaxed) { descent::kill_adopted(supervisor::SUPERVISE) } else { 0 }
    }

    fn living(&self) -> BTreeSet<String> {
        let mut all = supervisor::listening();
        all.extend(descent::marks(ATTEMPT));
        all
    }

    fn free_bytes(&self, place: &Path) -> Option<u64> {
        let existing = place.ancestors().find(|path| path.exists())?;
        disk::free_bytes(existing)
    }
}

fn over(line: std::os::unix::net::UnixStream) -> io::Result<Box<dyn Stream>> {
    line.set_nonblocking(true)?;
    Ok(Box::new(UnixStream::from_std(line)?))
}
