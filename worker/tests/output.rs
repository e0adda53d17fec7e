//! Tests of `guild-worker` if nobody reads its output, or if its output cannot be written (C60 in `tests/cases.tsv`).

#![allow(clippy::unwrap_used, clippy::allow_attributes, reason = "a test fails by panicking")]

use std::process::{Command, Output, Stdio};

const SPEAKING: [&[&str]; 6] =
    [&["--help"], &["run", "--help"], &["--version"], &["man"], &["completions", "bash"], &["probe"]];

fn run(arguments: &[&str], out: Stdio) -> Output {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_guild-worker"));
    command.args(arguments).env("HOME", home.path()).env_remove("XDG_STATE_HOME").current_dir(home.path());
    command.stdin(Stdio::null()).stdout(out).stderr(Stdio::piped()).output().unwrap()
}

#[test]
fn a_reader_that_goes_away_has_seen_enough() {
    for arguments in SPEAKING {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = run(arguments, writer.into());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), said.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_that_cannot_be_written_is_a_fault() {
    for arguments in SPEAKING {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = run(arguments, full.into());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(4), "{arguments:?}: {said}");
        assert!(said.contains("cannot be written"), "{arguments:?}: {said}");
    }
}
