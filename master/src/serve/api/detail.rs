//! Adds to the jobs of a build what people want to know about them.

use crate::commit::state_reader::StateReader;
use crate::decide::coordinator::record::{BuildRow, JobKey, JobRow, StepRow};
use crate::explain::Explainer;
use schema::values::{Plan, State};
use schema::wire;

/// A `JobDetail` is a job with the steps of its latest attempt, and the reason why it waits.
pub(super) struct JobDetail {
    pub(super) row: JobRow,
    pub(super) steps: Vec<StepRow>,
    pub(super) needs: Vec<u32>,
    pub(super) waits: String,
}

/// Adds to each job the jobs that it needs, and the reason why it waits.
pub(super) fn detail(
    state: &StateReader,
    row: &BuildRow,
    plan: Option<&Plan>,
    jobs: Vec<(JobRow, Vec<StepRow>)>,
) -> Vec<JobDetail> {
    let needs = |index: usize| plan.and_then(|plan| plan.jobs.get(index)).map(|job| job.needs.clone());
    let with_index = jobs.into_iter().enumerate();
    let details = with_index.map(|(index, (job, steps))| {
        let key = JobKey { build: row.id, index: wire::length(index) };
        let waits = match job.state {
            State::Waiting | State::Queued | State::Running => state.peek(|it, now| Explainer::new(it, now).why(key)),
            State::Planning | State::Offered | State::Finished => String::new(),
        };
        JobDetail { row: job, steps, needs: needs(index).unwrap_or_default(), waits }
    });
    details.collect()
}
