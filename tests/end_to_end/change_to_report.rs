//! The path of a change in one process, from a push to a real repository to a page and a notice. The master and the worker are real,
//! steps are processes under supervisors, the log is followed live, and the link is cut once. The numbers below are those of the
//! lines of the path in `docs/architecture.md`. It is the only test of its process, because a worker adopts all orphans.

use client::{Events, Follow, LogAddress, Told, logs};
use master::config::{Config, Means, NoticeConfig};
use master::decide::coordinator::record::Transition;
use schema::values::{Commit, Cursor, Event, Fact, Filter, Outcome, State, Time};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;
use support::guild::{House, Repo, run, until_so};
use support::http::get;
use support::relay::Relay;
use support::worker::RealWorker;
use tokio::io::{AsyncReadExt as _, DuplexStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use worker::Ended;

/// A pipeline of two jobs, the second of which needs the first. A commit with the file `fault` fails in the second step of the
/// first job, as soon as the file GO exists.
const PIPELINE: &str = r#"version = 1
[job.test]
[[job.test.step]]
name = "look"
run = "git log -1 --format=%s; test \"$GUILD_GIT_OBJECTS\" = \"$(cat .git/objects/info/alternates)\"; cat /proc/$PPID/comm"
[[job.test.step]]
name = "check"
run = "echo begun; [ -e fault ] || exit 0; while [ ! -e GO ]; do sleep 0.02; done; cat fault; exit 3"
[job.pack]
needs = ["test"]
run = "echo packed"
"#;
/// The log of the first step of the second build; [`CHECKED`] is the log of its second step.
const LOOKED: &str = "the fault\nsupervisor\n";
const CHECKED: &str = "begun\nno way\n";

#[test]
fn a_change_becomes_a_report() {
    run(async {
        let go = tempfile::tempdir().unwrap();
        let go = go.path().join("go");
        let house = House::open_with(&PIPELINE.replace("GO", go.to_str().unwrap()), configure).await;
        let told = subscribe(&house);
        let relay = Relay::to(house.address()).await;
        let supervisor = Path::new(env!("CARGO_BIN_EXE_supervisor"));
        let worker = RealWorker::start(&house, "anvil", &relay.address, supervisor).await;
        wait_for(&told, |event| event.build == 1 && matches!(event.fact, Fact::BuildFinished { .. })).await;
        assert_eq!(house.guild.outcome("demo", 1).await.unwrap(), Outcome::Succeeded);

        let commit = push_a_fault(&house.repo);
        wait_for(&told, |event| event.build == 2 && matches!(event.fact, Fact::BuildCreated { .. })).await;
        let (mut output, following) = follow(&house);
        read_until(&mut output, &format!("{LOOKED}begun\n")).await;
        it_runs(&house, &worker).await;
        // line 11: the step writes the rest while there is no link, and the bytes come by the next link
        relay.cut();
        std::fs::write(&go, "").unwrap();
        assert_eq!(following.await.unwrap().unwrap(), Outcome::Failed);
        read_until(&mut output, "no way\n").await;
        assert_eq!(output.read(&mut [0]).await.unwrap(), 0, "each byte came once");
        assert!(relay.links() > 1, "the link was cut");

        wait_for(&told, |event| event.build == 2 && matches!(event.fact, Fact::BuildFinished { .. })).await;
        the_events_are(&told.borrow(), change_of(&house.repo, &commit));
        the_logs_are(&house).await;
        the_attempt_has_ended(&house).await;
        the_page_shows_it(&house).await;
        the_notice_tells_it(&house, &commit).await;
        until_so("the worker keeps nothing of what the master knows", || worker.is_tidy()).await;
        assert_eq!(worker.stop().await, Ended::Stopped);
    });
}

/// Configures public pages, and a command that keeps each notice that it gets.
fn configure(config: &mut Config) {
    config.listen.web = Some("127.0.0.1:0".to_owned());
    config.projects.get_mut("demo").unwrap().public = true;
    let tell = config.state.with_file_name("tell");
    std::fs::write(&tell, "#!/bin/sh\ncat > notice.part && mv notice.part notice\n").unwrap();
    std::fs::set_permissions(&tell, std::fs::Permissions::from_mode(0o755)).unwrap();
    let all = || vec!["*".to_owned()];
    let by = Means::Command(vec![tell.to_string_lossy().into_owned()]);
    config.notices = vec![NoticeConfig {
        events: vec![Transition::NewlyFailing],
        by,
        projects: all(),
        branches: all(),
        remind: None,
    }];
}

/// Commits a fault in a clone of the repository, and pushes it. Returns the commit.
fn push_a_fault(repo: &Repo) -> String {
    repo.git(&["config", "receive.denyCurrentBranch", "ignore"]);
    let path = repo.path.with_file_name("clone");
    repo.git(&["clone", "-q", ".", path.to_str().unwrap()]);
    let clone = Repo { path };
    let commit = clone.commit("fault", "no way\n", "the fault");
    clone.git(&["push", "-q", "origin", "HEAD:main"]);
    commit
}

/// Subscribes to all events from the first one on. Checks line 7: an event that a subscriber gets is already in the store.
fn subscribe(house: &House) -> watch::Receiver<Vec<Event>> {
    let (sender, told) = watch::channel(Vec::new());
    let mut events = Events::new(&house.guild, Filter::default(), Cursor::default());
    let database = house.state().join(master::keep::store::DATABASE_FILE);
    tokio::task::spawn_local(async move {
        while let Ok(Told::Events { events, .. }) = events.next().await {
            let newest = events.last().map_or(0, |event| event.sequence);
            assert!(newest <= newest_stored(&database), "event {newest} was told before it was committed");
            sender.send_modify(|told| told.extend(events));
        }
    });
    told
}

fn newest_stored(database: &Path) -> u64 {
    let store = rusqlite::Connection::open_with_flags(database, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    store.busy_timeout(Duration::from_secs(60)).unwrap();
    let newest: i64 = store.query_row("select max(sequence) from events", [], |row| row.get(0)).unwrap();
    newest as u64
}

async fn wait_for(told: &watch::Receiver<Vec<Event>>, is_it: impl Fn(&Event) -> bool) {
    told.clone().wait_for(|told| told.iter().any(&is_it)).await.expect("the subscription goes on");
}

type Following = JoinHandle<Result<Outcome, client::Error>>;

/// Follows the job `test` of the second build. Returns its live output, and the task that returns its outcome.
fn follow(house: &House) -> (DuplexStream, Following) {
    let (mut written, output) = tokio::io::duplex(64 << 10);
    let guild = house.guild.clone();
    let following =
        async move { Follow::new(&guild, "demo", 2).only(|job| job.base() == "test").run(&mut written).await };
    (output, tokio::task::spawn_local(following))
}

/// Reads the next bytes of the output, which must be exactly this text.
async fn read_until(output: &mut DuplexStream, text: &str) {
    let mut bytes = vec![0; text.len()];
    output.read_exact(&mut bytes).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes), text);
}

