//! The client library with a played master that loses links at the worst moments.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    clippy::allow_attributes,
    reason = "a test fails by panicking; each file uses a part of the fake master"
)]

mod fake;

use client::context::Contexts;
use client::{BuildQuery, Error, Follow, Guild, LogAddress, Mirror, News, Watch};
use fake::{Log, Master, finished_build};
use schema::identity::Identity;
use schema::values::{Fact, Filter, Outcome, RefusalCode, Time};
use std::rc::Rc;

/// Runs one test on a `LocalSet`.
fn on_one_thread<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test)
}

async fn guild(master: &Master) -> Guild {
    Guild::connect(master.open.clone(), Rc::new(Identity::generate())).await.unwrap()
}

fn address(job: &str, step: u16) -> LogAddress {
    LogAddress { project: "r".to_owned(), build: 1, job: job.to_owned(), attempt: 1, step }
}

/// Returns bytes in which no part occurs twice, so that a lost or repeated part is noticed.
fn counted(length: usize) -> Vec<u8> {
    (0..).flat_map(|line: u32| format!("line {line}\n").into_bytes()).take(length).collect()
}

#[test]
fn a_log_is_copied_exactly_through_lost_links() {
    on_one_thread(async {
        let master = Master::start().await;
        let bytes = counted(3_000_000);
        master.world.change(|facts| {
            facts.builds = vec![finished_build(1, &[("test", Outcome::Succeeded)])];
            facts.logs.insert((1, "test".to_owned(), 1), Log { bytes: bytes.clone(), sealed: true });
            facts.reads_until_cut = Some(6);
        });
        let guild = guild(&master).await;
        let mut out = Vec::new();
        let end = client::logs::copy(&guild, &address("test", 1), 0..u64::MAX, &mut out).await.unwrap();
        assert_eq!(end, bytes.len() as u64);
        assert!(out == bytes, "{} bytes, not those of the log", out.len());
        assert_eq!(master.world.facts.borrow().links_made, 2);
    });
}

#[test]
fn lines_are_found_by_number() {
    on_one_thread(async {
        let master = Master::start().await;
        master.world.change(|facts| {
            facts.builds = vec![finished_build(1, &[("test", Outcome::Succeeded)])];
            facts.logs.insert((1, "test".to_owned(), 1), Log { bytes: b"one\ntwo\nthree".to_vec(), sealed: true });
        });
        let guild = guild(&master).await;
        for ((first, last), expected) in
            [((2, 2), "two\n"), ((1, 2), "one\ntwo\n"), ((2, 99), "two\nthree"), ((4, 9), "")]
        {
            let range = client::logs::line_range(&guild, &address("test", 1), first, last).await.unwrap();
            let mut out = Vec::new();
            client::logs::copy(&guild, &address("test", 1), range, &mut out).await.unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{first}-{last}");
        }
    });
}

fn start(job: &str) -> [Fact; 2] {
    let job = job.to_owned();
    [
        Fact::JobStarted { job: job.clone(), attempt: 1, worker: "w".into() },
        Fact::StepStarted { job, attempt: 1, step: 1, name: "make".into() },
    ]
}

fn end(job: &str, outcome: Outcome) -> [Fact; 2] {
    let job = job.to_owned();
    [
        Fact::StepFinished { job: job.clone(), attempt: 1, step: 1, outcome, reason: String::new(), tests: None },
        Fact::JobFinished { job, outcome, reason: String::new() },
    ]
}

fn created() -> Fact {
    Fact::BuildCreated { cause: "change".into(), ref_name: "refs/heads/main".into(), revision: "ab".repeat(20) }
}

