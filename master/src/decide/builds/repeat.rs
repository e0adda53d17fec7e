//! "Run it again?": the one rule for a job whose attempt was lost, lapsed, or ended by an error of its worker. Pure.

use schema::values::JobPlan;

/// The consequence of a lost attempt for its job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::decide) enum AfterLoss {
    /// Somebody asked to end the attempt, for this reason, so the job ends with it.
    Cancelled(String),
    /// The job waits for another worker.
    Again,
    /// The job ends, because its effects outside may already have happened.
    SideEffects,
    /// The job ends, because the plan allows no further attempt after the lost ones.
    Spent,
}

/// Decides what follows for the job. `lost` is the number of its attempts that were lost before this one. `cancelled` is the reason for
/// which somebody asked to end this attempt, if anybody did.
pub(in crate::decide) fn after_loss(plan: &JobPlan, lost: u16, cancelled: Option<&str>) -> AfterLoss {
    match cancelled {
        Some(why) => AfterLoss::Cancelled(why.to_owned()),
        None if plan.side_effects => AfterLoss::SideEffects,
        None if lost >= plan.retry_infra => AfterLoss::Spent,
        None => AfterLoss::Again,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_runs_again_where_nobody_minds_and_the_plan_allows() {
        let cancelled = || AfterLoss::Cancelled("by ada".to_owned());
        // Each row has the side effects, the retries, the attempts lost before and the cancellation, and then the consequence.
        let table = [
            ((false, 0, 0, false), AfterLoss::Spent),
            ((false, 1, 0, false), AfterLoss::Again),
            ((false, 1, 1, false), AfterLoss::Spent),
            ((false, 2, 1, false), AfterLoss::Again),
            ((false, 2, 2, false), AfterLoss::Spent),
            ((false, 2, u16::MAX, false), AfterLoss::Spent),
            ((true, 0, 0, false), AfterLoss::SideEffects),
            ((true, 2, 0, false), AfterLoss::SideEffects),
            ((true, 2, 5, false), AfterLoss::SideEffects),
            ((false, 2, 0, true), cancelled()),
            ((false, 0, 0, true), cancelled()),
            ((true, 2, 0, true), cancelled()),
        ];
        for ((side_effects, retry_infra, lost, is_cancelled), follows) in table {
            let plan = JobPlan { side_effects, retry_infra, ..JobPlan::default() };
            let found = after_loss(&plan, lost, is_cancelled.then_some("by ada"));
            assert_eq!(found, follows, "{side_effects} {retry_infra} {lost} {is_cancelled}");
        }
    }
}