/// Checks lines 8 and 9: the worker has accepted attempt 1. Line 10: its first step ran under a supervisor, in a checkout of the
/// commit, and its second step runs. Line 5: the other job waits for this one.
async fn it_runs(house: &House, worker: &RealWorker) {
    let view = house.guild.build("demo", 2).await.unwrap();
    let test = view.job("test").unwrap();
    assert_eq!((test.state, test.attempt, test.worker.as_str()), (State::Running, 1, "anvil"));
    let steps: Vec<(State, Option<Outcome>)> = test.steps.iter().map(|step| (step.state, step.outcome)).collect();
    assert_eq!(steps, [(State::Finished, Some(Outcome::Succeeded)), (State::Running, None)]);
    assert_eq!(view.job("pack").unwrap().state, State::Waiting);
    let workers = house.guild.workers().await.unwrap();
    assert_eq!(
        (workers[0].name.as_str(), workers[0].running.as_slice()),
        ("anvil", ["demo/2/test".to_owned()].as_slice())
    );
    assert!(!worker.is_tidy(), "the worker notes what it has in hand");
}

/// Returns the event of the push, with its commit, its author, its time and the file that it changed.
fn change_of(repo: &Repo, commit: &str) -> Fact {
    let seconds: u64 = repo.git(&["show", "-s", "--format=%ct", commit]).parse().unwrap();
    let (author, subject) = ("Tester <tester@example.org>".to_owned(), "the fault".to_owned());
    let pushed = Commit { revision: commit.to_owned(), author, time: Time(seconds * 1_000), subject };
    Fact::ChangeSubmitted {
        ref_name: "refs/heads/main".to_owned(),
        revision: commit.to_owned(),
        forced: false,
        commits: vec![pushed],
        more_commits: false,
        paths: vec!["fault".to_owned()],
        more_paths: false,
    }
}

