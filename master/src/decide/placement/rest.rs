//! Which worker comes last for a while: one that did not accept what it was offered, whose connection broke on an offer, or at
//! which work failed for the worker's own reasons. The first two are passed over for all work, the last for that work.
//! One rule says for how long. Nothing of this is recorded: after a restart of the master each worker is as good as another.

use super::lease::{Lease, LeaseState};
use super::session::Session;
use super::{Offer, Placement, PlacementTimer};
use crate::decide::matching::{Need, OwnerKey, SessionId};
use crate::decide::steady::Steady;
use crate::decide::tokens::LeaseToken;
use std::collections::BTreeMap;
use std::time::Duration;

/// So long another worker goes first, if one could take the work: long enough for it to end what it does, mostly.
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
const AT_ONCE: Duration = Duration::from_secs(1);

/// What a worker did that makes it come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It did not accept an offer in time.
    Silent,
    /// It gave an offer back.
    Declined,
    /// Its connection broke on an offer.
    Broke,
}

/// How a worker comes last for all work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resting {
    /// What it did last.
    pub fault: Fault,
    /// When it is asked again. None: it is asked now, with one offer at a time until it accepts.
    pub until: Option<Steady>,
}

/// Who is passed over, and until when. What is over is removed by its timer.
#[derive(Debug)]
pub(super) struct Rests<O> {
    /// For the work of one owner, by the worker's name.
    owners: BTreeMap<O, BTreeMap<String, Steady>>,
    /// For all work, since the worker last accepted.
    workers: BTreeMap<String, Unaccepted>,
}

/// A worker that has not accepted since.
#[derive(Debug)]
struct Unaccepted {
    /// How often in a row.
    times: u32,
    /// When that was counted last.
    counted: Steady,
    /// What it did last. To give an offer back does not cover what was worse.
    last: Fault,
    until: Option<Steady>,
}

impl Unaccepted {
    /// Whoever was silent or broke is doubted until it accepts: to give an offer back is no way out.
    fn blame(&mut self, fault: Fault) {
        if fault != Fault::Declined {
            self.last = fault;
        }
    }

    /// Counts once what came to nothing at once: within a moment, of offers that were made before.
    fn count(&mut self, now: Steady, offered: Option<Steady>) {
        let is_together = now.since(self.counted) < AT_ONCE && offered.is_none_or(|at| at < self.counted);
        if self.times == 0 || !is_together {
            self.times = self.times.saturating_add(1);
            self.counted = now;
        }
    }
}

impl<O: OwnerKey> Rests<O> {
    pub(super) fn new() -> Rests<O> {
        Rests { owners: BTreeMap::new(), workers: BTreeMap::new() }
    }

    /// The workers that are passed over for the work of this owner alone.
    pub(super) fn of(&self, owner: O) -> impl Iterator<Item = &str> {
        self.owners.get(&owner).into_iter().flat_map(BTreeMap::keys).map(String::as_str)
    }

    pub(super) fn forget_owner(&mut self, owner: O) {
        self.owners.remove(&owner);
    }

    /// How many owners and workers something is kept of.
    pub(super) fn count(&self) -> usize {
        self.owners.len() + self.workers.len()
    }

    /// True where there was something to forget.
    pub(super) fn forget_worker(&mut self, worker: &str) -> bool {
        self.workers.remove(worker).is_some()
    }

    /// Whether the worker gets one offer at a time until it accepts.
    pub(super) fn is_doubted(&self, worker: &str) -> bool {
        self.workers.get(worker).is_some_and(|unaccepted| unaccepted.last != Fault::Declined)
    }

    /// Answers when the next of them is over for this owner.
    fn are_over(&mut self, owner: O, now: Steady) -> Option<Steady> {
        let workers = self.owners.get_mut(&owner)?;
        workers.retain(|_, until| *until > now);
        let next = workers.values().min().copied();
        if next.is_none() {
            self.owners.remove(&owner);
        }
        next
    }
}

/// The one rule: how long a worker comes last after so many failures in a row.
fn pause(times: u32, has_another: bool) -> Duration {
    if has_another { REST } else { REST_ALONE * 2_u32.pow(times.saturating_sub(1).min(DOUBLINGS_MAX)) }
}

impl<O: OwnerKey> Placement<O> {
    /// This lease, which is over, failed for reasons of its worker's own, as the `times`-th of its owner. The worker is passed
    /// over for the owner's work for a while.
    pub fn pass_over(&mut self, now: Steady, lease: &Lease<O>, times: u32) {
        let rest = pause(times, self.has_another(lease.owner, &lease.need, &lease.worker));
        let until = now.after(rest);
        self.rests.owners.entry(lease.owner).or_default().insert(lease.worker.clone(), until);
        self.timers.arm_by(PlacementTimer::Rest(lease.owner), until);
    }

