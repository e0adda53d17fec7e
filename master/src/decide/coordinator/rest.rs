//! Which worker comes last for a while: one that did not accept what it was offered, whose connection broke on an offer, or at
//! which an attempt failed for the worker's own reasons. The first two are passed over for all jobs, the last for that job.
//! One rule says for how long. Nothing of this is recorded: after a restart of the master each worker is as good as another.

use super::Coordinator;
use super::fit::is_able;
use super::model::{LeaseState, Session, SessionId, Timer};
use super::queue::Need;
use super::record::{GrantId, JobKey, LeaseToken};
use schema::values::Time;
use std::collections::BTreeMap;
use std::time::Duration;

/// So long another worker goes first, if one could take the job: long enough for it to end what it does, mostly.
const REST: Duration = Duration::from_secs(60);
/// Where there is no other worker, so long after the first such failure, and twice as long after each further one in a row.
/// What was wrong may pass, and there are few attempts.
const REST_ALONE: Duration = Duration::from_secs(1);
/// 1 s becomes 64 s at most: a worker that is well again is not left alone for longer than where there is another.
const DOUBLINGS_MAX: u32 = 6;
/// So many offers in a row may be given back without more: a worker that has less room than it said a moment ago does that.
const DECLINES_MAX: u32 = 3;

/// Offers that come to nothing within so short a time do so together: a connection that is lost drops all that it held, in no
/// order.
pub(super) const AT_ONCE: Duration = Duration::from_secs(1);

/// What a worker did that makes it come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It did not accept an offer in time.
    Silent,
    /// It gave an offer back.
    Declined,
    /// Its connection broke on an offer.
    Broke,
}

/// How a worker comes last for all jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resting {
    /// What it did last.
    pub fault: Fault,
    /// When it is asked again. None: it is asked now, with one offer at a time until it accepts.
    pub until: Option<Time>,
}

/// An offer that was not accepted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offered {
    job: JobKey,
    /// When it was made.
    at: Time,
}

/// Who is passed over, and until when. What is over is removed by its timer.
#[derive(Debug, Default)]
pub(super) struct Rests {
    /// For one job, by the worker's name.
    jobs: BTreeMap<JobKey, BTreeMap<String, Time>>,
    /// For all jobs, since it last accepted.
    workers: BTreeMap<GrantId, Unaccepted>,
}

/// A worker that has not accepted since.
#[derive(Debug)]
struct Unaccepted {
    /// How often in a row.
    times: u32,
    /// When that was counted last.
    counted: Time,
    /// What it did last. To give an offer back does not cover what was worse.
    last: Fault,
    until: Option<Time>,
}

impl Unaccepted {
    /// Whoever was silent or broke is doubted until it accepts: to give an offer back is no way out.
    fn blame(&mut self, fault: Fault) {
        if fault != Fault::Declined {
            self.last = fault;
        }
    }

    /// Counts once what came to nothing at once: within a moment, of offers that were made before.
    fn count(&mut self, now: Time, offer: Option<Offered>) {
        let is_together = now.since(self.counted) < AT_ONCE && offer.is_none_or(|offer| offer.at < self.counted);
        if self.times == 0 || !is_together {
            self.times = self.times.saturating_add(1);
            self.counted = now;
        }
    }
}

impl Rests {
    /// The workers that are passed over for this job alone.
    fn of(&self, job: JobKey) -> impl Iterator<Item = &str> {
        self.jobs.get(&job).into_iter().flat_map(BTreeMap::keys).map(String::as_str)
    }

    pub(super) fn forget(&mut self, job: JobKey) {
        self.jobs.remove(&job);
    }

    /// A worker has accepted an offer: what it did not accept before is forgotten. True where there was something.
    fn end(&mut self, grant: GrantId) -> bool {
        self.workers.remove(&grant).is_some()
    }

    /// Answers when the next of them is over for this job.
    fn are_over(&mut self, job: JobKey, now: Time) -> Option<Time> {
        let workers = self.jobs.get_mut(&job)?;
        workers.retain(|_, until| *until > now);
        let next = workers.values().min().copied();
        if next.is_none() {
            self.jobs.remove(&job);
        }
        next
    }
}

/// The one rule: how long a worker comes last after so many failures in a row.
fn pause(times: u32, has_another: bool) -> Duration {
    if has_another { REST } else { REST_ALONE * 2_u32.pow(times.saturating_sub(1).min(DOUBLINGS_MAX)) }
}

impl Coordinator {
    /// An attempt at this worker failed for reasons of the worker's own. The job, which runs no more, is placed again.
    pub(super) fn pass_over(&mut self, now: Time, job: JobKey, worker: &str) {
        let rest = pause(u32::from(self.job(job).row.lost), self.has_another(job, worker));
        let until = now.after(rest);
        self.rests.jobs.entry(job).or_default().insert(worker.to_owned(), until);
        self.timers.arm_by(Timer::Rest(job), until);
    }

