//! The changes of leases: they are accepted, renewed, completed, given back, and taken up again after a restart.

use super::TimeLimits;
use super::lease::{Ending, Lease, LeaseState};
use super::overdue::Overdue;
use super::session::Readiness;
use super::{Decision, Offer, Placement, PlacementTimer};
use crate::decide::matching::{Need, OwnerKey, SessionId};
use crate::decide::rests::Fault;
use crate::decide::steady::Steady;
use crate::decide::tokens::LeaseToken;
use std::time::Duration;

/// The result of accepting an offer.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "most leases are accepted once: boxing the next offer would cost an allocation each"
)]
pub enum Accepted<O> {
    /// The work begins. A worker that gets one offer at a time may get its next one.
    Begun(Option<Offer<O>>),
    /// The attempt had begun before, and has a full term again.
    Again(Renewed<O>),
}

/// A lease that has a full term from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewed<O> {
    pub owner: O,
    pub term: Duration,
    /// Whether the lease had lapsed. Its owner was then back in the queue, and has been taken out of it.
    pub had_lapsed: bool,
}

/// A lease from before a restart of the master. Its worker is away.
#[derive(Debug)]
pub struct Restored<O> {
    pub owner: O,
    pub need: Need,
    pub worker: String,
    pub term: Duration,
    pub has_lapsed: bool,
    /// When the master ends the lease, if somebody asked to end the work.
    pub ends_by: Option<Steady>,
    pub limits: TimeLimits,
}

impl<O: OwnerKey> Placement<O> {
    /// Accepts an offer: the work begins, with a full term from now. The worker may repeat the call, because it counts the term from its
    /// last call. `None` means that the lease is over.
    pub fn accept(&mut self, now: Steady, token: LeaseToken, limits: TimeLimits) -> Option<Accepted<O>> {
        let lease = self.leases.get_mut(token)?;
        if lease.state != LeaseState::Offered {
            return self.resume(now, token).map(Accepted::Again);
        }
        lease.state = LeaseState::Running;
        let worker = lease.worker.clone();
        self.set_term(now, token);
        self.watch_overdue(token, Overdue::new(now, limits));
        let was_doubted = self.rests.forget_worker(&worker);
        Some(Accepted::Begun(if was_doubted { self.place_on_worker(now, &worker) } else { None }))
    }

    /// Gives a lease a full term from now, even if it had lapsed. `None` means that it has not begun, or is over.
    pub fn resume(&mut self, now: Steady, token: LeaseToken) -> Option<Renewed<O>> {
        let lease = self.leases.get_mut(token).filter(|lease| lease.has_begun())?;
        let had_lapsed = lease.state == LeaseState::Lapsed;
        let (owner, term) = (lease.owner, lease.term);
        lease.state = LeaseState::Running;
        if had_lapsed {
            self.leave_queue(now, owner);
        }
        self.set_term(now, token);
        self.heard_again(now, token);
        Some(Renewed { owner, term, had_lapsed })
    }

    /// Like [`Placement::resume`], for a worker that asks. Only its own worker may renew a lease.
    pub fn renew(&mut self, now: Steady, worker: &str, token: LeaseToken) -> Option<Renewed<O>> {
        self.leases.get(token).filter(|lease| lease.worker == worker)?;
        self.resume(now, token)
    }

    /// Gives a lease to the new session of its worker, which named the lease when it connected. The term of the lease becomes at
    /// least the least term of the session, because the worker already counts on that.
    pub fn rejoin(&mut self, now: Steady, token: LeaseToken, id: SessionId) -> Option<Renewed<O>> {
        let session = self.sessions.get(id)?;
        let is_its_own = |lease: &&mut Lease<O>| lease.worker == session.worker && lease.has_begun();
        let lease = self.leases.get_mut(token).filter(is_its_own)?;
        lease.session = Some(id);
        lease.term = lease.term.max(session.least_term);
        let renewed = self.resume(now, token)?;
        self.prolong(now, token);
        Some(renewed)
    }

    /// Ends a lease that has begun, because its work is over, no matter who ended the work.
    pub fn complete(&mut self, now: Steady, token: LeaseToken) -> Option<Lease<O>> {
        self.leases.get(token).filter(|lease| lease.has_begun())?;
        self.release(now, token)
    }

    /// Ends an offer that was not accepted, and notes the fault of its worker. `None` means that the lease is not an offer.
    pub fn give_back(&mut self, now: Steady, token: LeaseToken, fault: Fault) -> Option<Lease<O>> {
        self.leases.get(token).filter(|lease| !lease.has_begun())?;
        self.note_unaccepted(now, token, fault);
        self.release(now, token)
    }

