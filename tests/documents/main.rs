//! Compares documents with the programs, as far as a machine can: the generated reference, the examples in README.md and docs/, and
//! the Dockerfile.

mod commands;
mod container;
mod editors;
mod examples;
mod files;
mod form;
mod keys;
mod limits;
mod markdown;
mod pages;
mod prose;
mod unclear;

use std::path::{Path, PathBuf};

/// Returns the top of the repository.
fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(top().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
