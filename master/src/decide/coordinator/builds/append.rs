//! Jobs that are added to a build that is planned and not finished.

use super::build::{finished, new_job};
use crate::decide::builds::{AddedJob, extended};
use crate::decide::coordinator::Coordinator;
use crate::decide::records::{BuildId, Record, Row};
use schema::values::{Fact, Refusal, RefusalCode, Time};

impl Coordinator {
    /// Adds jobs to a build that is planned and not finished. All of them are added, or none. The jobs that it has keep their
    /// keys, and the whole plan is recorded and told anew.
    pub fn append(&mut self, now: Time, id: BuildId, jobs: Vec<AddedJob>) -> Result<(), Refusal> {
        let build = self.builds.get(&id).ok_or_else(finished)?;
        let (first, plan) = (build.jobs.len(), extended(build.plan.as_ref().ok_or_else(unplanned)?, jobs)?);
        let names = plan.jobs.iter().map(|job| job.name.clone()).collect();
        self.record(Record::Plan { build: id, plan: plan.clone() });
        let (from, count) = (schema::wire::length(first), schema::wire::length(plan.jobs.len()));
        self.edit_build(id, |row| row.job_count = count);
        let added = (from..).zip(&plan.jobs[first..]).map(|(index, job)| new_job(id, index, job));
        let rows = added.map(|row| Row::new(row, &mut self.effects)).collect();
        self.builds.get_mut(&id).expect("looked up above").add_jobs(plan, rows);
        self.tell(now, id, Fact::BuildPlanned { jobs: names });
        self.settle_from(now, id, from);
        Ok(())
    }
}

fn unplanned() -> Refusal {
    Refusal::new(RefusalCode::Conflict, "it is not planned yet").help("ask again when it is")
}
