//! Stores that released versions wrote must open with this version, and mean the same.
//!
//! At a release run `cargo test -p tests --test golden -- --ignored`, which writes the store of this version. The commit that
//! `CHANGELOG.md` names wrote `0.2.0.db` and the files beside it in this way, with one more failed build and two more grants.

#[path = "golden/newer.rs"]
mod newer;
#[path = "golden/sent.rs"]
mod sent;

use client::views::JobView;
use master::decide::coordinator::record::{JobKey, StepKey};
use master::keep::store::{DATABASE_FILE, Removal, Store, Sweep};
use schema::values::{Fact, Outcome, Right, State};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use support::guild::{House, run, work};

const PIPELINE: &str =
    "version = 1\n[job.greet]\nrun = \"echo hello\"\n[job.after]\nneeds = [\"greet\"]\nrun = \"true\"\n";

fn golden(version: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(format!("{version}.db"))
}

#[test]
fn the_store_of_0_1_0_opens() {
    run(async {
        let state = tempfile::tempdir().unwrap();
        std::fs::copy(golden("0.1.0"), state.path().join(DATABASE_FILE)).unwrap();
        let store = Store::open(state.path()).unwrap();
        let loaded = store.load().unwrap();
        assert_eq!(loaded.numbers, [("demo".to_owned(), 2)]);
        let (open, plan, jobs, attempts) = &loaded.builds[0];
        assert_eq!((open.number, open.state, jobs.len(), attempts.len()), (2, State::Running, 2, 1));
        assert_eq!(plan.as_ref().unwrap().as_ref().unwrap().jobs[0].name, "greet");
        assert_eq!(attempts[0].0.placed, None, "it did not record why");
        let names: Vec<&str> = loaded.grants.iter().map(|grant| grant.name.as_str()).collect();
        assert_eq!(names, ["root", "operator", "local", "anvil"]);
        let readers = store.readers().of(master::keep::turns::PROGRAM);
        let first = readers.build("demo", 1).await.unwrap().unwrap();
        assert_eq!((first.outcome, first.subject.as_str()), (Some(Outcome::Succeeded), "first"));
        let key = StepKey { job: JobKey { build: first.id, index: 0 }, attempt: 1, step: 0 };
        let sealed = readers.seal(key).await.unwrap().unwrap();
        assert_eq!(sealed.bytes.as_deref(), Some(b"hello\n".as_slice()));
        let events = readers.events_after(0, 1_000).await.unwrap();
        assert_eq!(events.len() as u64, loaded.last_event);
        readers.verify_audit().await.expect("its audit chain holds");
        assert_eq!(readers.log_bytes().await.unwrap(), 6, "what its logs have was added up");
        // retention works with the old store: it removes the first build, of which only the number is left
        let page = readers.removal_candidates(None, 1, 10).await.unwrap();
        let found: Vec<_> = page.candidates.iter().map(|build| (build.number, build.finished.is_some())).collect();
        assert_eq!((page.kept_from, found), (2, vec![(1, true)]));
        store.remove(Removal { builds: vec![first.id], logs: Vec::new() }).await.unwrap();
        let left = store.sweep(Sweep { unlinked: vec![first.id], rows: 100, ..Sweep::default() }).await.unwrap();
        assert!(left < 100);
        assert_eq!(readers.build("demo", 1).await.unwrap(), None);
        assert_eq!(readers.seal(key).await.unwrap(), None);
        assert_eq!(readers.log_bytes().await.unwrap(), 0);
        assert_eq!(store.load().unwrap(), loaded, "what is open and all numbers stay");
    });
}

