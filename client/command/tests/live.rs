//! Tests of the output of `guild` for builds that run, that have just ended, or that do not exist yet.

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
use fake::{Log, Master, finished_build};
use schema::values::{Fact, Outcome, Time};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};

struct Place {
    master: Master,
    home: tempfile::TempDir,
}

fn on_one_thread<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test)
}

impl Place {
    /// Starts a master with the builds 1 to 3 of the project `r`, and makes a checkout on `main` with one commit.
    async fn with_checkout() -> Place {
        let place = Place { master: Master::start().await, home: tempfile::tempdir().unwrap() };
        place.master.world.change(|facts| {
            facts.projects = vec![ProjectView {
                name: "r".to_owned(),
                repository: "ssh://git@git.example.org/r.git".to_owned(),
                latest: 3,
                next_look: Some(Time(u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap() + 3_600_000)),
                ..ProjectView::default()
            }];
            let jobs = [("lint", Outcome::Succeeded), ("test@a", Outcome::Failed)];
            facts.builds = vec![
                finished_build(1, &[("test@a", Outcome::Succeeded)]),
                finished_build(2, &[("test@a", Outcome::Succeeded)]),
                finished_build(3, &jobs),
            ];
            let log = Log { bytes: b"E  assert 0 == 3\n".to_vec(), sealed: true };
            facts.logs.insert((3, "test@a".to_owned(), 1), log);
        });
        place.master.join.save(&place.home.path().join("me.cap")).unwrap();
        assert_eq!(place.run(&["login", "../me.cap"]).await.status.code(), Some(0));
        place
    }

    fn checkout(&self) -> PathBuf {
        let copy = self.home.path().join("copy");
        if !copy.exists() {
            std::fs::create_dir(&copy).unwrap();
            for arguments in [
                &["init", "-q", "--initial-branch=main"][..],
                &["remote", "add", "origin", "ssh://git@git.example.org/r.git"],
                &["commit", "-q", "--allow-empty", "-m", "mine"],
            ] {
                self.git(&copy, arguments);
            }
        }
        copy
    }

    fn git(&self, copy: &Path, arguments: &[&str]) -> String {
        let who = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
        let output = std::process::Command::new("git").arg("-C").arg(copy).args(who).args(arguments).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn head(&self) -> String {
        self.git(&self.checkout(), &["rev-parse", "HEAD"])
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guild"));
        command.args(arguments).current_dir(self.checkout()).env("XDG_CONFIG_HOME", self.home.path().join("config"));
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().await.unwrap()
    }

    fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Waits until the command has printed this text on standard error.
    async fn said(&self, child: &mut Child, text: &str) {
        use tokio::io::AsyncBufReadExt as _;
        let mut lines = tokio::io::BufReader::new(child.stderr.as_mut().unwrap()).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains(text) {
                return;
            }
        }
        panic!("it never said {text}");
    }

