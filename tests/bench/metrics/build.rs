//! The time of a build of everything with the profile of the packages, from nothing but downloaded sources.

use super::Bench;
use serde_json::json;
use std::process::Command;
use std::time::Instant;

pub fn measure(bench: &Bench<'_>) {
    let target = tempfile::tempdir().expect("a directory");
    let top = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let began = Instant::now();
    let mut command = Command::new("cargo");
    command.args(["build", "--profile", "dist", "--bins", "--locked", "--quiet"]).current_dir(top);
    command.env("CARGO_TARGET_DIR", target.path()).env("CARGO_INCREMENTAL", "0");
    let built = command.status();
    assert!(built.is_ok_and(|status| status.success()), "the programs cannot be built");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    bench.figures.tell("build_cold", began.elapsed().as_secs_f64(), "s", 1, json!({"cores": cores}));
}
