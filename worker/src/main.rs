//! The program `guild-worker` as a process.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    // A supervisor is this program too, and must begin before anything else does.
    if arguments.get(1).is_some_and(|first| first == worker::SUPERVISE) {
        return worker::supervise_main(&arguments[2..]);
    }
    worker::cli(arguments)
}
