//! The program `guild` as a process.

use std::process::ExitCode;

fn main() -> ExitCode {
    command::cli()
}
