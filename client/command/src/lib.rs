//! The command `guild`, which turns its arguments into one command and the result into an exit status. It uses the library [`client`],
//! as any other program could, and adds what a terminal needs. The modules, in the order of the main path:
//! - `commands` has a file for each command, and `options` has the options of all of them;
//! - `connected` holds the options, the context and the repository, and connects to the guild when a command asks for it;
//! - `selector` reads what a person writes, such as `pyfoo/412/test@linux,3.14/2:L120-L140`, and `git` reads the checkout here;
//! - `resolve` finds the build that both mean;
//! - `printer` prints what a command says, `render`, `matrix` and `live` draw values, and `output` is the only way out;
//! - `doctor` finds what is wrong between this machine and a master, and what to do about it.

mod blame;
mod commands;
mod connected;
mod doctor;
mod git;
mod live;
mod matrix;
mod options;
mod output;
mod printer;
mod render;
mod resolve;
mod selector;
mod terminal_size;

use crate::commands::Cli;
use clap::CommandFactory as _;
use schema::manual;
use std::process::ExitCode;

/// Returns the declared arguments of the command `guild`.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command that the process's arguments name.
pub fn cli() -> ExitCode {
    let cli: Cli = match manual::arguments(std::env::args_os()) {
        Ok(cli) => cli,
        Err(status) => return ExitCode::from(status),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            crate::output::note(format!("error: cannot start an event loop: {error}"));
            return ExitCode::from(4);
        }
    };
    let local = tokio::task::LocalSet::new();
    let status = local.block_on(&runtime, commands::run(cli));
    // A read of standard input that never ends must not keep the process alive.
    runtime.shutdown_background();
    ExitCode::from(status)
}
