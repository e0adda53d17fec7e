//! The state that all attempts of a worker share. The entry point makes it, and the runner and all who look at the attempts use it.

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
    /// The clock, the machine and the way to the master, which a simulation replaces.
    pub(crate) world: World,
    /// The directory of the worker's state.
    pub(crate) state: PathBuf,
    /// The directory of all workspaces.
    pub(crate) workspaces: PathBuf,
    /// The repositories from which trees are checked out.
    pub(crate) stores: Stores,
    /// The part of a step's environment that comes from this machine.
    pub(crate) host_environment: HostEnvironment,
    /// The tiers of isolation that were tried and work, the weakest first.
    pub(crate) tiers: Vec<Tier>,
    /// How long a step runs on without its worker, in milliseconds.
    pub(crate) orphan_ms: u64,
    /// The time from TERM to KILL, in milliseconds.
    pub(crate) grace_ms: u64,
    /// The most output of a step that is kept, in bytes.
    pub(crate) output_max: u64,
    /// The most processes, memory and files that one step may use.
    pub(crate) bounds: StepBounds,
    /// Whether the process before this one was killed, so that what was ended with it was perhaps ended by a step.
    pub(crate) was_killed: bool,
    /// The ledger of the attempts.
    pub(crate) ledger: Ledger,
    /// Whether the state directory is known to be this worker's own: its home is noted there, or a master has let this process
    /// in. Before that, what an earlier process left may be another worker's.
    pub(crate) is_ours: watch::Sender<bool>,
    /// The troubles that somebody should mend on this machine.
    pub(crate) troubles: Troubles,
    /// Directories for temporary files, which are used again.
    pub(crate) scratch: Spares,
}

impl AttemptShared {
    /// The tier in which the steps of an assignment run, or why they cannot run here. An older master names none.
    pub(crate) fn tier_of(&self, assignment: &Assignment) -> Result<Tier, String> {
        let Some(named) = &assignment.isolation else {
            return self.tiers.last().copied().ok_or_else(|| "this worker offers no tier of isolation".to_owned());
        };
        let offered = named.known().filter(|tier| self.tiers.contains(tier));
        offered.ok_or_else(|| format!("its steps need isolation `{named}`, which this worker does not offer"))
    }

    /// Why something failed, and that a disk is full if one is, because what fails on it says so in words of many kinds.
    pub(crate) fn with_lack_of_room(&self, why: String) -> String {
        match self.first_below(FULL_BELOW) {
            Some((full, _)) => format!("{why}; the disk of {} is full", full.display()),
            None => why,
        }
    }

    /// The first of the worker's directories on whose disk fewer bytes are free than these, and how many are.
    pub(crate) fn first_below(&self, bytes: u64) -> Option<(&Path, u64)> {
        let found =
            [&self.state, &self.workspaces].map(|dir| Some((dir.as_path(), self.world.machine.free_bytes(dir)?)));
        found.into_iter().flatten().find(|(_, free)| *free < bytes)
    }
}
