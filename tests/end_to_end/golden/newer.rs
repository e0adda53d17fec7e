//! Stores that a newer version wrote before an operator went back to this version. What this version does not know is kept and shown
//! as unknown, and everything else works.

use super::{PIPELINE, golden};
use client::{Again, Events, Told};
use master::keep::store::{DATABASE_FILE, Store};
use rusqlite::Connection;
use schema::identity::Identity;
use schema::sturdy_ref::SturdyRef;
use schema::values::{Cursor, Event, Fact, Filter, GrantKind, Outcome, Right, What};
use std::cell::Cell;
use std::path::Path;
use support::guild::{House, Ruins, dial, restore, run};

/// Returns what is left of a house in which build 1 was running.
fn with_an_open_build() -> Ruins {
    let ruins = Cell::new(None);
    run(async {
        let house = House::open(PIPELINE).await;
        let worker = house.worker("anvil").await;
        let (_, lease) = worker.take().await;
        lease.accept_request().send().promise.await.unwrap();
        ruins.replace(Some(house.ruins()));
    });
    ruins.take().unwrap()
}

fn edit(ruins: &Ruins, sql: &str) {
    assert_eq!(edit_all(&ruins.state, sql), 1, "{sql}");
}

/// Changes the database with a statement, and returns the number of changed rows.
fn edit_all(state: &Path, sql: &str) -> usize {
    Connection::open(state.join(DATABASE_FILE)).unwrap().execute(sql, []).unwrap()
}

