//! Guild's worker: takes jobs from a master, runs their steps under supervisors that outlive it, and ships their logs.
//! Decides nothing about builds: each lease brings the job to run, and its result goes back.
//!
//! Its rooms, each of which uses those below it and none above it:
//!
//! | room | content |
//! | --- | --- |
//! | `program` | the commands, the worker's life from start to end, housekeeping, the control socket |
//! | `session` | one connection to the master: connect, take, renew, resume |
//! | `worker_shared` | the state that the rooms above share |
//! | `attempt` | one attempt: the ledger, the next step, the runner, its output, its reports |
//! | `workspace` | the directory of a job, and its checkout from the master's source |
//! | `config` | `worker.toml` |
//! | `process` | a step's process: environment, isolation, supervisor, and the world that a simulation replaces |
//! | `disk` | files and directories: written whole, private, used again, removed |
//!
//! The main path: [`cli`] -> [`run`] -> `session` (connect, take, resume) -> `attempt::runner` (one attempt; `attempt::next`
//! says the next step) -> `workspace::checkout`, `process::supervised` -> [`supervisor`] (a process beside each step);
//! `attempt::report` and `attempt::output` tell the master. `attempt::ledger` holds all attempts, in memory and on disk.

mod attempt;
mod config;
mod disk;
mod process;
mod program;
mod session;
mod worker_shared;
pub mod workspace;

/// The function that `tests/fuzz` calls.
#[cfg(feature = "fuzz")]
pub mod fuzz {
    /// Takes up an attempt from the bytes of its files, and returns the number of steps that it went through. `None` means that the
    /// attempt is not taken up, or that one of its steps has no end.
    pub fn take_up(offer: &[u8], halt: &[u8], cleanup: &[u8], orders: &[&[u8]]) -> Option<usize> {
        crate::attempt::ledger::fuzz::take_up(offer, halt, cleanup, orders)
    }
}

pub use config::keys::WORKER_TOML;
pub use config::{CREDENTIAL_FILE, Config, ConfigError};
pub use process::supervisor::{SUPERVISE, supervise_main};
pub use process::{supervisor, world};
pub use program::cli::{cli, command};
pub use program::run::{Ended, RunError, Shutdown, run, run_in};
pub use workspace::{checkout, git};
