//! The command `guild`: arguments to one command, its result to an exit status. It is written on the library [`client`], as any
//! other program could be; here is what a terminal needs besides. In the order of the main path:
//! - `commands`: one file each, over `options`; `connected`: where the person stands, and the guild once it is asked for;
//! - `selector`: what a person writes, `pyfoo/412/test@linux,3.14/2:L120-L140`; `git`: the checkout that the person is in;
//!   `resolve`: which build is meant by both;
//! - `printer`: what a command says; `render`, `matrix` and `live`: how values look; `output`: the only way out;
//! - `doctor`: what is wrong on the way from here to a master, and what to do about it.

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
