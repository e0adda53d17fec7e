//! The error that the manual of the pipeline file shows is the one that the product prints.

use pipeline::load;

const MANUAL: &str = include_str!("../../../docs/pipeline.md");

#[test]
fn the_error_is_the_one_shown() {
    let of_errors = MANUAL.split("\n## Errors\n").nth(1).unwrap();
    let shown = of_errors.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    let text =
        format!("version = 1\n[job.lint]\nrun = 'x'\n{}[job.test]\nrun = 'x'\nneeds  = [\"lnit\"]\n", "\n".repeat(14));
    assert_eq!(load("guild.toml", text.as_bytes()).unwrap_err().to_string(), shown);
}
