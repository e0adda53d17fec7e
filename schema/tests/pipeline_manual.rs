//! Every example in the manual of the pipeline file is a pipeline.
#![cfg(feature = "pipeline")]

use schema::pipeline::load;

const MANUAL: &str = include_str!("../../docs/pipeline.md");

#[test]
fn examples_load() {
    let examples: Vec<&str> =
        MANUAL.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or(rest)).collect();
    assert!(examples.len() >= 6);
    for example in examples {
        let version = if example.starts_with("version") { "" } else { "version = 1\n" };
        let job = if example.contains("[job.") { "" } else { "[job.any]\nrun = 'true'\n" };
        let text = format!("{version}{example}{job}");
        load("docs/pipeline.md", text.as_bytes()).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    }
}

#[test]
fn the_error_is_the_one_shown() {
    let shown = MANUAL.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    let text =
        format!("version = 1\n[job.lint]\nrun = 'x'\n{}[job.test]\nrun = 'x'\nneeds  = [\"lnit\"]\n", "\n".repeat(14));
    assert_eq!(load("guild.toml", text.as_bytes()).unwrap_err().to_string(), shown);
}
