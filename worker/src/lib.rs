//! Guild's worker: takes jobs from a master, runs their steps under supervisors that outlive it, and ships their logs.
//! Decides nothing about builds: what to run comes with each lease, and what became of it goes back.
//!
//! The main path: [`cli`] -> [`run`] -> `session` (connect, take, resume) -> `runner` (one attempt; `attempt` says the
//! next step) -> `checkout`, `process` -> [`supervisor`] (a process beside each step); `report` and `output` tell the master.
//! `ledger` is what is in hand, in memory and on disk.

mod atomic_file;
mod attempt;
mod attempt_shared;
pub mod checkout;
mod cli;
mod config;
mod control;
mod disk;
mod environment;
mod files;
pub mod git;
mod home;
mod housekeeping;
mod isolation;
mod ledger;
mod output;
mod private_dir;
mod process;
mod removal;
mod report;
mod run;
mod runner;
mod service_notify;
mod session;
mod shared;
mod spares;
mod spawner;
pub mod supervisor;
mod systemd_unit;
pub mod workspace;
pub mod world;

pub use cli::{cli, command};
pub use config::keys::WORKER_TOML;
pub use config::{CREDENTIAL_FILE, Config, ConfigError};
pub use isolation::Tier;
pub use run::{Ended, RunError, Shutdown, run, run_in};
pub use supervisor::{SUPERVISE, supervise_main};