    /// Plays all events of build 4 of this commit, from its creation to its end.
    fn build_4(&self, revision: &str, outcome: Outcome) {
        let world = &self.master.world;
        let (job, ref_name) = (|| "test".to_owned(), "refs/heads/main".to_owned());
        world.tell(4, Fact::BuildCreated { cause: "change".into(), ref_name, revision: revision.to_owned() });
        world.tell(4, Fact::BuildPlanned { jobs: vec![job()] });
        world.tell(4, Fact::JobQueued { job: job() });
        world.tell(4, Fact::JobStarted { job: job(), attempt: 1, worker: "w".into() });
        world.tell(4, Fact::StepStarted { job: job(), attempt: 1, step: 1, name: "make".into() });
        world.tell(
            4,
            Fact::StepFinished { job: job(), attempt: 1, step: 1, outcome, reason: String::new(), tests: None },
        );
        world.tell(4, Fact::JobFinished { job: job(), outcome, reason: String::new() });
        world.tell(4, Fact::BuildFinished { outcome });
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// `guild watch HEAD`, typed after a push, waits for the build of that commit (T4.4 in `tests/cases.tsv`).
#[test]
fn a_watch_of_head_waits_for_its_build() {
    on_one_thread(async {
        let place = Place::with_checkout().await;
        let head = place.head();
        let mut watching = place.start(&["watch", "HEAD"]);
        place
            .said(&mut watching, "has no build yet; waiting for it; the master looks at the repository again in 59m")
            .await;
        // the build of another push must not end the wait
        place.master.world.tell(
            9,
            Fact::BuildCreated { cause: "change".into(), ref_name: "refs/heads/x".into(), revision: "f".repeat(40) },
        );
        place.build_4(&head, Outcome::Failed);
        let output = tokio::time::timeout(Duration::from_secs(60), watching.wait_with_output()).await.unwrap().unwrap();
        let text = stdout(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("r/4/test\t✗ failed") && !text.contains("r/9"), "{text}");
    });
}

/// A watch also finds a build that began and ended before the watch subscribed (T4.4 in `tests/cases.tsv`).
#[test]
fn a_watch_of_head_finds_a_build_that_has_ended() {
    on_one_thread(async {
        let place = Place::with_checkout().await;
        place.build_4(&place.head(), Outcome::Succeeded);
        let output = place.run(&["watch", "HEAD"]).await;
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(place.run(&["watch", "nosuch"]).await.status.code(), Some(7));
    });
}

/// A pipe gets a line with the time for each beginning and each end, and no reason that no longer holds.
#[test]
fn a_pipe_gets_lines_with_times() {
    on_one_thread(async {
        let place = Place::with_checkout().await;
        let world = &place.master.world;
        let job = || "test".to_owned();
        let created =
            Fact::BuildCreated { cause: "change".into(), ref_name: "refs/heads/main".into(), revision: "d".repeat(40) };
        world.tell(4, created);
        world.tell(4, Fact::BuildPlanned { jobs: vec![job()] });
        world.change(|facts| {
            let build = facts.builds.iter_mut().find(|build| build.number == 4).unwrap();
            "needs lint".clone_into(&mut build.jobs[0].reason);
            "a median".clone_into(&mut build.subject);
        });
        let mut watching = place.command(&["watch", "r/4"]);
        let mut watching = watching.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(watching.stdout.take().unwrap()));
        let mut seen = Vec::new();
        for _ in 0..2 {
            seen.push(lines.next_line().await.unwrap().unwrap());
        }
        world.tell(4, Fact::JobQueued { job: job() });
        world.tell(4, Fact::JobStarted { job: job(), attempt: 1, worker: "w".into() });
        world.tell(4, Fact::JobFinished { job: job(), outcome: Outcome::Succeeded, reason: String::new() });
        world.tell(4, Fact::BuildFinished { outcome: Outcome::Succeeded });
        while let Some(line) = lines.next_line().await.unwrap() {
            seen.push(line);
        }
        let without_time = |line: &String| {
            let (time, rest) = line.split_once('\t').unwrap();
            assert!(time.parse::<jiff::Timestamp>().is_ok(), "{line}");
            rest.to_owned()
        };
        assert_eq!(
            seen.iter().map(without_time).collect::<Vec<_>>(),
            [
                "r/4\t○ waiting\t\tmain dddddddddd \"a median\"",
                "r/4/test\t○ waiting\t\tneeds lint",
                "r/4/test\t◐ running\t\ton w",
                "r/4/test\t✓ succeeded\t0.0s\ton w",
                "r/4\t✓ succeeded\t0.0s\tmain dddddddddd \"a median\"",
            ]
        );
    });
}

/// `run --wait`, `watch` and `logs -f` all end with the same last screen of the build.
#[test]
fn what_waits_for_a_build_ends_with_its_last_screen() {
    on_one_thread(async {
        let place = Place::with_checkout().await;
        for arguments in [&["watch", "r/3"][..], &["logs", "-f", "r/3"]] {
            let said = stderr(&place.run(arguments).await);
            let lines: Vec<&str> = said.lines().map(str::trim_end).collect();
            let from = lines.iter().position(|line| line.starts_with("── r/3 main 0000000000 \"change 3\"")).unwrap();
            let lines = &lines[from + 1..];
            assert!(lines.contains(&"✓ lint      3.0s"), "{arguments:?}: {said}");
            assert!(lines.contains(&"✗ test@a    3.0s  step 1 \"make\": did not run"), "{arguments:?}: {said}");
            assert!(lines.contains(&"✗ r/3 failed after 4.0s: 1 failed, 1 succeeded"), "{arguments:?}: {said}");
            assert_eq!(lines.last(), Some(&"      guild retry r/3 --failed"), "{arguments:?}: {said}");
        }
        let output = place.run(&["watch", "r/3", "--json=selector"]).await;
        assert_eq!(stderr(&output), "", "a program that reads JSON gets no screen");
    });
}

/// The command says that the commit here is not built yet or not pushed, instead of just showing or running the previous commit.
#[test]
fn what_is_not_built_or_not_pushed_is_said() {
    on_one_thread(async {
        let place = Place::with_checkout().await;
        let head = place.head()[..10].to_owned();
        let said = stderr(&place.run(&["status"]).await);
        assert!(said.contains(&format!("HEAD {head} is not built yet: it is not pushed")), "{said}");
        let copy = place.checkout();
        place.git(&copy, &["update-ref", "refs/remotes/origin/main", "HEAD"]);
        let said = stderr(&place.run(&["status"]).await);
        let wanted = "is not built yet: the master looks at the repository again in 59m; `guild run` builds it now";
        assert!(said.contains(&format!("HEAD {head} {wanted}")), "{said}");
        let (_, out) = (0, stdout(&place.run(&["status"]).await));
        assert!(out.lines().nth(1).unwrap().starts_with("r/3\tfailed\t"), "T4.9: a pipe has the build's line: {out}");
    });
}

/// A name that does not exist is an error which says what to do.
#[test]
fn what_there_is_not_is_named() {
    on_one_thread(async {
        let place = Place::with_checkout().await;
        for (arguments, status, text) in [
            (&["list", "--columns", "a,b"][..], 2, "there is no field `a`"),
            (&["list", "--json=foo"], 2, "there is no field `foo`"),
            (&["show", "r/3", "--json=foo"], 2, "choose one of: "),
            (&["logs", "r/3/test@a", "--attempt", "7"], 7, "has no attempt 7"),
            (&["list", "--ref", "nosuch"], 7, "no build of the branch or tag nosuch"),
            (&["login", "nosuch.cap"], 7, "no file nosuch.cap"),
        ] {
            let output = place.run(arguments).await;
            let said = stderr(&output);
            assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(status), ""), "{arguments:?}: {said}");
            assert!(said.contains(text) && said.contains("help: "), "{arguments:?}: {said}");
        }
        assert_eq!(place.run(&["logs", "r/3/test@a", "--attempt", "1"]).await.status.code(), Some(0));
    });
}

