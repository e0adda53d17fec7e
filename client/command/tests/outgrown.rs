//! If a message is larger than the command reads, the command says so and that something is lost, and does not try for ever.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    clippy::allow_attributes,
    reason = "a test fails by panicking; each file uses a part of the fake master"
)]

#[path = "../../tests/fake/mod.rs"]
mod fake;

use client::views::ProjectView;
use fake::{Master, finished_build};
use schema::values::{Event, Fact, Outcome, Time};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// The size of the large message in bytes. It is above the 4 MiB that a client reads.
const HUGE: usize = 5 << 20;
/// The longest time that a command may take, if it must end by itself.
const PATIENCE: Duration = Duration::from_secs(30);

fn on_one_thread<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test)
}

/// Runs the command. Returns its exit status, standard output and standard error.
async fn run(directory: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guild"));
    command.args(arguments).current_dir(directory).stdin(Stdio::null()).kill_on_drop(true);
    command.env("XDG_CONFIG_HOME", directory.join("config"));
    command.env("GIT_CEILING_DIRECTORIES", directory.parent().unwrap());
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends by itself").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn event(sequence: u64, text: &str) -> Event {
    let fact = Fact::WorkerLost { worker: "w".to_owned(), reason: text.to_owned() };
    Event { sequence, time: Time(1_700_000_000_000 + sequence), origin: None, project: String::new(), build: 0, fact }
}

/// Starts a master whose third event is too large. It sends two events at a time.
async fn master(directory: &Path) -> Master {
    let master = Master::start().await;
    master.world.change(|facts| {
        facts.projects = vec![ProjectView { name: "r".to_owned(), latest: 1, ..Default::default() }];
        facts.builds = vec![finished_build(1, &[("test", Outcome::Errored)])];
        facts.events = vec![event(1, "a"), event(2, "b"), event(3, &"x".repeat(HUGE)), event(4, "c")];
    });
    master.join.save(&directory.join("me.cap")).unwrap();
    assert_eq!(run(directory, &["login", "me.cap"]).await.0, 0);
    master
}

#[test]
fn events_that_cannot_be_passed_are_an_error() {
    on_one_thread(async {
        let home = tempfile::tempdir().unwrap();
        let master = master(home.path()).await;
        for arguments in [&["events", "--after", "0"][..], &["events", "--after", "0", "--follow"]] {
            let before = master.world.facts.borrow().links_made;
            let (status, out, err) = run(home.path(), arguments).await;
            assert_eq!((status, out.lines().count()), (6, 2), "{arguments:?}: {err}");
            assert!(err.contains("cut off after event 2: up to 2 recorded events"), "{arguments:?}: {err}");
            assert!(
                err.contains("error: the master sent more at once than this program reads"),
                "{arguments:?}: {err}"
            );
            assert!(!err.contains("0 lines lost"), "{arguments:?}: {err}");
            let made = master.world.facts.borrow().links_made - before;
            assert!(made <= 3, "{arguments:?}: {made} links: {err}");
        }
        // events before and after the large one are shown as usual
        let (status, out, err) = run(home.path(), &["events", "--after", "3"]).await;
        assert_eq!((status, out.lines().count(), err.as_str()), (0, 1, ""));
    });
}

#[test]
fn answers_that_cannot_be_passed_are_an_error() {
    on_one_thread(async {
        let home = tempfile::tempdir().unwrap();
        let master = master(home.path()).await;
        master.world.change(|facts| facts.builds[0].jobs[0].reason = "x".repeat(HUGE));
        for arguments in [&["watch", "r/1"][..], &["show", "r/1"], &["logs", "r/1", "--follow"], &["status", "r/1"]] {
            let before = master.world.facts.borrow().links_made;
            let (status, _, err) = run(home.path(), arguments).await;
            assert_eq!(status, 6, "{arguments:?}: {err}");
            assert!(
                err.contains("error: the master sent more at once than this program reads")
                    && err.contains(": a message of 52"),
                "{arguments:?}: {err}"
            );
            assert!(!err.contains("0 lines lost"), "{arguments:?}: {err}");
            let made = master.world.facts.borrow().links_made - before;
            assert!(made <= 3, "{arguments:?}: {made} links: {err}");
        }
    });
}

/// If a link is lost for another reason, the client connects again, and no event is lost.
#[test]
fn a_link_that_is_cut_is_no_loss() {
    on_one_thread(async {
        let home = tempfile::tempdir().unwrap();
        let master = master(home.path()).await;
        master.world.change(|facts| facts.events.truncate(2));
        let asking = run(home.path(), &["--timeout", "3", "events", "--after", "0", "--follow"]);
        let meddling = async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            master.world.cut();
            master.world.change(|facts| facts.events.push(event(3, "c")));
        };
        let ((status, out, err), ()) = tokio::join!(asking, meddling);
        assert_eq!((status, out.lines().count()), (8, 3), "{err}");
        assert!(err.contains("reconnected, 0 lines lost"), "{err}");
    });
}
