//! Tests of the command `guild` if nobody reads its output, if its output cannot be written, or if there is no log.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    clippy::allow_attributes,
    reason = "a test fails by panicking; each file uses a part of the fake master"
)]

#[path = "../../tests/fake/mod.rs"]
mod fake;

use fake::{Master, finished_build};
use schema::values::{Outcome, State};
use std::path::Path;
use std::process::{Output, Stdio};
use tokio::process::Command;

fn on_one_thread<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test)
}

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guild"));
    command.args(arguments).current_dir(directory).stdin(Stdio::null()).kill_on_drop(true);
    command.env("XDG_CONFIG_HOME", directory.join("config"));
    command.env("GIT_CEILING_DIRECTORIES", directory.parent().unwrap());
    command
}

async fn run(directory: &Path, arguments: &[&str]) -> Output {
    command(directory, arguments).output().await.unwrap()
}

async fn with_stdout(directory: &Path, arguments: &[&str], out: Stdio) -> Output {
    // `Command::output` would replace this standard output with a pipe of its own
    let child = command(directory, arguments).stdout(out).stderr(Stdio::piped()).spawn().unwrap();
    child.wait_with_output().await.unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn logged_in(directory: &Path) -> Master {
    let master = Master::start().await;
    master.world.change(|facts| {
        facts.projects = vec![client::views::ProjectView { name: "r".to_owned(), latest: 1, ..Default::default() }];
        let mut build = finished_build(1, &[("test", Outcome::Errored), ("lint", Outcome::Succeeded)]);
        build.jobs[0].steps.clear();
        "cannot open a workspace: Permission denied".clone_into(&mut build.jobs[0].reason);
        facts.builds = vec![build];
        let log = fake::Log { bytes: b"linted\n".to_vec(), sealed: true };
        facts.logs.insert((1, "lint".to_owned(), 1), log);
    });
    master.join.save(&directory.join("me.cap")).unwrap();
    assert_eq!(run(directory, &["login", "me.cap"]).await.status.code(), Some(0));
    master
}

const SPEAKING: [&[&str]; 8] = [
    &["--help"],
    &["help"],
    &["logs", "--help"],
    &["--version"],
    &["man"],
    &["completions", "bash"],
    &["schema"],
    &["list"],
];

/// If the reader of a pipe goes away, the command ends without an error (C60 in `tests/cases.tsv`).
#[test]
fn a_reader_that_goes_away_has_seen_enough() {
    on_one_thread(async {
        let home = tempfile::tempdir().unwrap();
        let _master = logged_in(home.path()).await;
        for arguments in SPEAKING {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let output = with_stdout(home.path(), arguments, writer.into()).await;
            assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{arguments:?}");
        }
    });
}

/// If standard output cannot be written, the command fails and says so (C60 in `tests/cases.tsv`).
#[cfg(target_os = "linux")]
#[test]
fn an_output_that_cannot_be_written_is_a_fault() {
    on_one_thread(async {
        let home = tempfile::tempdir().unwrap();
        let _master = logged_in(home.path()).await;
        for arguments in SPEAKING {
            let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
            let output = with_stdout(home.path(), arguments, full.into()).await;
            assert_eq!(output.status.code(), Some(4), "{arguments:?}: {}", stderr(&output));
            assert!(stderr(&output).contains("cannot be written"), "{arguments:?}: {}", stderr(&output));
        }
    });
}

/// The logs of a job that never began a step say why there are none (C72 in `tests/cases.tsv`).
#[test]
fn a_job_without_a_log_says_what_happened() {
    on_one_thread(async {
        let home = tempfile::tempdir().unwrap();
        let master = logged_in(home.path()).await;
        let why = "== r/1/test errored: cannot open a workspace: Permission denied";
        for (arguments, log) in
            [(&["logs", "r/1"][..], "linted\n"), (&["logs", "r/1/test"], ""), (&["logs", "r/1", "--failed"], "")]
        {
            let output = run(home.path(), arguments).await;
            assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), log.as_bytes()), "{arguments:?}");
            assert!(stderr(&output).lines().any(|line| line == why), "{arguments:?}: {}", stderr(&output));
            assert!(!stderr(&output).contains("no step"), "{arguments:?}: {}", stderr(&output));
        }
        let shown = run(home.path(), &["show", "r/1"]).await;
        let text = String::from_utf8(shown.stdout).unwrap();
        assert!(text.contains("reason\ttest: cannot open a workspace: Permission denied\n"), "{text}");

        master.world.change(|facts| {
            facts.builds[0].state = State::Running;
            facts.builds[0].jobs.truncate(1);
            (facts.builds[0].jobs[0].state, facts.builds[0].jobs[0].outcome) = (State::Queued, None);
        });
        let output = run(home.path(), &["logs", "r/1"]).await;
        assert_eq!(stderr(&output), "no step has started yet\n");
    });
}

/// A credential that lies beside its key works without a home directory (C19 in `tests/cases.tsv`).
#[test]
fn a_credential_with_its_key_beside_it_needs_no_home() {
    on_one_thread(async {
        let home = tempfile::tempdir().unwrap();
        let _master = logged_in(home.path()).await;
        let bare = async |cap: &Path| {
            let mut command = command(home.path(), &["--cap", cap.to_str().unwrap(), "list", "--json=number"]);
            command.env_remove("HOME").env_remove("XDG_CONFIG_HOME").output().await.unwrap()
        };
        let contexts = home.path().join("config/guild");
        let (kept, key) = (contexts.join("contexts/me.cap"), contexts.join("identity.key"));
        let output = bare(&kept).await;
        assert_eq!(output.stdout, b"{\"number\":1}\n", "{}", stderr(&output));
        let (cap, beside) = (home.path().join("hook.cap"), home.path().join("hook.key"));
        std::fs::copy(&kept, &cap).unwrap();
        std::fs::copy(&key, &beside).unwrap();
        let output = bare(&cap).await;
        assert_eq!(output.stdout, b"{\"number\":1}\n", "{}", stderr(&output));
    });
}
