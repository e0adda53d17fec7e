//! Tests of the output of `guild` to a terminal, to a pipe and to a program, if every text that others can write is hostile.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    clippy::allow_attributes,
    reason = "a test fails by panicking; each file uses a part of the fake master"
)]

#[path = "../../tests/fake/mod.rs"]
mod fake;

use client::views::{JobView, ProjectView, QueueItem};
use fake::{Log, Master, finished_build};
use schema::shown::{Face, face};
use schema::values::{Exit, Fact, Finding, Outcome, State};
use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;

/// A text that would set the clipboard and the title, clear the screen, forge a line and a column, and reverse text.
const HOSTILE: &str = "\u{1b}]52;c;UFdO\u{7}\u{1b}]0;TITLE\u{7}\u{1b}[2J\nforged\tline\r\u{9b}2J\u{202e}\u{2028}end";
/// A log with colours and hostile escapes. Its last line has an escape that does not end.
const LOG: &[u8] =
    b"one \x1b[31mred\x1b[0m\t\x1b]52;c;UFdO\x07\x1b[6n\x1b[c\x1bPq\x1b\\\x1b[?1049h\xc2\x9b2J\r\ntwo\x1b]0;";

fn on_one_thread<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test)
}

fn command(directory: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory).stdin(Stdio::null()).kill_on_drop(true);
    command.env("XDG_CONFIG_HOME", directory.join("config")).env("TERM", "xterm").env_remove("NO_COLOR");
    command.env("GIT_CEILING_DIRECTORIES", directory.parent().unwrap());
    command
}

/// Runs the command on a terminal, and returns the bytes of both streams as the terminal gets them.
async fn on_a_terminal(directory: &Path, arguments: &[&str]) -> Vec<u8> {
    let words: Vec<String> = arguments.iter().map(|word| format!("'{word}'")).collect();
    let line = format!("{} {}", env!("CARGO_BIN_EXE_guild"), words.join(" "));
    let mut script = command(directory, "script");
    let output = script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).output().await.unwrap();
    assert!(!output.stdout.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Runs the command with pipes. Returns the bytes of standard output and of standard error.
async fn on_a_pipe(directory: &Path, arguments: &[&str]) -> (Vec<u8>, Vec<u8>) {
    let output = command(directory, env!("CARGO_BIN_EXE_guild")).args(arguments).output().await.unwrap();
    (output.stdout, output.stderr)
}

/// Checks that bytes have only colours, tabs, line ends and harmless characters. Returns them as text.
fn assert_harmless(bytes: &[u8], what: &[&str]) -> String {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let mut rest = text.as_str();
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c == '\u{1b}' {
            let colour = rest.strip_prefix('[').and_then(|rest| rest.split_once('m'));
            let (colour, after) = colour.unwrap_or_else(|| panic!("{what:?}: {text:?}"));
            assert!(colour.bytes().all(|byte| byte.is_ascii_digit() || byte == b';'), "{what:?}: {text:?}");
            rest = after;
        } else {
            assert!(matches!(c, '\t' | '\r' | '\n') || face(c) == Face::Itself, "{what:?}: {text:?}");
        }
    }
    text
}

/// Starts a master whose texts are all hostile, as far as their form allows it.
async fn hostile_master(directory: &Path) -> Master {
    let master = Master::start().await;
    let say = || HOSTILE.to_owned();
    master.world.change(|facts| {
        facts.projects = vec![ProjectView {
            name: "r".to_owned(),
            repository: say(),
            aliases: vec![say()],
            latest: 3,
            ..Default::default()
        }];
        let mut build = finished_build(3, &[("test@a", Outcome::Errored), ("lint", Outcome::Succeeded)]);
        (build.subject, build.author, build.cause) = (say(), say(), say());
        build.ref_name = format!("refs/heads/{HOSTILE}");
        build.diagnosis = format!("{HOSTILE}\nsecond");
        for job in &mut build.jobs {
            (job.reason, job.worker, job.platform) = (say(), say(), say());
            job.steps[0].exit = Exit::Lost(say());
            job.steps[0].name = say();
        }
        facts.builds = vec![build];
        facts.findings = vec![Finding::bad(say(), say(), say())];
        facts.queue = vec![QueueItem {
            project: "r".to_owned(),
            build: 3,
            job: say(),
            reason: say(),
            kind: say(),
            remedy: say(),
            ..Default::default()
        }];
        facts.logs.insert((3, "lint".to_owned(), 1), Log { bytes: LOG.to_vec(), sealed: true });
        facts.logs.insert((3, "test@a".to_owned(), 1), Log { bytes: LOG.to_vec(), sealed: true });
    });
    let retried = Fact::BuildCreated { cause: say(), ref_name: say(), revision: say() };
    master.world.tell(3, retried);
    master.join.save(&directory.join("me.cap")).unwrap();
    on_a_pipe(directory, &["login", "me.cap"]).await;
    master
}

const LOOKS: [&[&str]; 17] = [
    &["status", "r/3"],
    &["list", "r"],
    &["show", "r/3"],
    &["show", "r/3/test@a"],
    &["explain", "r/3"],
    &["queue"],
    &["watch", "r/3"],
    &["events"],
    &["events", "--columns", "kind,ref,cause"],
    &["project", "show", "r"],
    &["project", "list"],
    &["whoami"],
    &["doctor"],
    &["worker", "list"],
    &["worker", "show", "w\u{1b}]0;w\u{7}"],
    &["logs", "r/3/lint"],
    &["logs", "r/3", "--follow"],
];

