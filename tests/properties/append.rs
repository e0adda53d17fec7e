//! Jobs that cannot be added to a build: nothing of them is.

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

fn added(name: &str, needs: &[&str]) -> AddedJob {
    let needs = needs.iter().map(|need| (*need).to_owned()).collect();
    AddedJob { plan: JobPlan { name: name.to_owned(), ..one() }, needs }
}
