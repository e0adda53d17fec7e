//! Broken pipelines, and what is said of them.
#![cfg(feature = "pipeline")]

use schema::pipeline::load;

#[test]
fn shape() {
    let text = "version = 1\n[job.lint]\nrun = \"x\"\n[job.test]\nneeds  = [\"lnit\"]\nrunn = \"y\"\n";
    let errors = load("guild.toml", text.as_bytes()).unwrap_err();
    println!("{errors}");
}
