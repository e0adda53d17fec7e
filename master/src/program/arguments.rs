//! The arguments of the program `guild-master`, as they are declared.

use crate::program::up;
use clap::{CommandFactory as _, Parser, Subcommand};
use schema::manual::OfItself;
use std::path::PathBuf;
use system::systemd::unit::Instance;

/// The master of a Guild: takes changes, plans builds, hands jobs to workers, keeps what came of them.
#[derive(Parser)]
#[command(name = "guild-master", version)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Build a repository on this machine: master, worker and page in one command, nothing to set up
    Up(up::UpArguments),
    /// Make a lasting installation in DIR, with a one-use operator credential
    Init {
        /// A directory for the master file and all that the master keeps; made where there is none
        dir: PathBuf,
        /// Where workers and people reach this master
        #[arg(long, value_name = "HOST:PORT")]
        advertise: String,
        /// Where to serve workers and people [default: 0.0.0.0 and the port of --advertise, so that other machines reach it]
        #[arg(long, value_name = "ADDR")]
        listen: Option<String>,
        /// Where to serve pages, in plain HTTP [default: nowhere]
        #[arg(long, value_name = "ADDR")]
        web: Option<String>,
        /// How browsers reach the pages, as through a proxy
        #[arg(long, value_name = "URL")]
        url: Option<String>,
        /// Write a unit as well with which systemd runs the master [default: `system` for root, else `user`]
        #[arg(long, value_name = "system|user", num_args = 0..=1, require_equals = true)]
        unit: Option<Option<Instance>>,
    },
    /// Run the master in the foreground
    Run {
        /// The master file
        #[arg(long, value_name = "FILE", default_value = "master.toml")]
        config: PathBuf,
    },
    /// Say what is wrong with the master file
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
        /// The address to send it to
        to: String,
    },
    /// Make a new one-use operator credential while the master does not run
    OperatorCap {
        /// The master file
        #[arg(long, value_name = "FILE", default_value = "master.toml")]
        config: PathBuf,
        /// Where to write it
        #[arg(short, long, value_name = "FILE", default_value = "operator.cap")]
        output: PathBuf,
    },
    /// Save the master in one file: builds, grants, logs, its key and the projects beside the master file; it may run
    /// meanwhile
    Backup {
        /// The master file
        #[arg(long, value_name = "FILE", default_value = "master.toml")]
        config: PathBuf,
        /// Save what is there where logs or stored files are damaged, and say which: else nothing is written
        #[arg(long)]
        accept_damage: bool,
        /// Where to write it; keep it as safe as the master's own key
        file: PathBuf,
    },
    /// Make the state directory that the master file names from a backup, here or on another machine
    Restore {
        /// The master file
        #[arg(long, value_name = "FILE", default_value = "master.toml")]
        config: PathBuf,
        /// What `backup` wrote
        file: PathBuf,
    },
    /// Go on in a state directory whose store was lost: set aside what it held, and begin with nothing but the master's key
    BeginAnew {
        /// The master file
        #[arg(long, value_name = "FILE", default_value = "master.toml")]
        config: PathBuf,
        /// Go on with the store that is there, as after a restore, though it is an older one or another's
        #[arg(long)]
        keep_store: bool,
    },
    #[command(flatten)]
    OfItself(OfItself),
}

pub fn command() -> clap::Command {
    Arguments::command()
}
