//! The command `guild` as a process with a played master: what it prints on which stream, and its exit status.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    clippy::allow_attributes,
    reason = "a test fails by panicking; each file uses a part of the fake master"
)]

#[path = "../../tests/fake/mod.rs"]
mod fake;

use fake::{Log, Master, finished_build};
use schema::values::{Fact, Finding, Outcome};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use tokio::process::Command;

struct Place {
    master: Master,
    directory: tempfile::TempDir,
}

fn on_one_thread<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test)
}

impl Place {
    /// Starts a master with three builds of the project `r`, and logs a user in.
    async fn logged_in() -> Place {
        let place = Place { master: Master::start().await, directory: tempfile::tempdir().unwrap() };
        place.master.world.change(|facts| {
            facts.projects = vec![client::views::ProjectView {
                name: "r".to_owned(),
                repository: "ssh://git@git.example.org/r.git".to_owned(),
                latest: 3,
                ..Default::default()
            }];
            facts.builds = vec![
                finished_build(1, &[("test", Outcome::Succeeded)]),
                finished_build(2, &[("test", Outcome::Succeeded)]),
                finished_build(
                    3,
                    &[("lint", Outcome::Succeeded), ("test@a", Outcome::Failed), ("test@b", Outcome::Succeeded)],
                ),
            ];
            for (job, text) in [("lint", "linted\n"), ("test@a", "one\ntwo\nthree"), ("test@b", "fine\n")] {
                facts.logs.insert((3, job.to_owned(), 1), Log { bytes: text.as_bytes().to_vec(), sealed: true });
            }
        });
        place.master.join.save(&place.path("me.cap")).unwrap();
        let output = place.run(&["login", "me.cap"]).await;
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(stdout(&output).starts_with("logged in to the test as me (user), context me"), "{}", stdout(&output));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guild"));
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("GIT_CEILING_DIRECTORIES", self.directory.path().parent().unwrap_or(Path::new("/")))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().await.unwrap()
    }

    /// Makes a working copy of the project `r` on this branch, without a commit.
    fn copy(&self, branch: &str) -> PathBuf {
        let copy = self.path("copy");
        let git = |arguments: &[&str]| {
            let status = std::process::Command::new("git").arg("-C").arg(&copy).args(arguments).status().unwrap();
            assert!(status.success(), "git {arguments:?}");
        };
        if !copy.exists() {
            std::fs::create_dir(&copy).unwrap();
            git(&["init", "-q"]);
            git(&["remote", "add", "origin", "ssh://git@git.example.org/r.git"]);
        }
        git(&["symbolic-ref", "HEAD", &format!("refs/heads/{branch}")]);
        copy
    }

    async fn at(&self, directory: &Path, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        command.current_dir(directory).env("GIT_CONFIG_GLOBAL", "/dev/null").output().await.unwrap()
    }

    /// Runs the command. Returns its exit status and its standard output.
    async fn shown(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments).await;
        (output.status.code().unwrap(), stdout(&output))
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn lists_are_tabs_or_json_lines() {
    on_one_thread(async {
        let place = Place::logged_in().await;
        let (status, text) =
            place.shown(&["list", "-n", "2", "--columns", "selector,status,created", "--no-headers"]).await;
        assert_eq!(
            (status, text.as_str()),
            (0, "r/3\tfailed\t2023-11-14T22:13:20.000Z\nr/2\tsucceeded\t2023-11-14T22:13:20.000Z\n")
        );
        let (_, text) = place.shown(&["list", "--json"]).await;
        let rows: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(rows.len(), 3);
        for field in
            ["project", "number", "state", "outcome", "ref", "revision", "subject", "created", "started", "finished"]
        {
            assert!(!rows[0][field].is_null(), "{field} is missing in {}", rows[0]);
        }
        let (_, text) = place.shown(&["list", "--json=number,outcome", "-n1"]).await;
        assert_eq!(text, "{\"number\":3,\"outcome\":\"failed\"}\n");
    });
}

#[test]
fn a_log_that_retention_took_is_not_found() {
    on_one_thread(async {
        let place = Place::logged_in().await;
        for removed in [fake::Removed::Before, fake::Removed::Between] {
            place.master.world.change(|facts| facts.removed = Some(removed));
            let output = place.run(&["logs", "r/3/lint"]).await;
            assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(7), ""), "{removed:?}");
            assert!(stderr(&output).contains(fake::REMOVED), "{removed:?}: {}", stderr(&output));
        }
    });
}