    /// Notes a request to end the work, at this time at the latest. A second request may make that time earlier, and also ends the
    /// `always` steps.
    pub fn end_by(&mut self, token: LeaseToken, by: Steady) -> Option<Ending> {
        let lease = self.leases.get_mut(token)?;
        let ending = match lease.ending {
            None => Ending { by, is_urgent: false },
            Some(before) => Ending { by: by.min(before.by), is_urgent: true },
        };
        lease.ending = Some(ending);
        self.timers.arm(PlacementTimer::End(token), ending.by);
        Some(ending)
    }

    /// Takes up a lease from before a restart of the master, with a full term from now and the whole time of its work. So it never gets
    /// less than it had.
    pub fn restore(&mut self, now: Steady, token: LeaseToken, from: Restored<O>) {
        let Restored { owner, need, worker, term, has_lapsed, ends_by, limits } = from;
        let state = if has_lapsed { LeaseState::Lapsed } else { LeaseState::Running };
        let (until, offered, overdue) = (now.after(term), now, Overdue::default());
        let (session, ending) = (None, None);
        self.hold_lease(token, Lease { owner, worker, state, session, until, term, ending, need, offered, overdue });
        if has_lapsed {
            self.timers.disarm(&PlacementTimer::Lease(token));
        }
        self.watch_overdue(token, Overdue::new(now, limits));
        if let Some(by) = ends_by {
            self.end_by(token, by);
        }
    }

    pub fn lease(&self, token: LeaseToken) -> Option<&Lease<O>> {
        self.leases.get(token)
    }

    pub fn lease_of(&self, owner: O) -> Option<(LeaseToken, &Lease<O>)> {
        let token = *self.owners.get(&owner)?;
        Some((token, self.leases.get(token)?))
    }

    pub fn leases(&self) -> impl Iterator<Item = (LeaseToken, &Lease<O>)> {
        self.leases.iter()
    }

    pub fn leases_of(&self, worker: &str) -> impl Iterator<Item = (LeaseToken, &Lease<O>)> {
        self.leases.of(worker)
    }

    pub(super) fn lease_timeout(&mut self, now: Steady, token: LeaseToken) -> Option<Decision<O>> {
        let lease = self.leases.get_mut(token)?;
        match lease.state {
            LeaseState::Offered => {
                self.give_back(now, token, Fault::Silent).map(|lease| Decision::WentBack(token, lease))
            }
            LeaseState::Running => {
                lease.state = LeaseState::Lapsed;
                Some(Decision::Lapsed(token))
            }
            LeaseState::Lapsed => None,
        }
    }

    /// Keeps a lease, and sets the timer for its end.
    pub(super) fn hold_lease(&mut self, token: LeaseToken, lease: Lease<O>) {
        self.timers.arm(PlacementTimer::Lease(token), lease.until);
        let before = self.owners.insert(lease.owner, token);
        assert!(before.is_none(), "{:?} has two leases", lease.owner);
        self.leases.insert(token, lease);
    }

    /// Ends a lease. If its work had begun, its session has more room now. If it was an offer, a worker that gets one at a time may get
    /// the next one.
    pub(super) fn release(&mut self, now: Steady, token: LeaseToken) -> Option<Lease<O>> {
        let lease = self.leases.remove(token)?;
        self.owners.remove(&lease.owner);
        for timer in [PlacementTimer::Lease(token), PlacementTimer::End(token), PlacementTimer::Overdue(token)] {
            self.timers.disarm(&timer);
        }
        match lease.session.filter(|_| lease.has_begun()) {
            Some(id) => self.note_freed(now, id),
            None if self.rests.is_doubted(&lease.worker) => {
                self.timers.arm_by(PlacementTimer::RestOf(lease.worker.clone()), now);
            }
            None => {}
        }
        self.look_at_kept(now, &lease.worker);
        Some(lease)
    }

    fn note_freed(&mut self, now: Steady, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.opened = (now, Readiness::Freed);
        }
    }

    /// Gives a lease its full term from now. Terms only grow, so no lease ends sooner by this.
    fn set_term(&mut self, now: Steady, token: LeaseToken) {
        let Some(lease) = self.leases.get_mut(token) else { return };
        lease.until = now.after(lease.term);
        self.timers.arm(PlacementTimer::Lease(token), lease.until);
    }

    pub(super) fn check_leases(&self) {
        assert_eq!(self.owners.len(), self.leases.len(), "owners and leases differ");
        for (token, lease) in self.leases.iter() {
            assert_eq!(self.owners.get(&lease.owner), Some(&token), "{token:?} is not the lease that its owner has");
            let is_timed = self.timers.at(&PlacementTimer::Lease(token)) == Some(lease.until);
            assert!(is_timed || lease.state == LeaseState::Lapsed, "{token:?} has no deadline");
            match lease.overdue.at() {
                Some(at) => {
                    assert_eq!(self.timers.at(&PlacementTimer::Overdue(token)), Some(at), "{token:?} is not timed")
                }
                None => assert!(!lease.is_ours_to_end(), "{token:?} may run for ever"),
            }
        }
    }
}
