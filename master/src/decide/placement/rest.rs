//! The rules by which a worker is passed over for a while. A worker that let an offer expire, lost its connection while it had one, or
//! gave back several in a row gets no work. A worker that failed some work for reasons of its own does not get that work.
//! `decide/rests.rs` keeps the list of these workers. Nothing is recorded, so all workers are equal after a restart of the master.

use super::lease::{Lease, LeaseState};
use super::session::Session;
use super::{Offer, Placement, PlacementTimer};
use crate::decide::matching::{Need, OwnerKey, SessionId};
use crate::decide::rests::{AT_ONCE, Fault, Resting, pause};
use crate::decide::steady::Steady;
use crate::decide::tokens::LeaseToken;

impl<O: OwnerKey> Placement<O> {
    /// Passes the worker of this lease over for a while, for the work of the lease's owner. The worker has caused the end of the lease.
    /// `times` is the number of such failures of the work, including this one.
    pub fn pass_over(&mut self, now: Steady, lease: &Lease<O>, times: u32) {
        let rest = pause(times, self.has_another(lease.owner, &lease.need, &lease.worker));
        let until = now.after(rest);
        self.rests.pass_over(lease.owner, lease.worker.clone(), until);
        self.timers.arm_by(PlacementTimer::Rest(lease.owner), until);
    }

    /// Notes that an offer was not accepted, so its worker comes last.
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

    /// Notes the end of a session. If the worker gave offers back just before, the cause was its broken connection, so the worker comes
    /// last.
    pub(super) fn note_broken(&mut self, now: Steady, session: &Session) {
        if session.declined.is_some_and(|at| now.since(at) < AT_ONCE) {
            let worker = &session.worker;
            let has_another = self.sessions.iter().any(|(_, other)| other.worker != *worker && other.takes_work());
            self.come_last(now, worker, Fault::Broke, None, has_another);
        }
    }

    /// Calls `Rests::come_last`, and sets the timer at which the worker gets offers again.
    fn come_last(&mut self, now: Steady, worker: &str, fault: Fault, offered: Option<Steady>, has_another: bool) {
        if let Some(until) = self.rests.come_last(now, worker, fault, offered, has_another) {
            self.timers.arm(PlacementTimer::RestOf(worker.to_owned()), until);
        }
    }

    /// Whether this worker is passed over for the work of this owner now.
    pub(super) fn rests(&self, owner: O, id: SessionId) -> bool {
        let Some(session) = self.sessions.get(id) else { return false };
        self.is_resting(&session.worker) || self.rests.of(owner).any(|worker| worker == session.worker)
    }

    /// Whether this worker is passed over for all work. A worker that did not accept an offer gets one at a time until it accepts.
    pub(super) fn is_resting(&self, worker: &str) -> bool {
        let Some(unaccepted) = self.rests.unaccepted(worker) else { return false };
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

    /// Offers work to a worker that no longer comes last, or whose only offer is over. If it still comes last, sets the timer again.
    pub(super) fn rest_of_timeout(&mut self, now: Steady, worker: &str) -> Option<Offer<O>> {
        if let Some(until) = self.rests.end_rest(now, worker) {
            self.timers.arm(PlacementTimer::RestOf(worker.to_owned()), until);
            return None;
        }
        self.place_on_worker(now, worker)
    }

    /// Whether another connected worker that is not passed over could take this work if it were free.
    fn has_another(&self, owner: O, need: &Need, worker: &str) -> bool {
        self.sessions.iter().any(|(id, session)| {
            session.worker != worker
                && !self.rests(owner, id)
                && session.takes_work()
                && session.is_able(need, &self.terms.pools)
                && session.total.holds(&need.room)
        })
    }

    /// The workers that are passed over for the work of this owner alone.
    pub fn passed_over(&self, owner: O) -> impl Iterator<Item = &str> {
        self.rests.of(owner)
    }

    /// Why a worker is passed over for all work, and until when. `None` means that the worker is not passed over.
    pub fn resting(&self, worker: &str) -> Option<Resting> {
        self.rests.unaccepted(worker).filter(|_| self.is_resting(worker))
    }
}