#[test]
fn logs_are_exactly_the_bytes() {
    on_one_thread(async {
        let place = Place::logged_in().await;
        let all = place.run(&["logs", "r"]).await;
        assert_eq!(stdout(&all), "linted\none\ntwo\nthreefine\n");
        assert!(stderr(&all).contains("== r/3/test@a/1 \"make\" failed"), "{}", stderr(&all));
        assert_eq!(place.shown(&["logs", "--failed"]).await, (0, "one\ntwo\nthree".to_owned()));
        assert_eq!(place.shown(&["logs", "r/3/test@a/1:L2-L2"]).await, (0, "two\n".to_owned()));
        assert_eq!(place.shown(&["logs", "3/test@b", "--exit-status"]).await, (1, "fine\n".to_owned()));
        let web = "https://ci.example.org/p/r/3/test@a/1#L3";
        assert_eq!(place.shown(&["logs", web]).await, (0, "three".to_owned()));
    });
}

#[test]
fn exit_statuses_are_those_of_the_table() {
    on_one_thread(async {
        let place = Place::logged_in().await;
        for (arguments, expected) in [
            (&["show", "r/3"][..], 0),
            (&["show", "r/3", "--exit-status"], 1),
            (&["show", "r/3/lint", "--exit-status"], 0),
            (&["watch", "r/3"], 1),
            (&["logs", "-f", "r/2"], 0),
            (&["logs", "-f", "r/3/test@a"], 1),
            (&["show", "r/99"], 7),
            (&["show", "no-such-branch"], 7),
            (&["show", "r/3/no-job"], 7),
            (&["cancel"], 2),
            (&["nonsense"], 2),
            (&["cancel", "r/3"], 5),
            (&["notify", "--project", "r", "--ref", "main"], 5),
            (&["--context", "nobody", "list"], 7),
        ] {
            let output = place.run(arguments).await;
            assert_eq!(output.status.code(), Some(expected), "{arguments:?}: {}", stderr(&output));
        }
        let output = place.command(&["list"]).env("XDG_CONFIG_HOME", place.path("empty")).output().await.unwrap();
        assert_eq!(output.status.code(), Some(5));
        assert!(stderr(&output).contains("guild login FILE"), "{}", stderr(&output));
    });
}

#[test]
fn nobody_there_is_6_and_a_passed_deadline_is_8() {
    on_one_thread(async {
        let place = Place::logged_in().await;
        place.master.world.tell(
            4,
            Fact::BuildCreated { cause: String::new(), ref_name: "refs/heads/x".into(), revision: "c".repeat(40) },
        );
        let output = place.run(&["watch", "r/4", "--timeout", "1"]).await;
        assert_eq!(output.status.code(), Some(8), "{}", stderr(&output));
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let nobody = schema::sturdy_ref::SturdyRef { addresses: vec![free.to_string()], ..place.master.open.clone() };
        nobody.save(&place.path("nobody.cap")).unwrap();
        assert_eq!(place.run(&["list", "--cap", "nobody.cap"]).await.status.code(), Some(6));
    });
}

#[test]
fn what_changes_something_says_first_what_it_resolved_to() {
    on_one_thread(async {
        let place = Place::logged_in().await;
        let output = place.run(&["retry", "--latest", "--failed"]).await;
        assert_eq!(output.status.code(), Some(7), "there is no branch here: {}", stderr(&output));
        let copy = place.copy("main");
        let output = place.at(&copy, &["retry", "--latest", "--failed"]).await;
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), "r/9\n"));
        assert!(stderr(&output).starts_with("retry: r/3  main 0000000000 \"change 3\""), "{}", stderr(&output));
        assert_eq!(place.shown(&["retry", "r/3/test"]).await, (0, "r/9\n".to_owned()));
        assert_eq!(place.shown(&["run", "--ref", "main"]).await, (0, "r/8\n".to_owned()));
        assert_eq!(
            place.master.world.facts.borrow().calls,
            ["retry 3 failed=true []", "retry 3 failed=false [\"test@a\", \"test@b\"]", "run r ref=main revision="]
        );
    });
}

