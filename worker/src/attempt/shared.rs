//! The state that all attempts of a worker share. `program::run` makes it. The runner and all code that looks at attempts use it.

use crate::attempt::ledger::Ledger;
use crate::attempt::troubles::Troubles;
use crate::disk::free::FULL_BELOW;
use crate::disk::spares::Spares;
use crate::process::environment::HostEnvironment;
use crate::process::world::World;
use crate::workspace::checkout::Stores;
use schema::values::{Assignment, StepBounds, Tier};
use std::path::{Path, PathBuf};
use tokio::sync::watch;

/// The state that all attempts of a worker share: their directories, their sources, their bounds, and the ledger that holds them.
pub(crate) struct AttemptShared {
    /// The clock, the machine and the connection to the master, which a simulation replaces.
    pub(crate) world: World,
    /// The directory of the worker's state.
    pub(crate) state: PathBuf,
    /// The directory of all workspaces.
    pub(crate) workspaces: PathBuf,
    /// The repositories from which trees are checked out.
    pub(crate) stores: Stores,
    /// The part of a step's environment that comes from this machine.
    pub(crate) host_environment: HostEnvironment,
    /// The tiers of isolation that were tried and that work, the weakest first.
    pub(crate) tiers: Vec<Tier>,
    /// How long a step runs on without its worker, in milliseconds.
    pub(crate) orphan_ms: u64,
    /// The time from TERM to KILL, in milliseconds.
    pub(crate) grace_ms: u64,
    /// The limit for the output of a step that is kept, in bytes.
    pub(crate) output_max: u64,
    /// The limits for the processes, the memory and the open files of one step.
    pub(crate) bounds: StepBounds,
    /// Whether the previous worker process was killed. If so, a step may have killed it together with its supervisor.
    pub(crate) was_killed: bool,
    /// The ledger of the attempts.
    pub(crate) ledger: Ledger,
    /// Whether the state directory is known to be this worker's own: its home is noted there, or a master has let this process in.
    /// Until then, the remains of an earlier process may belong to another worker.
    pub(crate) is_ours: watch::Sender<bool>,
    /// The troubles that a person should mend on this machine.
    pub(crate) troubles: Troubles,
    /// Directories for temporary files, which are used again.
    pub(crate) scratch: Spares,
}

impl AttemptShared {
    /// Returns the tier in which the steps of an assignment run, or why they cannot run here. An older master names no tier; then the
    /// strongest one is used.
    pub(crate) fn tier_of(&self, assignment: &Assignment) -> Result<Tier, String> {
        let Some(named) = &assignment.isolation else {
            return self.tiers.last().copied().ok_or_else(|| "this worker offers no tier of isolation".to_owned());
        };
        let offered = named.known().filter(|tier| self.tiers.contains(tier));
        offered.ok_or_else(|| format!("its steps need isolation `{named}`, which this worker does not offer"))
    }

    /// Adds to the reason of a failure that a disk is full, if one is, because programs report a full disk in many different ways.
    pub(crate) fn with_lack_of_room(&self, why: String) -> String {
        match self.first_below(FULL_BELOW) {
            Some((full, _)) => format!("{why}; the disk of {} is full", full.display()),
            None => why,
        }
    }

    /// Returns the first directory of the worker whose disk has fewer free bytes than `bytes`, with the number of its free bytes.
    pub(crate) fn first_below(&self, bytes: u64) -> Option<(&Path, u64)> {
        let found =
            [&self.state, &self.workspaces].map(|dir| Some((dir.as_path(), self.world.machine.free_bytes(dir)?)));
        found.into_iter().flatten().find(|(_, free)| *free < bytes)
    }
}
