//! A master that was restored from a backup, and whose repository answers late. No job runs and no notice is sent until the master
//! has read the repository once. Then everything goes on.

use master::config::{Config, Means, NoticeConfig};
use master::decide::coordinator::record::Transition;
use schema::values::{Outcome, State};
use std::cell::RefCell;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use support::guild::{House, Played, run, work};

const PIPELINE: &str = "version = 1\n[job.test]\nrun = \"true\"\n";
/// The time that the test waits for something that must not happen. A master with the fault would do it within this time.
const WHILE: Duration = Duration::from_millis(1_500);

#[test]
fn jobs_and_notices_wait_until_the_repository_was_read() {
    let ruins = RefCell::new(None);
    run(async {
        let house = House::open_with(PIPELINE, notify).await;
        let worker = house.worker("w").await;
        finish(&worker, 1, Outcome::Succeeded).await;
        house.repo.commit("file", "2", "second");
        finish(&worker, 2, Outcome::Failed).await;
        house.repo.commit("file", "3", "third");
        eventually("the third is queued", async || state_of(&house, 3).await == Some(State::Queued)).await;
        eventually("a notice was tried", async || house.dir.path().join("tries").exists()).await;
        master::program::backup::write(&house.state(), &house.dir.path().join("saved")).unwrap();
        house.repo.commit("file", "4", "fourth");
        eventually("it goes on", async || state_of(&house, 4).await.is_some()).await;
        ruins.replace(Some(house.ruins()));
    });
    let mut ruins = ruins.take().unwrap();
    let dir = ruins.state.parent().unwrap().to_owned();
    ruins.state = dir.join("restored");
    master::program::backup::restore(&dir.join("saved"), &ruins.state).unwrap();
    let (here, away) = (dir.join("demo"), dir.join("away"));
    std::fs::rename(&here, &away).unwrap();
    std::fs::write(dir.join("open"), "").unwrap();
    run(async {
        let house = House::open_again(ruins, notify).await;
        let worker = house.worker("another").await;
        let taken = tokio::time::timeout(WHILE, worker.take()).await;
        assert!(taken.is_err(), "nothing is placed");
        assert!(!dir.join("told").exists(), "nothing is told");
        let told = house.guild.explain("demo", 3, "test").await.unwrap();
        let why = "the master was restored from a backup, and waits to read the repository of demo first";
        assert_eq!((told.kind.as_str(), told.text.as_str()), ("restored", why));
        assert!(told.hints[0].starts_with("it cannot be read: "), "{:?}", told.hints);
        let findings = house.guild.examine().await.unwrap();
        let finding = findings.iter().find(|finding| finding.subject == "jobs of demo").expect("doctor says so");
        assert!(finding.seen.contains("restored from a backup"), "{finding:?}");

        std::fs::rename(&away, &here).unwrap();
        finish(&worker, 3, Outcome::Failed).await;
        // the backup was taken before the fourth commit
        finish(&worker, 4, Outcome::Succeeded).await;
        eventually("the failure was told", async || dir.join("told").exists()).await;
        let builds = house.guild.builds(&client::BuildQuery { limit: 10, ..Default::default() }).await.unwrap();
        let outcomes: Vec<_> = builds.iter().map(|build| (build.number, build.outcome)).collect();
        let (good, bad) = (Some(Outcome::Succeeded), Some(Outcome::Failed));
        assert_eq!(outcomes, [(4, good), (3, bad), (2, bad), (1, good)], "nothing is errored");
    });
}

/// Configures a command as the reporter, which refuses all notices until the file `open` exists.
fn notify(config: &mut Config) {
    let dir = config.state.parent().unwrap().to_owned();
    let there = dir.display();
    let tell = format!("#!/bin/sh\necho >> {there}/tries\n[ -e {there}/open ] || exit 1\ncat >> {there}/told\n");
    let program = program(&dir.join("tell"), &tell);
    let all = || vec!["*".to_owned()];
    let (events, by) = (vec![Transition::NewlyFailing], Means::Command(vec![program]));
    config.notices = vec![NoticeConfig { events, by, projects: all(), branches: all(), remind: None }];
}

fn program(path: &Path, text: &str) -> String {
    // the path must be the same after the restore, because a reporter is known by its command
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.to_string_lossy().into_owned()
}

async fn state_of(house: &House, build: u32) -> Option<State> {
    Some(house.guild.build("demo", build).await.ok()?.state)
}

async fn finish(worker: &Played, build: u32, outcome: Outcome) {
    let (assignment, lease) = worker.take().await;
    assert_eq!(assignment.build, build);
    lease.accept_request().send().promise.await.unwrap();
    work(&lease, b"", outcome).await;
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..400 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("never: {what}");
}
