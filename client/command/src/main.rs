//! The program `guild`.

use std::process::ExitCode;

fn main() -> ExitCode {
    command::cli()
}
