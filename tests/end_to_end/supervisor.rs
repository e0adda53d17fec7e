//! The program of a supervisor, for a worker that lives within a test and so has no program of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((first, order)) if first == worker::SUPERVISE => worker::supervise_main(order),
        _ => panic!("it is started by a worker alone, with `{}` as its first argument", worker::SUPERVISE),
    }
}