#[test]
fn the_store_of_0_2_0_opens() {
    run(async {
        let state = tempfile::tempdir().unwrap();
        std::fs::copy(golden("0.2.0"), state.path().join(DATABASE_FILE)).unwrap();
        let store = Store::open(state.path()).unwrap();
        let loaded = store.load().unwrap();
        assert_eq!(loaded.numbers, [("demo".to_owned(), 3)]);
        let (open, plan, jobs, attempts) = &loaded.builds[0];
        assert_eq!((open.number, open.state, jobs.len(), attempts.len()), (3, State::Running, 2, 1));
        let plan = plan.as_ref().unwrap().as_ref().unwrap();
        assert_eq!((plan.version, plan.jobs[1].needs.as_slice()), (1, [0].as_slice()));
        let grants: Vec<_> = loaded.grants.iter().map(|grant| (grant.name.as_str(), grant.revoked.is_some())).collect();
        let names = [("root", false), ("operator", false), ("anvil", false), ("ann", false), ("bob", true)];
        assert!(names.iter().all(|name| grants.contains(name)), "{grants:?}");
        let may_try = loaded.grants.iter().filter(|grant| grant.what.may.contains(&Right::Try));
        let may_try: Vec<&str> = may_try.map(|grant| grant.name.as_str()).collect();
        assert_eq!(may_try, ["root", "operator"], "the right of a newer version is an operator's of all rights");
        let readers = store.readers().of(master::keep::turns::PROGRAM);
        let events = readers.events_after(0, 1_000).await.unwrap();
        assert_eq!(events.len() as u64, loaded.last_event);
        let kinds: BTreeSet<&str> = events.iter().map(|event| event.fact.kind()).collect();
        assert!(kinds.is_subset(&Fact::KINDS.iter().copied().collect()), "{kinds:?}");
        let changes: Vec<&Fact> = events.iter().map(|event| &event.fact).filter(is_change).collect();
        assert!(
            matches!(changes[..], [Fact::ChangeSubmitted { commits, more_commits: false, .. }] if commits.is_empty())
        );
        let lane = readers.lane("demo", "refs/heads/main", "greet").await.unwrap();
        assert_eq!(lane.results.len(), 2, "lanes are made of its history: {lane:?}");
        readers.verify_audit().await.expect("its audit chain holds");
    });
}

fn is_change(fact: &&Fact) -> bool {
    matches!(fact, Fact::ChangeSubmitted { .. })
}

const CHAIN: &str = r#"
version = 1
[job.build]
run = "false"
[job.lint]
run = "true"
[job.test]
needs = ["build"]
run = "true"
[job.deploy]
needs = ["test", "lint"]
run = "true"
"#;

/// In older versions a job waited for all jobs that it needs, even if one was skipped. Today's rules skip it when the master
/// starts, before it serves anybody, and the events of that are committed.
#[test]
fn an_open_build_is_settled_by_todays_rules() {
    let ruins = Cell::new(None);
    run(async {
        let house = House::open(CHAIN).await;
        let worker = house.worker("anvil").await;
        let (first, lease) = worker.take().await;
        assert_eq!(first.job.name, "build");
        lease.accept_request().send().promise.await.unwrap();
        work(&lease, b"", Outcome::Failed).await;
        assert_eq!(job(&house, "deploy").await.outcome, Some(Outcome::Skipped));
        let database = rusqlite::Connection::open(house.state().join(DATABASE_FILE)).unwrap();
        let older =
            "update jobs set state = 'waiting', outcome = null, reason = '', finished = null where name = 'deploy'";
        assert_eq!(database.execute(older, []).unwrap(), 1);
        ruins.replace(Some(house.ruins()));
    });
    run(async {
        let house = House::open_again(ruins.take().unwrap(), |_| ()).await;
        let deploy = job(&house, "deploy").await;
        assert_eq!((deploy.outcome, deploy.reason.as_str()), (Some(Outcome::Skipped), "needs test, which was skipped"));
        // the events about it are committed, and so is the next command
        house.guild.cancel("demo", 1, "", "").await.unwrap();
    });
}

async fn job(house: &House, name: &str) -> JobView {
    let build = house.guild.build("demo", 1).await.unwrap();
    build.jobs.into_iter().find(|job| job.name == name).unwrap()
}

#[test]
#[ignore = "writes the golden store of this version, at a release"]
fn write_the_store_of_this_version() {
    run(async {
        let house = House::open(PIPELINE).await;
        let worker = house.worker("anvil").await;
        for log in [b"hello\n".as_slice(), b""] {
            let (_, lease) = worker.take().await;
            lease.accept_request().send().promise.await.unwrap();
            work(&lease, log, Outcome::Succeeded).await;
        }
        house.guild.outcome("demo", 1).await.unwrap();
        house.guild.run("demo", "main", "").await.unwrap();
        let (_, lease) = worker.take().await;
        lease.accept_request().send().promise.await.unwrap();
        let to = golden(env!("CARGO_PKG_VERSION"));
        let _ = std::fs::remove_file(&to);
        let database = rusqlite::Connection::open(house.state().join(DATABASE_FILE)).unwrap();
        database.execute("vacuum into ?1", [to.to_string_lossy()]).unwrap();
    });
}
