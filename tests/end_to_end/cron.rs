//! Builds by the clock, end to end: a real repository, a real store, and the source that looks at the clock. Because the clock is
//! the machine's, a test makes a firing due by changing its row, as if the master had been down for an hour.

use client::views::CronView;
use master::keep::store::DATABASE_FILE;
use std::cell::Cell;
use std::time::Duration;
use support::guild::{House, Ruins, run, until_so};

const PIPELINE: &str = "
version = 1
[trigger.cron]
nightly = { at = '0 3 * * *', tz = 'Europe/Berlin', if_changed = true }
elsewhere = { at = '0 4 * * *', branch = 'dev' }
[job.always]
run = 'true'
[job.soak]
when = { cron = 'nightly' }
run = 'true'
";

const HOUR: i64 = 3_600_000;

async fn crons(house: &House) -> Vec<CronView> {
    house.guild.crons("demo").await.unwrap()
}

/// Waits until the project has this many builds and the newest is planned. Returns the newest.
async fn build(house: &House, number: u32) -> client::views::BuildView {
    loop {
        let projects = house.guild.projects().await.unwrap();
        if projects.iter().any(|project| project.latest >= number) {
            let build = house.guild.build("demo", number).await.unwrap();
            if !build.jobs.is_empty() {
                return build;
            }
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// Returns the only cron entry of the project.
async fn only(house: &House) -> CronView {
    let mut crons = crons(house).await;
    assert_eq!(crons.len(), 1, "{crons:?}");
    crons.remove(0)
}

/// Makes the nightly firing an hour overdue, as if the master had been down since before it.
fn miss(ruins: &Ruins) {
    let database = rusqlite::Connection::open(ruins.state.join(DATABASE_FILE)).unwrap();
    let moved = database.execute("update crons set next = unixepoch() * 1000 - ?1 where name = 'nightly'", [HOUR]);
    assert_eq!(moved.unwrap(), 1);
}

/// The first push brings an entry, a missed firing makes one build of the tip, and the next firing is skipped because nothing has
/// changed.
#[test]
fn a_missed_firing_is_one_build_of_the_tip() {
    let ruins = Cell::new(None);
    run(async {
        let house = House::open(PIPELINE).await;
        let first = build(&house, 1).await;
        assert_eq!(first.jobs[1].reason, "runs only for cron nightly; the cause of this build is change");
        // the entry for the branch `dev` is not an entry of `main`
        let nightly = only(&house).await;
        let (name, ref_name) = (nightly.name.as_str(), nightly.ref_name.as_str());
        assert_eq!((name, ref_name, nightly.build), ("nightly", "refs/heads/main", 0));
        assert!(nightly.shown.ends_with(" 03:00 Europe/Berlin"), "{nightly:?}");
        ruins.replace(Some(house.ruins()));
    });
    let left = ruins.take().unwrap();
    miss(&left);
    run(async {
        let house = House::open_again(left, |_| ()).await;
        let made = build(&house, 2).await;
        assert_eq!((made.cause.as_str(), made.subject.as_str()), ("cron nightly", "first"));
        assert!(made.jobs.iter().all(|job| job.outcome.is_none()), "all of its jobs are to run");
        let told = house.guild.explain("demo", 2, "soak").await.unwrap();
        let hint = "the cron `nightly` made the build; next: ";
        assert!(told.hints.iter().any(|told| told.starts_with(hint)), "{told:?}");
        let line = only(&house).await.line();
        assert!(line.ends_with("last: build 2"), "{line}");
        ruins.replace(Some(house.ruins()));
    });
    let mut left = ruins.take().unwrap();
    // renamed, because the copy that is made next gets the name of this one
    let third = left.state.with_extension("third");
    std::fs::rename(&left.state, &third).unwrap();
    left.state = third;
    miss(&left);
    run(async {
        let house = House::open_again(left, |_| ()).await;
        let skipped = || house.parts.driver.peek(|it, _| it.crons_of("demo").all(|row| !row.cron.skipped.is_empty()));
        until_so("the firing is skipped", skipped).await;
        let line = only(&house).await.line();
        assert!(line.ends_with("last: no build, because nothing changed since build 2"), "{line}");
        assert_eq!(house.guild.projects().await.unwrap()[0].latest, 2);
    });
}

/// A cron entry for a branch that is not followed never builds it, and the doctor tells an operator so.
#[test]
fn a_cron_of_a_branch_that_is_not_followed_is_found() {
    run(async {
        let house = House::open_with(PIPELINE, |config| {
            let project = config.projects.get_mut("demo").unwrap();
            project.branches = vec!["main".to_owned()];
        })
        .await;
        build(&house, 1).await;
        let findings = house.guild.examine().await.unwrap();
        let of_crons: Vec<_> = findings.iter().filter(|finding| finding.subject.starts_with("cron")).collect();
        let [one] = &of_crons[..] else { panic!("{findings:?}") };
        assert_eq!(one.subject, "cron elsewhere of demo");
        assert_eq!(one.seen, "[trigger.cron.elsewhere] names the branch dev, which the master does not follow");
    });
}
