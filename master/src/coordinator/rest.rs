//! Which worker is passed over for which job: one at which an attempt failed for the worker's own reasons, for a while.
//! Nothing of this is recorded: after a restart of the master each worker is as good as another.

use super::Coordinator;
use super::fit::is_able;
use super::model::{SessionId, Timer};
use super::queue::Need;
use super::record::JobKey;
use schema::values::Time;
use std::collections::BTreeMap;
use std::time::Duration;

/// So long another worker goes first, if one could take the job: long enough for it to end what it does, mostly.
const REST: Duration = Duration::from_secs(60);
/// Where there is no other worker, so long after the first such failure, and twice as long after each further one. What was
/// wrong may pass, and there are few attempts.
const REST_ALONE: Duration = Duration::from_secs(1);
/// 1 s becomes 17 minutes at most.
const DOUBLINGS_MAX: u32 = 10;

/// Until when a worker is passed over. An entry is removed by its timer.
#[derive(Debug, Default)]
pub(super) struct Rests(BTreeMap<JobKey, BTreeMap<String, Time>>);

impl Rests {
    /// The workers that are passed over for this job.
    pub(super) fn of(&self, job: JobKey) -> impl Iterator<Item = &str> {
        self.0.get(&job).into_iter().flat_map(BTreeMap::keys).map(String::as_str)
    }

    pub(super) fn forget(&mut self, job: JobKey) {
        self.0.remove(&job);
    }

    fn are_over(&mut self, job: JobKey, now: Time) {
        if let Some(workers) = self.0.get_mut(&job) {
            workers.retain(|_, until| *until > now);
            if workers.is_empty() {
                self.0.remove(&job);
            }
        }
    }
}

impl Coordinator {
    /// An attempt at this worker failed for reasons of the worker's own. The job, which runs no more, is placed again.
    pub(super) fn pass_over(&mut self, now: Time, job: JobKey, worker: &str) {
        let doublings = u32::from(self.job(job).row.lost.saturating_sub(1)).min(DOUBLINGS_MAX);
        let rest = if self.has_another(job, worker) { REST } else { REST_ALONE * 2_u32.pow(doublings) };
        let until = now.after(rest);
        self.rests.0.entry(job).or_default().insert(worker.to_owned(), until);
        self.timers.insert((until, Timer::Rest(job)));
    }

    /// Whether this worker is passed over for this job now.
    pub(super) fn rests(&self, job: JobKey, id: SessionId) -> bool {
        let Some(session) = self.sessions.get(id) else { return false };
        self.rests.of(job).any(|worker| worker == session.worker)
    }

    pub(super) fn rest_timeout(&mut self, now: Time, job: JobKey) {
        self.rests.are_over(job, now);
        if self.queue.contains(job) {
            self.offer_to_ready(now, job);
        }
    }

    /// Whether a connected worker could take the job that is not passed over, were it free.
    fn has_another(&self, job: JobKey, worker: &str) -> bool {
        let need = Need::of(self.job_plan(job), &self.pools_of(&self.builds[&job.build].row.project));
        self.sessions.iter().any(|(id, session)| {
            session.worker != worker
                && !self.rests(job, id)
                && self.takes_work(session)
                && is_able(session, &need, &self.terms.pools)
                && session.description.total.holds(&need.room)
        })
    }

    /// What `explain` says of it.
    pub(super) fn rest_hints(&self, job: JobKey) -> impl Iterator<Item = String> {
        self.rests.of(job).map(|worker| {
            format!("{worker} failed to run it for reasons of its own, and is passed over for a while: look at its log")
        })
    }
}
