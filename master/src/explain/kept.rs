//! Says which workers keep their room free for a job that is first in the queue and has waited long.

use super::Explainer;
use super::candidate::WorkerFit;
use super::trial::{QueuePosition, WORKERS_TRIED};
use crate::decide::coordinator::record::JobKey;
use crate::decide::coordinator::snapshot::Session;

impl Explainer<'_> {
    /// Names the workers that keep their room free for this job, or for a job that is before it in the queue.
    pub(super) fn kept_hints(&self, mine: &QueuePosition<'_>, seen: &[WorkerFit<'_>]) -> Vec<String> {
        let keeper = self.it.keeper_of(mine.key);
        let own = keeper.map(|worker| {
            format!(
                "{worker} keeps its room for this job: until it fits there, no job behind it in the queue begins there"
            )
        });
        let able = seen.iter().take(WORKERS_TRIED).filter(|seen| seen.lacks.is_empty());
        let others = able.filter(|seen| self.kept_before(mine, &seen.session).is_some());
        let others = others.map(|seen| {
            format!(
                "{} keeps its room for a job that is before this one in the queue and has waited for long",
                seen.session.worker
            )
        });
        own.into_iter().chain(others).collect()
    }

    /// The job before this one in the queue for which the worker keeps its room free.
    pub(super) fn kept_before(&self, mine: &QueuePosition<'_>, session: &Session) -> Option<JobKey> {
        self.it.keeps_for(session).filter(|kept| *kept != mine.key && self.it.rank(*kept) < mine.rank)
    }
}