    /// An offer was not accepted: its worker comes last.
    pub(super) fn note_unaccepted(&mut self, now: Time, token: LeaseToken, fault: Fault) {
        let Some(lease) = self.leases.get(token) else { return };
        let (grant, worker, session) = (lease.attempt.grant, lease.attempt.worker.clone(), lease.session);
        let offer = Offered { job: lease.job, at: lease.attempt.started };
        if fault == Fault::Declined
            && let Some(session) = session.and_then(|id| self.sessions.get_mut(id))
        {
            session.declined = Some(now);
        }
        self.come_last(now, grant, &worker, fault, Some(offer));
    }

    /// A worker comes last for a while, unless it does already: what was offered at once counts once. `offer`: which it did not
    /// accept; none: those that it gave back just now.
    pub(super) fn come_last(&mut self, now: Time, grant: GrantId, worker: &str, fault: Fault, offer: Option<Offered>) {
        let has_another = match offer {
            Some(offer) => self.has_another(offer.job, worker),
            None => self.sessions.iter().any(|(_, session)| session.worker != worker && self.takes_work(session)),
        };
        let first = Unaccepted { times: 0, counted: now, last: fault, until: None };
        let entry = self.rests.workers.entry(grant).or_insert(first);
        entry.blame(fault);
        if entry.until.is_some() {
            return;
        }
        entry.count(now, offer);
        if fault == Fault::Declined && entry.times <= DECLINES_MAX {
            return;
        }
        let until = now.after(pause(entry.times, has_another));
        entry.until = Some(until);
        self.timers.arm(Timer::RestOf(grant), until);
    }

    /// Whether this worker is passed over for this job now.
    pub(super) fn rests(&self, job: JobKey, id: SessionId) -> bool {
        let Some(session) = self.sessions.get(id) else { return false };
        self.is_resting(session) || self.rests.of(job).any(|worker| worker == session.worker)
    }

    /// Whether this worker is passed over for all jobs. One that did not accept is given one offer at a time until it does.
    pub(super) fn is_resting(&self, session: &Session) -> bool {
        let Some(unaccepted) = self.rests.workers.get(&session.grant) else { return false };
        let is_doubted = unaccepted.last != Fault::Declined;
        unaccepted.until.is_some() || is_doubted && self.has_offer(&session.worker)
    }

    fn has_offer(&self, worker: &str) -> bool {
        self.leases.of(worker).any(|(_, lease)| lease.state == LeaseState::Offered)
    }

    /// A worker accepts: it is as good as another from now on.
    pub(super) fn is_well(&mut self, now: Time, grant: GrantId) {
        if self.rests.end(grant) {
            self.place_on_all_of(now, grant);
        }
    }

    pub(super) fn rest_timeout(&mut self, now: Time, job: JobKey) {
        if let Some(next) = self.rests.are_over(job, now) {
            self.timers.arm(Timer::Rest(job), next);
        }
        if self.queue.contains(job) {
            self.offer_to_ready(now, job);
        }
    }

    pub(super) fn rest_of_timeout(&mut self, now: Time, grant: GrantId) {
        match self.rests.workers.get_mut(&grant) {
            Some(entry) if entry.until.is_some_and(|until| until <= now) => entry.until = None,
            Some(_) | None => return,
        }
        self.place_on_all_of(now, grant);
    }

    fn place_on_all_of(&mut self, now: Time, grant: GrantId) {
        let of_grant = self.sessions.iter().filter(|(_, session)| session.grant == grant);
        let sessions: Vec<SessionId> = of_grant.map(|(id, _)| id).collect();
        sessions.into_iter().for_each(|id| self.place_on(now, id));
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

    /// Workers that are passed over for this job alone.
    pub(super) fn passed_over(&self, job: JobKey) -> impl Iterator<Item = &str> {
        self.rests.of(job)
    }

    /// How a worker fares that is passed over for all jobs. None: it is not.
    pub(super) fn resting(&self, session: &Session) -> Option<Resting> {
        let unaccepted = self.rests.workers.get(&session.grant).filter(|_| self.is_resting(session))?;
        Some(Resting { fault: unaccepted.last, until: unaccepted.until })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_rule_says_how_long_a_worker_comes_last() {
        let alone: Vec<u64> = (0..10).map(|times| pause(times, false).as_secs()).collect();
        assert_eq!(alone, [1, 1, 2, 4, 8, 16, 32, 64, 64, 64]);
        assert!((0..10).all(|times| pause(times, true) == REST));
    }
}