/// The fake master knows no tries, like a master of version 0.3.
#[test]
fn a_try_at_an_older_master_says_which_side_to_upgrade() {
    on_one_thread(async {
        let place = Place::logged_in().await;
        let output = place.run(&["try"]).await;
        assert_eq!(output.status.code(), Some(2), "there is no checkout here: {}", stderr(&output));
        let copy = place.copy("main");
        let output = place.at(&copy, &["try"]).await;
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains("there is no commit yet"), "{}", stderr(&output));
        std::fs::write(copy.join("file"), "x").unwrap();
        let who = ["-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "x"];
        for arguments in [&["add", "-A"][..], &who] {
            assert!(std::process::Command::new("git").arg("-C").arg(&copy).args(arguments).status().unwrap().success());
        }
        let output = place.at(&copy, &["try"]).await;
        assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
        assert!(stderr(&output).contains("upgrade the master"), "{}", stderr(&output));
    });
}

/// If the branch here has no build, the command never acts on a build of another branch (C69 in `tests/cases.tsv`).
#[test]
fn a_branch_without_a_build_reaches_no_other_branch() {
    on_one_thread(async {
        let place = Place::logged_in().await;
        let copy = place.copy("topic");
        for arguments in
            [&["cancel", "--latest"][..], &["retry", "--latest"], &["status"], &["show"], &["logs"], &["explain"]]
        {
            let output = place.at(&copy, arguments).await;
            assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(7), ""), "{arguments:?}");
            let said = stderr(&output);
            assert!(said.contains("the branch `topic` of r has no build yet"), "{arguments:?}: {said}");
        }
        assert!(place.master.world.facts.borrow().calls.is_empty());
    });
}

/// Each command takes a short name of a build, also in a directory that is not a checkout (C64 in `tests/cases.tsv`).
#[test]
fn each_command_takes_a_short_name() {
    on_one_thread(async {
        let place = Place::logged_in().await;
        place.master.world.change(|facts| {
            for (at, name) in [(0, "refs/heads/feature/x"), (1, "refs/tags/v1")] {
                facts.builds[at].ref_name = name.to_owned();
            }
        });
        for name in ["feature/x", "r/feature/x", "refs/heads/feature/x"] {
            for command in ["status", "show", "logs", "explain", "watch"] {
                let output = place.run(&[command, name]).await;
                assert_eq!(output.status.code(), Some(0), "{command} {name}: {}", stderr(&output));
            }
            let (_, text) = place.shown(&["show", name, "--json=number"]).await;
            assert_eq!(text, "{\"number\":1}\n", "{name}");
        }
        for (arguments, expected) in [
            (&["list", "feature/x"][..], "r/1\n"),
            (&["list", "--ref", "feature/x"], "r/1\n"),
            (&["list", "v1"], "r/2\n"),
            (&["list", "--ref", "v1"], "r/2\n"),
            (&["list", "main"], "r/3\n"),
            (&["list", "--ref", "refs/heads/main"], "r/3\n"),
            (&["list", "--all", "main"], "r/3\n"),
            (&["list", "2"], "r/2\n"),
        ] {
            let (status, text) = place.shown(&[arguments, &["--columns", "selector", "--no-headers"]].concat()).await;
            assert_eq!((status, text.as_str()), (0, expected), "{arguments:?}");
        }
        for arguments in [&["list", "nosuch"][..], &["list", "--ref", "nosuch"], &["status", "9/hotfix"]] {
            assert_eq!(place.run(arguments).await.status.code(), Some(7), "{arguments:?}");
        }
    });
}

#[test]
fn a_name_of_two_things_is_not_guessed() {
    on_one_thread(async {
        let place = Place::logged_in().await;
        place.master.world.change(|facts| "refs/tags/main".clone_into(&mut facts.builds[0].ref_name));
        for command in ["show", "logs", "cancel", "retry", "list", "watch"] {
            let output = place.run(&[command, "main"]).await;
            assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""), "{command}");
            let said = stderr(&output);
            assert!(said.contains("r/refs/heads/main  the branch main, last built as r/3"), "{said}");
            assert!(said.contains("r/refs/tags/main  the tag main, last built as r/1"), "{said}");
        }
        let (_, text) = place.shown(&["show", "r/refs/tags/main", "--json=number"]).await;
        assert_eq!(text, "{\"number\":1}\n");
    });
}