    /// An offer was not accepted: its worker comes last.
    pub(super) fn note_unaccepted(&mut self, now: Steady, token: LeaseToken, fault: Fault) {
        let Some(lease) = self.leases.get(token) else { return };
        let (worker, offered) = (lease.worker.clone(), lease.offered);
        let has_another = self.has_another(lease.owner, &lease.need, &worker);
        let session = lease.session.filter(|_| fault == Fault::Declined);
        if let Some(session) = session.and_then(|id| self.sessions.get_mut(id)) {
            session.declined = Some(now);
        }
        self.come_last(now, &worker, fault, Some(offered), has_another);
    }

    /// A session ended. Where offers had just been given back in it, it was the connection that gave them back.
    pub(super) fn note_broken(&mut self, now: Steady, session: &Session) {
        if session.declined.is_some_and(|at| now.since(at) < AT_ONCE) {
            let worker = &session.worker;
            let has_another = self.sessions.iter().any(|(_, other)| other.worker != *worker && other.takes_work());
            self.come_last(now, worker, Fault::Broke, None, has_another);
        }
    }

    /// A worker comes last for a while, unless it does already: what was offered at once counts once. `offered`: when what it
    /// did not accept was offered; none: it is about those that it gave back just now.
    fn come_last(&mut self, now: Steady, worker: &str, fault: Fault, offered: Option<Steady>, has_another: bool) {
        let first = Unaccepted { times: 0, counted: now, last: fault, until: None };
        let entry = self.rests.workers.entry(worker.to_owned()).or_insert(first);
        entry.blame(fault);
        if entry.until.is_some() {
            return;
        }
        entry.count(now, offered);
        if fault == Fault::Declined && entry.times <= DECLINES_MAX {
            return;
        }
        let until = now.after(pause(entry.times, has_another));
        entry.until = Some(until);
        self.timers.arm(PlacementTimer::RestOf(worker.to_owned()), until);
    }

    /// Whether this worker is passed over for the work of this owner now.
    pub(super) fn rests(&self, owner: O, id: SessionId) -> bool {
        let Some(session) = self.sessions.get(id) else { return false };
        self.is_resting(&session.worker) || self.rests.of(owner).any(|worker| worker == session.worker)
    }

    /// Whether this worker is passed over for all work. One that did not accept is given one offer at a time until it does.
    pub(super) fn is_resting(&self, worker: &str) -> bool {
        let Some(unaccepted) = self.rests.workers.get(worker) else { return false };
        unaccepted.until.is_some() || self.rests.is_doubted(worker) && self.has_offer(worker)
    }

    fn has_offer(&self, worker: &str) -> bool {
        self.leases.of(worker).any(|(_, lease)| lease.state == LeaseState::Offered)
    }

    pub(super) fn rest_timeout(&mut self, now: Steady, owner: O) -> Option<Offer<O>> {
        if let Some(next) = self.rests.are_over(owner, now) {
            self.timers.arm(PlacementTimer::Rest(owner), next);
        }
        self.offer_to_ready(now, owner)
    }

    /// The worker may be asked again: its rest is over, or the one offer at a time that it gets.
    pub(super) fn rest_of_timeout(&mut self, now: Steady, worker: &str) -> Option<Offer<O>> {
        if let Some(entry) = self.rests.workers.get_mut(worker) {
            if let Some(until) = entry.until.filter(|until| *until > now) {
                self.timers.arm(PlacementTimer::RestOf(worker.to_owned()), until);
                return None;
            }
            entry.until = None;
        }
        self.place_on_worker(now, worker)
    }

    /// Whether a connected worker could take such work that is not passed over, were it free.
    fn has_another(&self, owner: O, need: &Need, worker: &str) -> bool {
        self.sessions.iter().any(|(id, session)| {
            session.worker != worker
                && !self.rests(owner, id)
                && session.takes_work()
                && session.is_able(need, &self.terms.pools)
                && session.total.holds(&need.room)
        })
    }

    /// Workers that are passed over for the work of this owner alone.
    pub fn passed_over(&self, owner: O) -> impl Iterator<Item = &str> {
        self.rests.of(owner)
    }

    /// How a worker fares that is passed over for all work. None: it is not.
    pub fn resting(&self, worker: &str) -> Option<Resting> {
        let unaccepted = self.rests.workers.get(worker).filter(|_| self.is_resting(worker))?;
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
