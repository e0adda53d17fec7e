//! Explains the end of a job whose build is finished, from its rows alone.

use super::{Explanation, Why};
use crate::decide::coordinator::record::{BuildRow, JobRow};
use schema::values::{JobPlan, Outcome};

/// Explains a job of a build that is finished. `plan` is the plan of the job.
pub fn explain_past(build: &BuildRow, row: &JobRow, plan: Option<&JobPlan>) -> Explanation {
    let project = &build.project;
    let is_skipped = row.outcome == Some(Outcome::Skipped);
    let why = match row.carried_from {
        0 if is_skipped && plan.is_some_and(|plan| !plan.skipped.is_empty()) => Why::When(row.reason.clone()),
        0 if is_skipped => Why::Need(row.reason.clone()),
        0 if row.attempt > 0 => Why::Ran(row.worker.clone()),
        0 => Why::Ended(match row.reason.as_str() {
            "" => row.outcome.map_or("it has not begun", Outcome::word).to_owned(),
            reason => reason.to_owned(),
        }),
        number => Why::Carried(format!("{project}/{number}")),
    };
    let mut told = Explanation::of(why, row.finished);
    if told.why.kind() == "need" {
        let again = format!(
            "`guild retry {project}/{} --failed` runs the failed jobs again, and the jobs that need them",
            build.number
        );
        told.hints.push(again);
    }
    told
}
