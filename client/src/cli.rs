//! The command `guild`: arguments to one command, its result to an exit status. Everything else is in `commands`.

use crate::commands::{self, Cli};
use clap::CommandFactory as _;
use schema::manual;
use std::process::ExitCode;

/// The arguments of `guild`, as they are declared.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs what the process's arguments say.
pub fn cli() -> ExitCode {
    let cli: Cli = match manual::arguments(std::env::args_os()) {
        Ok(cli) => cli,
        Err(status) => return ExitCode::from(status),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            crate::output::note(format!("error: the system gives no event loop: {error}"));
            return ExitCode::from(4);
        }
    };
    let local = tokio::task::LocalSet::new();
    let status = local.block_on(&runtime, commands::run(cli));
    // a read of standard input that never ends must not hold the process
    runtime.shutdown_background();
    ExitCode::from(status)
}
