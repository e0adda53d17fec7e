//! Runs the harness of BuildBot (the peer) in the same run, and takes in its figures.

use crate::Options;
use crate::figures::{Figure, Figures};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

pub fn measure(options: &Options, figures: &Figures) {
    let mut command = Command::new("python3");
    command.arg(options.harness.join("bench.py"));
    if options.quick {
        command.arg("--quick");
    }
    let spawned = command.arg("all").stdout(Stdio::piped()).spawn();
    let mut harness = match spawned {
        Ok(harness) => harness,
        Err(error) => return eprintln!("BuildBot is not measured: {command:?}: {error}"),
    };
    let out = BufReader::new(harness.stdout.take().expect("it is piped"));
    for line in out.lines().map_while(Result::ok) {
        match serde_json::from_str::<Figure>(&line) {
            Ok(figure) => figures.take(figure),
            Err(_) => eprintln!("{line}"),
        }
    }
    if !harness.wait().is_ok_and(|status| status.success()) {
        eprintln!("BuildBot's harness failed: {command:?} (its README.md says how to set it up)");
    }
}