/// Lets all other tasks run until nothing happens any more on this thread and its sockets.
async fn settle() {
    for _ in 0..20 {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

#[test]
fn a_build_is_followed_live_through_a_lost_link() {
    on_one_thread(async {
        let master = Master::start().await;
        let world = master.world.clone();
        world.tell(1, created());
        world.tell(1, Fact::BuildPlanned { jobs: vec!["test".into()] });
        let guild = guild(&master).await;
        let live = tokio::task::spawn_local(async move {
            let mut out = Vec::new();
            let outcome = Follow::new(&guild, "r", 1).run(&mut out).await;
            (outcome, out)
        });
        start("test").into_iter().for_each(|fact| world.tell(1, fact));
        let bytes = counted(300_000);
        for (index, piece) in bytes.chunks(50_000).enumerate() {
            world.write(1, "test", 1, piece);
            settle().await;
            if index == 2 {
                world.cut();
            }
        }
        // a second step begins while the log of the first one is not sealed yet
        world.tell(
            1,
            Fact::StepFinished {
                job: "test".into(),
                attempt: 1,
                step: 1,
                outcome: Outcome::Succeeded,
                reason: String::new(),
                tests: None,
            },
        );
        world.write(1, "test", 2, b"second");
        world.tell(1, Fact::StepStarted { job: "test".into(), attempt: 1, step: 2, name: "check".into() });
        world.tell(
            1,
            Fact::StepFinished {
                job: "test".into(),
                attempt: 1,
                step: 2,
                outcome: Outcome::Failed,
                reason: String::new(),
                tests: None,
            },
        );
        world.tell(1, Fact::JobFinished { job: "test".into(), outcome: Outcome::Failed, reason: String::new() });
        world.tell(1, Fact::BuildFinished { outcome: Outcome::Failed });
        let (outcome, out) = live.await.unwrap();
        assert_eq!(outcome.unwrap(), Outcome::Failed);
        assert!(out == [&bytes[..], b"second"].concat(), "{} bytes of {}", out.len(), bytes.len() + 6);
    });
}

#[test]
fn parallel_jobs_keep_their_lines_whole() {
    on_one_thread(async {
        let master = Master::start().await;
        let world = master.world.clone();
        world.tell(1, created());
        world.tell(1, Fact::BuildPlanned { jobs: vec!["a".into(), "b".into()] });
        let guild = guild(&master).await;
        let live = tokio::task::spawn_local(async move {
            let mut out = Vec::new();
            Follow::new(&guild, "r", 1).run(&mut out).await.map(|outcome| (outcome, out))
        });
        ["a", "b"].iter().flat_map(|job| start(job)).for_each(|fact| world.tell(1, fact));
        for piece in ["one ", "line\ntwo"] {
            world.write(1, "a", 1, piece.as_bytes());
            world.write(1, "b", 1, piece.as_bytes());
            settle().await;
        }
        ["a", "b"].iter().flat_map(|job| end(job, Outcome::Succeeded)).for_each(|fact| world.tell(1, fact));
        world.tell(1, Fact::BuildFinished { outcome: Outcome::Succeeded });
        let (outcome, out) = live.await.unwrap().unwrap();
        let text = String::from_utf8(out).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["a | one line", "a | two", "b | one line", "b | two"]);
        assert_eq!(outcome, Outcome::Succeeded);
    });
}

#[test]
fn a_watch_stands_as_the_master_does_after_a_lost_link() {
    on_one_thread(async {
        let master = Master::start().await;
        let world = master.world.clone();
        world.tell(1, created());
        let guild = guild(&master).await;
        let mut watch = Watch::new(&guild, Filter::default());
        let mut mirror = Mirror::default();
        let News::Snapshot(builds) = watch.next().await.unwrap() else { panic!("no snapshot at first") };
        mirror.reset(builds);
        world.tell(1, Fact::BuildPlanned { jobs: vec!["test".into()] });
        let News::Events(events) = watch.next().await.unwrap() else { panic!("no events after it") };
        events.iter().for_each(|event| mirror.apply(event));
        assert_eq!(mirror.build("r", 1).unwrap().jobs.len(), 1);
        world.cut();
        start("test").into_iter().chain(end("test", Outcome::Warned)).for_each(|fact| world.tell(1, fact));
        world.tell(1, Fact::BuildFinished { outcome: Outcome::Warned });
        while mirror.build("r", 1).unwrap().outcome.is_none() {
            match watch.next().await.unwrap() {
                News::Snapshot(builds) => mirror.reset(builds),
                News::Events(events) => events.iter().for_each(|event| mirror.apply(event)),
            }
        }
        let facts = world.facts.borrow();
        assert_eq!(mirror.builds().map(|build| build.outcome).collect::<Vec<_>>(), [facts.builds[0].outcome]);
        assert_eq!(mirror.build("r", 1).unwrap().job("test").unwrap().outcome, Some(Outcome::Warned));
    });
}

#[test]
fn an_outcome_is_awaited_through_lost_links() {
    on_one_thread(async {
        let master = Master::start().await;
        let world = master.world.clone();
        world.tell(1, created());
        let guild = guild(&master).await;
        let waiting = tokio::task::spawn_local(async move { guild.outcome("r", 1).await });
        settle().await;
        world.cut();
        settle().await;
        world.tell(1, Fact::BuildFinished { outcome: Outcome::Cancelled });
        assert_eq!(waiting.await.unwrap().unwrap(), Outcome::Cancelled);
    });
}

#[test]
fn a_login_whose_answer_was_lost_is_repeated_with_the_same_token() {
    on_one_thread(async {
        let master = Master::start().await;
        let directory = tempfile::tempdir().unwrap();
        let contexts = Contexts::at(directory.path().join("guild"));
        master.world.change(|facts| facts.cut_after_redeem = true);
        let lost = client::login(&contexts, "me", &master.join).await.unwrap_err();
        assert!(matches!(lost, Error::Lost(_)), "{lost:?}");
        let context = client::login(&contexts, "me", &master.join).await.unwrap();
        assert_eq!(contexts.current().as_deref(), Some("me"));
        let (credential, identity) = context.open().unwrap();
        assert_ne!(credential.token, master.join.token);
        let who = Guild::connect(credential, identity).await.unwrap().whoami().await.unwrap();
        assert_eq!((who.grant.name.as_str(), who.grant.created), ("me", Some(Time(1_700_000_000_000))));
        // only the credential with its key, and the context, are left
        let mut files: Vec<_> =
            std::fs::read_dir(contexts.directory()).unwrap().map(|file| file.unwrap().file_name()).collect();
        files.sort();
        assert_eq!(files, ["me.cap", "me.toml"]);
    });
}

#[test]
fn a_sturdy_ref_that_is_no_join_is_kept_as_it_is() {
    on_one_thread(async {
        let master = Master::start().await;
        let directory = tempfile::tempdir().unwrap();
        let contexts = Contexts::at(directory.path().join("guild"));
        let context = client::login(&contexts, "open", &master.open).await.unwrap();
        assert_eq!(context.open().unwrap().0, master.open);
        let other = Master::start().await;
        let error = client::login(&contexts, "open", &other.join).await.unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
        assert!(other.world.facts.borrow().redeemed.is_none(), "the join was spent on a refused login");
    });
}

#[test]
fn what_is_not_held_and_what_is_not_there_are_told_apart() {
    on_one_thread(async {
        let master = Master::start().await;
        let guild = guild(&master).await;
        let codes = [
            guild.notify("r", "refs/heads/main").await.unwrap_err().exit_code(),
            guild.build("r", 5).await.unwrap_err().exit_code(),
            guild.cancel("r", 5, "", "").await.unwrap_err().exit_code(),
        ];
        assert_eq!(codes, [5, 7, 5]);
        let unknown =
            schema::sturdy_ref::SturdyRef { token: schema::sturdy_ref::Token::random(), ..master.open.clone() };
        match Guild::connect(unknown, Rc::new(Identity::generate())).await.map(|_| ()) {
            Err(Error::Refused(refusal)) => assert_eq!(refusal.code, RefusalCode::Unknown),
            other => panic!("{other:?}"),
        }
        let mut wrong = master.open.clone();
        wrong.fingerprint = Identity::generate().fingerprint();
        let error = Guild::connect(wrong, Rc::new(Identity::generate())).await.map(|_| ()).unwrap_err();
        assert_eq!(error.exit_code(), 5, "{error}");
    });
}

#[test]
fn builds_are_asked_for_by_what_narrows_them() {
    on_one_thread(async {
        let master = Master::start().await;
        master.world.change(|facts| {
            facts.builds = (1..=5).map(|number| finished_build(number, &[("test", Outcome::Succeeded)])).collect();
        });
        let guild = guild(&master).await;
        let query = BuildQuery { project: "r".to_owned(), before: 4, limit: 2, ..BuildQuery::default() };
        let builds = guild.builds(&query).await.unwrap();
        assert_eq!(builds.iter().map(|build| build.number).collect::<Vec<_>>(), [3, 2]);
    });
}
