//! The queue as people see it: the jobs that wait for a worker, and why they wait.

use super::{Explainer, Why};
use crate::decide::coordinator::record::JobKey;
use schema::values::Time;
use std::collections::BTreeMap;

/// The most jobs that a list of the queue shows.
const QUEUE_SHOWN: usize = 1_000;

/// A job that waits, as people see it.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueStatus {
    pub project: String,
    /// The number of the build.
    pub build: u32,
    pub job: String,
    pub since: Time,
    pub why: Why,
}

impl Explainer<'_> {
    /// The jobs that wait for a worker, in the order in which they would be placed. Jobs that are held back come last.
    pub fn queue(&self) -> Vec<QueueStatus> {
        let mut reasons = BTreeMap::new();
        let queued = self.it.in_order(QUEUE_SHOWN).into_iter();
        queued
            .filter_map(|job| {
                // The reason is the same for all jobs with the same needs, and finding it is not cheap if there are many workers.
                let need = self.it.queued(job)?;
                let why: &mut Why = reasons.entry(need).or_insert_with(|| self.why_queued(job, need));
                self.queue_status(job, why.clone())
            })
            .chain(self.it.held_jobs().filter_map(|job| self.queue_status(job, self.why_held(job))))
            .take(QUEUE_SHOWN)
            .collect()
    }

    fn queue_status(&self, key: JobKey, why: Why) -> Option<QueueStatus> {
        let build = self.it.build(key.build)?;
        let job = self.it.job(key);
        Some(QueueStatus {
            project: build.project.clone(),
            build: build.number,
            job: job.name.clone(),
            since: job.queued.unwrap_or(build.created),
            why,
        })
    }
}