#[test]
fn nothing_that_others_wrote_speaks_to_a_terminal() {
    on_one_thread(async {
        let home = tempfile::tempdir().unwrap();
        let _master = hostile_master(home.path()).await;
        for arguments in LOOKS {
            let text = assert_harmless(&on_a_terminal(home.path(), arguments).await, arguments);
            // a forged text on a line of its own would look like a line of the command
            let forged = |line: &str| line.trim_start().starts_with("forged");
            let is_of_lines = text.contains("second") || arguments[0] == "logs";
            assert!(is_of_lines || !text.lines().any(forged), "{arguments:?}: {text:?}");
        }
        let text = String::from_utf8(on_a_terminal(home.path(), &["status", "r/3"]).await).unwrap();
        assert!(text.contains("lost:  ]52;c;UFdO  ]0;TITLE") && text.contains("⟨U+202E⟩⟨U+2028⟩end"), "{text:?}");
    });
}

#[test]
fn a_field_ends_no_column_and_no_line() {
    on_one_thread(async {
        let home = tempfile::tempdir().unwrap();
        let _master = hostile_master(home.path()).await;
        for (arguments, columns) in [
            (&["list", "r", "--columns", "selector,subject,author,ref"][..], 4),
            (&["queue", "--columns", "selector,reason,remedy"], 3),
            (&["show", "r/3/test@a"], 0),
            (&["status", "r/3"], 6),
            (&["watch", "r/3"], 0),
            (&["events"], 5),
        ] {
            let (out, _) = on_a_pipe(home.path(), arguments).await;
            let text = String::from_utf8(out).unwrap();
            assert!(!text.contains('\u{1b}') && !text.contains('\r') && !text.is_empty(), "{arguments:?}: {text:?}");
            for line in text.lines() {
                assert!(columns == 0 || line.split('\t').count() == columns, "{arguments:?}: {line:?}");
                assert!(!line.starts_with("forged"), "{arguments:?}: {text:?}");
            }
        }
    });
}

#[test]
fn json_is_exact_and_harmless() {
    on_one_thread(async {
        let home = tempfile::tempdir().unwrap();
        let _master = hostile_master(home.path()).await;
        let (out, _) = on_a_pipe(home.path(), &["show", "r/3", "--json"]).await;
        let text = String::from_utf8(out).unwrap();
        assert!(text.trim_end().chars().all(|c| face(c) == Face::Itself), "{text:?}");
        assert!(text.contains("\\u009b2J\\u202e\\u2028end"), "{text}");
        let row: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((row["subject"].as_str(), row["jobs"][0]["reason"].as_str()), (Some(HOSTILE), Some(HOSTILE)));
    });
}

#[test]
fn a_log_is_exact_on_a_pipe_and_harmless_on_a_terminal() {
    on_one_thread(async {
        let home = tempfile::tempdir().unwrap();
        let _master = hostile_master(home.path()).await;
        for arguments in [&["logs", "r/3/lint"][..], &["logs", "r/3/lint", "--follow"], &["logs", "r/3/lint", "--raw"]]
        {
            assert_eq!(on_a_pipe(home.path(), arguments).await.0, LOG, "{arguments:?}");
        }
        let shown = on_a_terminal(home.path(), &["logs", "r/3/lint/1"]).await;
        let text = assert_harmless(&shown, &["logs"]);
        assert!(text.contains("one \u{1b}[31mred\u{1b}[0m\t⟨U+009B⟩2J\r\r\ntwo"), "{text:?}");
        // the terminal adds its own line ends to those of the log
        let raw = on_a_terminal(home.path(), &["logs", "r/3/lint/1", "--raw"]).await;
        let raw: Vec<u8> = raw.into_iter().filter(|byte| *byte != b'\r').collect();
        let log: Vec<u8> = LOG.iter().copied().filter(|byte| *byte != b'\r').collect();
        assert!(raw.windows(log.len()).any(|part| part == log), "{:?}", String::from_utf8_lossy(&raw));
    });
}

#[test]
fn a_live_log_is_harmless_wherever_it_is_cut() {
    on_one_thread(async {
        let home = tempfile::tempdir().unwrap();
        let master = hostile_master(home.path()).await;
        master.world.change(|facts| {
            let build = &mut facts.builds[0];
            (build.state, build.outcome, build.diagnosis) = (State::Running, None, String::new());
            build.jobs.truncate(1);
            let JobView { state, outcome, steps, .. } = &mut build.jobs[0];
            (*state, *outcome) = (State::Running, None);
            (steps[0].state, steps[0].outcome) = (State::Running, None);
            facts.logs.insert((3, "test@a".to_owned(), 1), Log::default());
        });
        let following = on_a_terminal(home.path(), &["logs", "r/3", "--follow"]);
        let writing = async {
            for piece in LOG.chunks(3) {
                master.world.write(3, "test@a", 1, piece);
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            master.world.change(|facts| facts.logs.values_mut().for_each(|log| log.sealed = true));
            let (job, outcome) = (|| "test@a".to_owned(), Outcome::Failed);
            master.world.tell(
                3,
                Fact::StepFinished { job: job(), attempt: 1, step: 0, outcome, reason: String::new(), tests: None },
            );
            master.world.tell(3, Fact::JobFinished { job: job(), outcome, reason: String::new() });
            master.world.tell(3, Fact::BuildFinished { outcome: Outcome::Failed });
        };
        let (shown, ()) = tokio::join!(following, writing);
        let text = assert_harmless(&shown, &["logs", "--follow"]);
        assert!(text.contains("one \u{1b}[31mred\u{1b}[0m\t⟨U+009B⟩2J"), "{text:?}");
    });
}