/// If a tag has the name of the branch, git calls the branch `heads/main`. The command still asks for the branch (C01 in
/// `tests/cases.tsv`).
#[test]
fn a_tag_of_the_branchs_name_does_not_change_what_is_asked_for() {
    on_one_thread(async {
        let place = Place::logged_in().await;
        let copy = place.copy("main");
        let commit =
            ["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "--allow-empty", "-m", "x"];
        for arguments in [&commit[..], &["tag", "main"]] {
            let mut git = std::process::Command::new("git");
            assert!(git.arg("-C").arg(&copy).args(arguments).status().unwrap().success());
        }
        assert_eq!(place.at(&copy, &["run"]).await.status.code(), Some(0));
        assert_eq!(place.master.world.facts.borrow().calls, ["run r ref=refs/heads/main revision="]);
        let (status, shown) = (place.at(&copy, &["status"]).await.status.code(), place.at(&copy, &["show"]).await);
        assert_eq!(status, Some(0), "{}", stderr(&shown));
    });
}

#[test]
fn a_followed_log_survives_a_lost_link_and_exits_with_the_outcome() {
    on_one_thread(async {
        let place = Place::logged_in().await;
        let world = place.master.world.clone();
        world.tell(
            4,
            Fact::BuildCreated { cause: String::new(), ref_name: "refs/heads/main".into(), revision: "d".repeat(40) },
        );
        world.tell(4, Fact::BuildPlanned { jobs: vec!["test".into()] });
        world.tell(4, Fact::JobStarted { job: "test".into(), attempt: 1, worker: "w".into() });
        world.tell(4, Fact::StepStarted { job: "test".into(), attempt: 1, step: 1, name: "make".into() });
        world.write(4, "test", 1, b"before\n");
        let mut command = place.command(&["logs", "-f", "r/4"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = [0; 7];
        tokio::io::AsyncReadExt::read_exact(child.stdout.as_mut().unwrap(), &mut first).await.unwrap();
        assert_eq!(&first, b"before\n");
        world.cut();
        world.write(4, "test", 1, b"after\n");
        let outcome = Outcome::Failed;
        world.tell(
            4,
            Fact::StepFinished { job: "test".into(), attempt: 1, step: 1, outcome, reason: String::new(), tests: None },
        );
        world.tell(4, Fact::JobFinished { job: "test".into(), outcome, reason: "exit code 1".into() });
        world.tell(4, Fact::BuildFinished { outcome });
        let output = child.wait_with_output().await.unwrap();
        assert_eq!(stdout(&output), "after\n");
        assert!(stderr(&output).contains("reconnected, 0 lines lost"), "{}", stderr(&output));
        assert_eq!(output.status.code(), Some(1));
    });
}

#[test]
fn an_issued_credential_is_a_private_file_whose_join_the_master_never_saw() {
    use std::os::unix::fs::PermissionsExt as _;
    on_one_thread(async {
        let place = Place::logged_in().await;
        let output = place
            .run(&[
                "grant", "issue", "--kind", "worker", "--name", "w1", "--pool", "linux", "--ttl", "1h", "-o", "w1.cap",
            ])
            .await;
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let file = place.path("w1.cap");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let reference = schema::sturdy_ref::SturdyRef::load(&file).unwrap();
        assert_eq!(place.master.world.facts.borrow().issued, Some(reference.token.digest()));
        assert_eq!(reference.addresses, place.master.join.addresses);
        let again = place.run(&["grant", "issue", "--kind", "user", "--name", "x", "-o", "w1.cap"]).await;
        assert_eq!(again.status.code(), Some(2), "an existing file was overwritten");
    });
}

#[test]
fn events_are_printed_up_to_now() {
    on_one_thread(async {
        let place = Place::logged_in().await;
        place.master.world.tell(
            4,
            Fact::BuildCreated { cause: "change".into(), ref_name: "refs/heads/main".into(), revision: "e".into() },
        );
        place.master.world.tell(4, Fact::BuildFinished { outcome: Outcome::Errored });
        let (status, text) = place.shown(&["events", "--after", "0", "--json=sequence,kind,outcome"]).await;
        assert_eq!(status, 0);
        assert_eq!(
            text,
            "{\"kind\":\"buildCreated\",\"outcome\":null,\"sequence\":1}\n\
             {\"kind\":\"buildFinished\",\"outcome\":\"errored\",\"sequence\":2}\n"
        );
        // the last events are of another kind, and the command must end nevertheless
        let (status, text) = place.shown(&["events", "--filter", "kind=buildCreated", "--json=sequence"]).await;
        assert_eq!((status, text.as_str()), (0, "{\"sequence\":1}\n"));
    });
}

#[test]
fn status_names_the_jobs_and_the_way_on() {
    on_one_thread(async {
        let place = Place::logged_in().await;
        let output = place.run(&["status", "--no-headers", "--columns", "selector,status"]).await;
        assert_eq!(stdout(&output), "r/3/lint\tsucceeded\nr/3/test@a\tfailed\nr/3/test@b\tsucceeded\n");
        assert!(stderr(&output).contains("guild retry r/3 --failed"), "{}", stderr(&output));
    });
}

#[test]
fn a_queue_is_a_list_like_the_others() {
    on_one_thread(async {
        let place = Place::logged_in().await;
        let item = |project: &str, build| client::views::QueueItem {
            project: project.to_owned(),
            build,
            job: "test".to_owned(),
            since: Some(schema::values::Time(1_700_000_000_000)),
            reason: "the only worker that could take it is busy".to_owned(),
            kind: "busy".to_owned(),
            remedy: "wait for one, or start another worker".to_owned(),
        };
        place.master.world.change(|facts| facts.queue = vec![item("r", 3), item("other", 9), item("r", 4)]);
        let (status, text) = place.shown(&["queue", "-p", "r"]).await;
        assert_eq!(status, 0);
        assert_eq!(
            text,
            "SELECTOR\tSINCE\tREASON\tREMEDY\n\
             r/3/test\t2023-11-14T22:13:20.000Z\tthe only worker that could take it is busy\twait for one, or start another worker\n\
             r/4/test\t2023-11-14T22:13:20.000Z\tthe only worker that could take it is busy\twait for one, or start another worker\n"
        );
        let (_, text) = place.shown(&["queue", "--json=selector,kind"]).await;
        assert_eq!(text.lines().nth(1), Some("{\"kind\":\"busy\",\"selector\":\"other/9/test\"}"));
        let (_, text) = place.shown(&["queue", "--columns", "job,build", "--no-headers"]).await;
        assert_eq!(text, "test\t3\ntest\t9\ntest\t4\n");
        assert_eq!(place.run(&["queue", "-p", "nowhere"]).await.status.code(), Some(7));
    });
}

/// Runs `guild doctor` with a pipe. Returns its exit status, the verdict, subject and remedy of each finding, and standard error.
async fn diagnosed(mut command: Command) -> (i32, String, String) {
    command.args(["--no-headers", "--columns", "verdict,subject,remedy"]);
    let output = command.output().await.unwrap();
    let text = stdout(&output).lines().map(|line| format!("{}\n", line.replace('\t', "|"))).collect();
    (output.status.code().unwrap(), text, stderr(&output))
}

#[test]
fn a_doctor_tells_what_is_wrong_here_and_there() {
    on_one_thread(async {
        let place = Place::logged_in().await;
        let address = &place.master.world.address;
        let good =
            format!("good|git|\ngood|credential|\ngood|key|\ngood|address {address}|\ngood|link|\ngood|grant of me|\n");
        let (status, text, hints) = diagnosed(place.command(&["doctor"])).await;
        assert_eq!((status, text.as_str()), (0, good.as_str()));
        assert!(hints.contains(env!("CARGO_PKG_VERSION")) && hints.contains("`operate`"), "{hints}");

        place.master.world.change(|facts| {
            facts.findings = vec![
                Finding::good("disk of /srv/guild", "4.0 TiB free"),
                Finding::warned("pages", "http://ci: logins travel unencrypted", "url in the master file"),
            ];
        });
        let (status, text, _) = diagnosed(place.command(&["doctor"])).await;
        let there = "good|disk of /srv/guild|\nwarned|pages|url in the master file\n";
        assert_eq!((status, text), (0, format!("{good}{there}")));

        let arm = Finding::bad("pool arm", "no worker is in it", "guild grant issue --pool arm");
        place.master.world.change(|facts| facts.findings.push(arm));
        let (status, text) = place.shown(&["doctor", "--json"]).await;
        let last = "{\"remedy\":\"guild grant issue --pool arm\",\"seen\":\"no worker is in it\",\"subject\":\"pool arm\",\
                    \"verdict\":\"bad\"}";
        assert_eq!((status, text.lines().count(), text.lines().last()), (4, 9, Some(last)));
    });
}

#[test]
fn a_doctor_looks_at_the_repository_here() {
    on_one_thread(async {
        let place = Place::logged_in().await;
        let repo = place.path("repo");
        std::fs::create_dir(&repo).unwrap();
        let git = |arguments: &[&str]| {
            let status = std::process::Command::new("git").arg("-C").arg(&repo).args(arguments).status().unwrap();
            assert!(status.success());
        };
        git(&["init", "-q"]);
        let told = async || {
            let mut command = place.command(&["doctor"]);
            command.current_dir(&repo);
            let (status, text, _) = diagnosed(command).await;
            let of_here = |line: &&str| line.contains("|guild.toml|") || line.contains("|project here|");
            (status, text.lines().filter(of_here).collect::<Vec<_>>().join("\n"))
        };
        let unknown = "warned|project here|compare `guild project list` with `repo` and `aliases` in [project.NAME] of the master file";
        assert_eq!(told().await, (0, format!("warned|guild.toml|run `guild init` to write one\n{unknown}")));
        std::fs::write(repo.join("guild.toml"), "version = 1\n[job.test]\n").unwrap();
        assert_eq!(told().await, (4, format!("bad|guild.toml|run `guild check` to see all of them\n{unknown}")));
        std::fs::write(repo.join("guild.toml"), "version = 1\n[job.test]\nrun = \"true\"\n").unwrap();
        git(&["remote", "add", "origin", "https://git.example.org/r"]);
        assert_eq!(told().await, (0, "good|guild.toml|\ngood|project here|".to_owned()));
    });
}

#[test]
fn a_doctor_without_a_link_says_why() {
    on_one_thread(async {
        let place = Place::logged_in().await;
        let cap = async |reference: &schema::sturdy_ref::SturdyRef| {
            reference.save(&place.path("other.cap")).unwrap();
            let (status, text, _) = diagnosed(place.command(&["doctor", "--cap", "other.cap"])).await;
            let wrong = text.lines().filter(|line| !line.starts_with("good")).collect::<Vec<_>>().join("\n");
            (status, wrong)
        };
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let open = &place.master.open;
        let nobody = schema::sturdy_ref::SturdyRef { addresses: vec![free.to_string()], ..open.clone() };
        let (run, anew) = (
            "run `guild-master run` there, and make `rpc` in [listen] of the master file reachable from this machine",
            "ask the master's operator for a new grant, then run `guild login FILE`",
        );
        assert_eq!(cap(&nobody).await, (6, format!("bad|address {free}|{run}")));
        let both = vec![free.to_string(), place.master.world.address.clone()];
        let one = schema::sturdy_ref::SturdyRef { addresses: both, ..open.clone() };
        assert_eq!(cap(&one).await, (0, format!("warned|address {free}|{run}")));
        let fingerprint = schema::sturdy_ref::Fingerprint([7; 32]);
        let other = schema::sturdy_ref::SturdyRef { fingerprint, ..open.clone() };
        assert_eq!(cap(&other).await, (5, format!("bad|link|{anew}")));

        let mut command = place.command(&["doctor"]);
        command.env("XDG_CONFIG_HOME", place.path("empty"));
        let (status, text, _) = diagnosed(command).await;
        assert!(status == 5 && text.contains("bad|credential|run `guild login FILE`"), "{status} {text}");
        assert!(!place.path("empty").exists(), "a look makes nothing");
    });
}

#[test]
fn an_explanation_is_lines_or_json() {
    on_one_thread(async {
        let place = Place::logged_in().await;
        let (status, text) = place.shown(&["explain", "r/3/lint"]).await;
        assert_eq!(status, 0);
        assert_eq!(
            text,
            "job\tr/3/lint\nstatus\tsucceeded, 2023-11-14T22:13:20.000Z\n\
             why\tworker anvil could take lint and is drained or held\n\
             do\tresume worker anvil\n\t  guild worker resume anvil\n\
             worker\tanvil  held by ada: its disk\n"
        );
        let (_, text) = place.shown(&["explain", "r/3", "--json=selector,kind,remedies"]).await;
        let rows: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((rows.len(), rows[1]["selector"].as_str()), (3, Some("r/3/test@a")));
        assert_eq!(rows[1]["remedies"][0]["steps"][0]["act"], "resume");
        assert_eq!(place.run(&["explain", "r/3/nothing"]).await.status.code(), Some(7));
    });
}

#[test]
fn every_command_has_a_page() {
    on_one_thread(async {
        let place = Place::logged_in().await;
        let (status, text) = place.shown(&["man"]).await;
        assert_eq!(status, 0);
        assert!(text.contains(".TH guild 1guild") && text.contains("explain"), "{text}");
        assert_eq!(place.run(&["man", "-o", "pages"]).await.status.code(), Some(0));
        let help = stdout(&place.run(&["--help"]).await);
        let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
        let names: Vec<&str> = commands.filter_map(|line| line.split_whitespace().next()).collect();
        assert!(names.len() > 20 && names.contains(&"queue"), "{names:?}");
        let inner = ["worker-drain", "grant-issue", "project-list"];
        for name in names.into_iter().filter(|name| *name != "help").chain(inner) {
            let page = std::fs::read_to_string(place.path("pages").join(format!("guild-{name}.1guild")));
            let page = page.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(page.contains(&format!(".TH guild-{name} 1guild")) && page.contains(".SH SYNOPSIS"), "{page}");
        }
    });
}

#[test]
fn a_shell_reads_its_completions() {
    on_one_thread(async {
        let place = Place::logged_in().await;
        for (shell, word) in [("bash", "complete -F"), ("zsh", "#compdef guild"), ("fish", "complete -c guild")] {
            let (status, script) = place.shown(&["completions", shell]).await;
            assert_eq!(status, 0);
            assert!(script.contains(word) && script.contains("explain"), "{shell}: {script}");
            std::fs::write(place.path(shell), script).unwrap();
        }
        let checked = Command::new("bash").arg("-n").arg(place.path("bash")).output().await.unwrap();
        assert!(checked.status.success(), "{}", stderr(&checked));
        assert_eq!(place.run(&["completions", "tcsh"]).await.status.code(), Some(2));
    });
}

#[test]
fn a_test_is_shown_by_a_name_that_means_no_other() {
    on_one_thread(async {
        let place = Place::logged_in().await;
        let test = |number: u32, name: &str| client::views::TestView {
            number,
            suite: "a.B".to_owned(),
            name: name.to_owned(),
            ..client::views::TestView::default()
        };
        let long = "x".repeat(700);
        place.master.world.change(|facts| {
            // the test of exactly that name comes after the first hundred tests whose names contain it
            facts.tests = (1..=150).map(|number| test(number, &format!("reads {number}"))).collect();
            facts.tests.extend([test(151, "reads"), test(152, &format!("{long}1")), test(153, &format!("{long}2"))]);
        });
        let show = async |name: &str| {
            let output = place.run(&["test", "show", name, "--project", "r", "--json"]).await;
            (output.status.code().unwrap(), stdout(&output), stderr(&output))
        };
        let (status, shown, said) = show("a.B › reads").await;
        assert!(status == 0 && shown.contains("\"number\":151,"), "{shown}{said}");
        assert_eq!(show("reads").await.0, 0, "its name is the whole text");
        let (status, _, said) = show("read").await;
        assert!(status == 2 && said.contains("151 tests have `read` in their names"), "{said}");
        assert!(said.contains("  1  a.B › reads 1\n") && said.contains("  and 141 more: "), "{said}");
        let (status, shown, said) = show(&format!("{long}2")).await;
        assert!(status == 0 && shown.contains("\"number\":153,"), "{shown}{said}");
        assert_eq!((show("nothing like it").await.0, show("7").await.0), (7, 0));
    });
}
