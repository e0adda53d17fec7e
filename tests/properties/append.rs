//! Jobs that are added to a running build. If one job of a request cannot be added, nothing changes; otherwise events tell
//! subscribers of all.

use crate::world::{World, one};
use master::decide::coordinator::AddedJob;
use pipeline::limits::JOBS_MAX;
use schema::values::{JobPlan, RefusalCode};

#[test]
fn what_cannot_be_added_changes_nothing() {
    let mut world = World::of(1);
    let build = world.submit(one()).build;
    let many = (0..JOBS_MAX).map(|number| added(&format!("n{number}"), &[])).collect();
    let table = [
        (vec![added("k", &["later"]), added("later", &[])], RefusalCode::Invalid, "it needs a later one"),
        (vec![added("k", &["k"])], RefusalCode::Invalid, "it needs itself"),
        (vec![added("fine", &["j"]), added("j", &[])], RefusalCode::Conflict, "the name is taken"),
        (many, RefusalCode::Invalid, "one job too many"),
    ];
    for (jobs, code, what) in table {
        let refused = world.it.append(world.now, build, jobs).expect_err(what);
        assert_eq!(refused.code, code, "{what}: {}", refused.text);
        assert_eq!(world.it.poll_effect(), None, "{what}");
    }
    let most = (1..JOBS_MAX).map(|number| added(&format!("n{number}"), &["j"])).collect();
    world.it.append(world.now, build, most).expect("as many as a plan may have");
    world.settle();
    assert_eq!(world.ledger.builds[&build].job_count as usize, JOBS_MAX);
}

#[test]
fn who_follows_the_events_sees_the_jobs_that_were_added() {
    let mut world = World::of(1);
    let build = world.submit(one()).build;
    world.it.append(world.now, build, vec![added("k", &["j"]), added("l", &[])]).expect("it is open");
    world.settle();
    let mut mirror = client::Mirror::default();
    world.ledger.events.iter().for_each(|event| mirror.apply(event));
    let row = &world.ledger.builds[&build];
    let view = mirror.build("p", row.number).expect("it was created");
    let seen: Vec<_> = view.jobs.iter().map(|job| (job.name.clone(), job.state)).collect();
    let rows = world.ledger.jobs.values().filter(|job| job.key.build == build);
    let expected: Vec<_> = rows.map(|job| (job.name.clone(), job.state)).collect();
    assert_eq!((seen, view.job_count), (expected, 3));
}

fn added(name: &str, needs: &[&str]) -> AddedJob {
    let needs = needs.iter().map(|need| (*need).to_owned()).collect();
    AddedJob { plan: JobPlan { name: name.to_owned(), ..one() }, needs }
}