/// Contexts are listed, and one of them is chosen (F6.9 in `tests/cases.tsv`).
#[test]
fn contexts_are_listed_and_chosen() {
    on_one_thread(async {
        let place = Place::with_checkout().await;
        let text = stdout(&place.run(&["context", "list", "--no-headers", "--columns", "name,status"]).await);
        assert_eq!(text, "me\tused here\n");
        assert_eq!(place.run(&["context", "use", "nobody"]).await.status.code(), Some(7));
        assert_eq!(stdout(&place.run(&["context", "use", "me"]).await), "context me is used if no other one applies\n");
    });
}

/// `guild check` shows what a push of a tag would run before the tag exists (F6.12 in `tests/cases.tsv`).
#[test]
fn a_check_of_a_ref_shows_what_its_push_runs() {
    on_one_thread(async {
        let place = Place::with_checkout().await;
        let file = "version = 1\n[trigger]\npush = ['main']\ntag = ['v*']\n[job.publish]\nwhen = { tag = 'v*' }\nrun = 'true'\n";
        std::fs::write(place.checkout().join("guild.toml"), file).unwrap();
        let skipped = "runs only for tags v*; this is branch main\n";
        for (name, said, plan) in [
            ("v1.0", "a push of the tag v1.0 builds:", "\n"),
            ("main", "a push of the branch main builds:", skipped),
            ("refs/tags/x", "a push of the tag x makes no build, because", "runs only for tags v*; this is tag x\n"),
        ] {
            let output = place.run(&["check", "--ref", name, "--no-headers", "--columns", "skipped"]).await;
            assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), plan), "{name}");
            assert!(stderr(&output).contains(said), "{name}: {}", stderr(&output));
        }
    });
}