fn stored(house: &House, sql: &str) -> String {
    let database = Connection::open(house.state().join(DATABASE_FILE)).unwrap();
    database.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_field_of_a_plan_that_is_not_known_is_passed_over() {
    let state = tempfile::tempdir().unwrap();
    std::fs::copy(golden("0.2.0"), state.path().join(DATABASE_FILE)).unwrap();
    let load = || Store::open(state.path()).unwrap().load().unwrap();
    let before = load();
    let edited = edit_all(
        state.path(),
        "update plans set plan = json_set(plan, '$.someday', 1, '$.jobs[0].someday', json('{\"a\":[1]}'), \
         '$.jobs[0].steps[0].someday', 'x', '$.jobs[0].steps[0].command.shell.someday', 2)",
    );
    assert_eq!(edited, 3);
    assert_eq!(load(), before);
}

#[test]
fn a_plan_of_a_newer_version_costs_its_build_and_nothing_else() {
    let ruins = with_an_open_build();
    edit(&ruins, r#"update plans set plan = '{"version":2,"jobs":{"greet":"in another form"}}'"#);
    run(async {
        let house = House::open_again(ruins, |_| ()).await;
        let why = "the plan is of version 2, and this program knows versions up to 1: upgrade it";
        assert_eq!(house.guild.outcome("demo", 1).await.unwrap(), Outcome::Errored);
        let build = house.guild.build("demo", 1).await.unwrap();
        let jobs: Vec<_> = build.jobs.iter().map(|job| (job.name.as_str(), job.outcome, job.reason.as_str())).collect();
        assert_eq!(jobs, [("greet", Some(Outcome::Errored), why), ("after", Some(Outcome::Errored), why)]);
        let refused = house.guild.retry("demo", 1, &Again::Failed).await.unwrap_err();
        assert!(refused.to_string().contains(why), "{refused}");
        assert_eq!(house.guild.run("demo", "main", "").await.unwrap(), 2);
        let worker = house.worker("bellows").await;
        let (next, _lease) = worker.take().await;
        assert_eq!((next.build, next.job.name.as_str()), (2, "greet"));
    });
}

#[test]
fn an_event_of_a_kind_that_is_not_known_is_kept_and_told_as_unknown() {
    const STORED: &str = r#"{"kind":"approvalAsked","by":"ann","places":[{"x":1}]}"#;
    let ruins = with_an_open_build();
    edit(
        &ruins,
        &format!(
            "insert into events (sequence, time, project, build, fact) \
             select max(sequence) + 1, 5, 'demo', 1, '{STORED}' from events"
        ),
    );
    edit(&ruins, "update counters set value = value + 1 where name = 'event'");
    run(async {
        let house = House::open_again(ruins, |_| ()).await;
        let filter = Filter { kinds: vec!["approvalAsked".to_owned()], ..Filter::default() };
        let start = Cursor { after: 0, ..house.guild.latest_event().await.unwrap() };
        let event = next_event(&mut Events::new(&house.guild, filter, start)).await;
        let fact = Fact::Unknown { kind: "approvalAsked".to_owned() };
        assert_eq!((event.fact, event.project.as_str(), event.build), (fact, "demo", 1));
        let own = house.operator().0.fingerprint;
        assert_eq!(event.origin, Some(own), "it says whose it is");
        house.guild.cancel("demo", 1, "", "").await.unwrap();
        assert_eq!(stored(&house, "select fact from events where fact like '%approvalAsked%'"), STORED);
    });
}

async fn next_event(events: &mut Events) -> Event {
    loop {
        if let Told::Events { events, .. } = events.next().await.unwrap()
            && let Some(event) = events.into_iter().next()
        {
            return event;
        }
    }
}

#[test]
fn the_event_of_a_change_has_its_commits() {
    run(async {
        let house = House::open(PIPELINE).await;
        let filter = Filter { kinds: vec!["changeSubmitted".to_owned()], ..Filter::default() };
        let start = Cursor { after: 0, ..house.guild.latest_event().await.unwrap() };
        let mut events = Events::new(&house.guild, filter, start);
        next_event(&mut events).await;
        let tip = house.repo.commit("new.txt", "1", "Add it");
        let event = next_event(&mut events).await;
        let Fact::ChangeSubmitted { revision, commits, paths, more_commits, more_paths, .. } = &event.fact else {
            panic!("{event:?}")
        };
        assert_eq!((revision, &commits[0].revision), (&tip, &tip));
        assert_eq!((commits.len(), commits[0].subject.as_str()), (1, "Add it"));
        assert!(commits[0].author.contains('@'), "as a build tells it: {}", commits[0].author);
        assert_eq!((paths.as_slice(), more_commits, more_paths), (["new.txt".to_owned()].as_slice(), &false, &false));
    });
}

/// Returns what is left of a house with a grant for ann, and her credential.
fn with_a_grant() -> (Ruins, (SturdyRef, Identity)) {
    let left = Cell::new(None);
    run(async {
        let house = House::open(PIPELINE).await;
        let what = What { may: [Right::View].into(), projects: ["demo"].into(), ..What::default() };
        let ann = house.enroll(GrantKind::User, "ann", what).await;
        left.replace(Some((house.ruins(), ann)));
    });
    left.take().unwrap()
}

/// Tries ann's credential at this house. An error is the text of the refusal.
async fn let_in(house: &House, (reference, identity): &(SturdyRef, Identity)) -> Result<(), String> {
    let reference = SturdyRef { addresses: vec![house.address().to_owned()], ..reference.clone() };
    let (_link, gateway) = dial(&reference, identity).await;
    restore(&gateway, &reference.token).await.map(drop)
}

async fn revoke_ann(house: &House) {
    let grants = house.guild.grants().await.unwrap();
    let ann = grants.iter().find(|grant| grant.name == "ann").unwrap();
    house.guild.revoke(ann.id, "gone").await.unwrap();
}

#[test]
fn a_right_that_is_not_known_is_kept_and_allows_nothing() {
    let (ruins, ann) = with_a_grant();
    edit(&ruins, "update grants set what = json_insert(what, '$.may[#]', 'approve') where name = 'ann'");
    run(async {
        let house = House::open_again(ruins, |_| ()).await;
        let grants = house.guild.grants().await.unwrap();
        let shown = grants.iter().find(|grant| grant.name == "ann").unwrap();
        assert_eq!(shown.what.may, [Right::View].into());
        assert_eq!(let_in(&house, &ann).await, Ok(()));
        revoke_ann(&house).await;
        let what = stored(&house, "select what from grants where name = 'ann' and revoked is not null");
        assert!(what.contains(r#""may":["view","approve"]"#), "{what}");
    });
}

#[test]
fn a_kind_of_grant_that_is_not_known_is_shown_and_lets_nobody_in() {
    let (ruins, ann) = with_a_grant();
    edit(&ruins, "update grants set kind = 'auditor' where name = 'ann'");
    run(async {
        let house = House::open_again(ruins, |_| ()).await;
        let grants = house.guild.grants().await.unwrap();
        let shown = grants.iter().find(|grant| grant.name == "ann").unwrap();
        assert_eq!(shown.kind, GrantKind::Unknown);
        let refused = let_in(&house, &ann).await.unwrap_err();
        assert!(refused.contains("of a kind that this version of the master does not know"), "{refused}");
        revoke_ann(&house).await;
        assert_eq!(stored(&house, "select kind from grants where name = 'ann' and revoked is not null"), "auditor");
    });
}
