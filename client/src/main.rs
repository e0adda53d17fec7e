//! The command `guild`: arguments to one command, its result to an exit status. Everything else is in `commands`.

mod commands;
mod here;
mod matrix;
mod render;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = commands::Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the system gives no event loop: {error}");
            return ExitCode::from(4);
        }
    };
    let local = tokio::task::LocalSet::new();
    let status = local.block_on(&runtime, commands::run(cli));
    // a read of standard input that never ends must not hold the process
    runtime.shutdown_background();
    ExitCode::from(status)
}