/// Checks lines 1 to 6 and 13: the decisions about the push came in this order, between events of workers and grants. Line 14:
/// the numbers of events have no gap, and each event comes once.
fn the_events_are(told: &[Event], change: Fact) {
    let numbers: Vec<u64> = told.iter().map(|event| event.sequence).collect();
    assert_eq!(numbers, (1..=told.len() as u64).collect::<Vec<_>>());
    let (job, name) = (|| "test".to_owned(), |name: &str| name.to_owned());
    let Fact::ChangeSubmitted { ref_name, revision, .. } = change.clone() else { panic!("a change") };
    let starts = |step, name: &str| Fact::StepStarted { job: job(), attempt: 1, step, name: name.to_owned() };
    let ends = |step, outcome, reason| Fact::StepFinished {
        job: job(),
        attempt: 1,
        step,
        outcome,
        reason: name(reason),
        tests: None,
    };
    let job_ends =
        Fact::JobFinished { job: job(), outcome: Outcome::Failed, reason: name("step 2 `check`: exit code 3") };
    let expected = [
        change,
        Fact::BuildCreated { cause: name("change"), ref_name, revision },
        Fact::BuildPlanned { jobs: vec![name("test"), name("pack")] },
        Fact::JobQueued { job: job() },
        Fact::JobStarted { job: job(), attempt: 1, worker: name("anvil") },
        starts(1, "look"),
        starts(2, "check"),
        job_ends.clone(),
        Fact::JobFinished { job: name("pack"), outcome: Outcome::Skipped, reason: name("needs test, which failed") },
        Fact::BuildFinished { outcome: Outcome::Failed },
    ];
    let after_the_first = told.iter().skip_while(|event| event.build != 1 || event.fact.kind() != "buildFinished");
    let of_the_push = after_the_first.skip(1).filter(|event| event.project == "demo");
    let facts: Vec<Fact> = of_the_push.map(|event| event.fact.clone()).collect();
    // the event of a step's end comes when its whole log has arrived, so the next step may begin earlier
    let (step_ends, others): (Vec<Fact>, _) = facts.iter().cloned().partition(|fact| fact.kind() == "stepFinished");
    assert_eq!(others, expected);
    assert_eq!(step_ends, [ends(1, Outcome::Succeeded, ""), ends(2, Outcome::Failed, "exit code 3")]);
    let place = |fact: &Fact| facts.iter().position(|told| told == fact);
    for (start, end) in [starts(1, "look"), starts(2, "check")].iter().zip(&step_ends) {
        assert!(place(start) < place(end) && place(end) < place(&job_ends), "{facts:?}");
    }
}

/// Checks line 12: each log is whole and sealed, and can be read from every offset.
async fn the_logs_are(house: &House) {
    for (step, text) in [(1, LOOKED), (2, CHECKED)] {
        let (project, job) = ("demo".to_owned(), "test".to_owned());
        let address = LogAddress { project, build: 2, job, attempt: 1, step };
        assert_eq!(logs::size(&house.guild, &address).await.unwrap(), (text.len() as u64, true));
        for offset in 0..text.len() {
            let part = logs::part(&house.guild, &address, offset as u64, 1_000).await.unwrap();
            assert_eq!(String::from_utf8_lossy(&part), text[offset..]);
        }
    }
}

/// Checks line 13: the attempt has ended, and so have the job and the build.
async fn the_attempt_has_ended(house: &House) {
    let view = house.guild.build("demo", 2).await.unwrap();
    assert_eq!(
        (view.state, view.outcome, view.subject.as_str()),
        (State::Finished, Some(Outcome::Failed), "the fault")
    );
    let test = view.job("test").unwrap();
    assert_eq!((test.outcome, test.attempt), (Some(Outcome::Failed), 1), "a lost link costs no attempt");
    assert_eq!(test.steps[1].log_size, CHECKED.len() as u64);
    assert_eq!(view.job("pack").unwrap().outcome, Some(Outcome::Skipped));
    assert!(house.guild.workers().await.unwrap()[0].running.is_empty());
}

/// Checks line 15: a browser gets the page of the build and the log.
async fn the_page_shows_it(house: &House) {
    let log = get(&house.pages, "/p/demo/2/test/2/raw", &[]).await;
    assert_eq!((log.status, log.text().as_str()), (200, CHECKED));
    let page = get(&house.pages, "/p/demo/2", &[]).await;
    assert!(page.status == 200 && page.text().contains("the fault"), "{}", page.text());
}

/// Checks line 15: the command of a `[[notice]]` gets the notice.
async fn the_notice_tells_it(house: &House, commit: &str) {
    let file = house.state().join("notice");
    until_so("the notice is told", || file.exists()).await;
    let notice: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let said = ["kind", "selector", "branch", "commit", "log"].map(|key| notice[key].clone());
    assert_eq!(
        said.map(|it| it.as_str().unwrap().to_owned()),
        ["newly-failing", "demo/2/test", "main", commit, "begun\nno way"]
    );
    assert_eq!((&notice["step"]["name"], &notice["step"]["exit"]), (&json!("check"), &json!("exit code 3")));
    assert_eq!(
        (&notice["last_good"]["build"], &notice["authors"][0]["email"]),
        (&json!(1), &json!("tester@example.org"))
    );
}
