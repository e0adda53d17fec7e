//! The arguments of the program `guild-master`, as they are declared.

use crate::program::up;
use clap::{CommandFactory as _, Parser, Subcommand};
use schema::manual::OfItself;
use std::path::PathBuf;
use system::systemd::unit::Instance;

/// The master of a Guild. It takes changes, plans builds, gives jobs to workers and keeps the results.
#[derive(Parser)]
#[command(name = "guild-master", version)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Build a repository on this machine, with master, worker and pages in one command and nothing to set up
    Up(up::UpArguments),
    /// Make a lasting installation in DIR, with a one-use operator credential
    Init {
        /// The directory for the master file and the data of the master; it is made if it does not exist
        dir: PathBuf,
        /// The address at which workers and people reach this master
        #[arg(long, value_name = "HOST:PORT")]
        advertise: String,
        /// The address on which to serve workers and people [default: 0.0.0.0 and the port of --advertise, so that other machines
        /// can reach it]
        #[arg(long, value_name = "ADDR")]
        listen: Option<String>,
        /// The address on which to serve pages, in plain HTTP [default: no pages]
        #[arg(long, value_name = "ADDR")]
        web: Option<String>,
        /// The address at which browsers reach the pages, for example through a proxy
        #[arg(long, value_name = "URL")]
        url: Option<String>,
        /// Also write a systemd unit that runs the master [default: `system` for root, else `user`]
        #[arg(long, value_name = "system|user", num_args = 0..=1, require_equals = true)]
        unit: Option<Option<Instance>>,
    },
    /// Run the master in the foreground
    Run {
        /// The master file
        #[arg(long, value_name = "FILE", default_value = "master.toml")]
        config: PathBuf,
    },
    /// Check the master file for errors
    Check {
        /// The master file
        #[arg(long, value_name = "FILE", default_value = "master.toml")]
        config: PathBuf,
    },
    /// Send one mail through the mail server of the master file, to see whether notices will arrive
    TestMail {
        /// The master file
        #[arg(long, value_name = "FILE", default_value = "master.toml")]
        config: PathBuf,
        /// The address to which to send the mail
        to: String,
    },
    /// Make a new one-use operator credential while the master does not run
    OperatorCap {
        /// The master file
        #[arg(long, value_name = "FILE", default_value = "master.toml")]
        config: PathBuf,
        /// The file to write
        #[arg(short, long, value_name = "FILE", default_value = "operator.cap")]
        output: PathBuf,
    },
    /// Save the master in one file: builds, grants, logs, its key and the project files beside the master file; the master may
    /// run meanwhile
    Backup {
        /// The master file
        #[arg(long, value_name = "FILE", default_value = "master.toml")]
        config: PathBuf,
        /// Save even if logs or stored files are damaged, and say which; without this option, damage prevents the backup
        #[arg(long)]
        accept_damage: bool,
        /// The file to write; keep it as safe as the master's own key
        file: PathBuf,
    },
    /// Restore a backup into the state directory that the master file names, on this machine or another one
    Restore {
        /// The master file
        #[arg(long, value_name = "FILE", default_value = "master.toml")]
        config: PathBuf,
        /// The file that `backup` wrote
        file: PathBuf,
    },
    /// Begin again in a state directory whose store was lost: set its files aside, and keep only the master's key
    BeginAnew {
        /// The master file
        #[arg(long, value_name = "FILE", default_value = "master.toml")]
        config: PathBuf,
        /// Go on with the store in the state directory, as after a restore, although it is older or belongs to another master
        #[arg(long)]
        keep_store: bool,
    },
    #[command(flatten)]
    OfItself(OfItself),
}

pub fn command() -> clap::Command {
    Arguments::command()
}
