//! Long chains of jobs that need each other: work that goes along a chain takes no more stack than for one job.

use crate::world::{World, one};
use master::decide::coordinator::Terms;
use pipeline::limits::JOBS_MAX;
use schema::values::{JobPlan, Outcome, State, Trust};

/// The stack for a chain, in bytes. It is enough for some nested calls, and far too small for one nested call for each job.
const STACK: usize = 512 << 10;

#[test]
fn a_chain_of_refused_jobs_that_may_fail_ends_without_recursion() {
    let ends = std::thread::Builder::new().stack_size(STACK).spawn(|| {
        let mut world = World::of(1);
        let build = world.push("p", "main");
        // a later master may store builds that it does not trust; this one has no worker that may take their jobs
        world.ledger.builds.get_mut(&build).expect("it is there").trust = Trust::Untrusted;
        world.restart(Terms::default());
        world.plan(build, chain());
        let outcomes: Vec<_> = world.ledger.jobs.values().map(|row| (row.state, row.outcome)).collect();
        (outcomes, world.ledger.builds[&build].outcome)
    });
    let (jobs, build) = ends.expect("a thread").join().expect("the stack is large enough");
    assert_eq!(jobs, vec![(State::Finished, Some(Outcome::Errored)); JOBS_MAX]);
    assert_eq!(build, Some(Outcome::Warned), "a failure of a job that may fail is a warning for its build");
}

/// Returns the longest chain of jobs, each of which needs the previous one.
fn chain() -> Vec<JobPlan> {
    let job = |index: u32| JobPlan {
        name: format!("j{index}"),
        needs: index.checked_sub(1).into_iter().collect(),
        may_fail: true,
        ..one()
    };
    (0..u32::try_from(JOBS_MAX).expect("a small number")).map(job).collect()
}
