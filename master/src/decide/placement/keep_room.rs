//! Keeps room for a large ticket that is the first in order, so that smaller tickets do not pass it for ever.
//!
//! A session that keeps room for a ticket gets no ticket that ranks behind it, until that ticket has left the queue. So the free room
//! there grows with each job that ends, until the ticket fits. One session keeps room for one ticket.

use super::{Placement, PlacementTimer, Session};
use crate::decide::matching::{Class, OwnerKey, Rank, SessionId};
use crate::decide::steady::Steady;
use std::time::Duration;

/// How long smaller tickets may pass a large one. Most small steps end in this time, so that enough room often appears by itself. It is
/// short compared with a build that takes a whole worker.
pub const KEPT_AFTER: Duration = Duration::from_secs(30);

impl<O: OwnerKey> Placement<O> {
    /// The owner for whose ticket this worker keeps its room.
    pub fn kept_for(&self, worker: &str) -> Option<O> {
        let (id, _) = self.session_of(worker)?;
        self.kept_by(id)
    }

    /// Like [`Placement::kept_for`], but also returns an owner for whose ticket the worker will keep room when it next asks.
    pub fn keeps_next(&self, now: Steady, worker: &str) -> Option<O> {
        let (id, _) = self.session_of(worker)?;
        self.passed_for_long(now, id).or_else(|| self.kept_by(id))
    }

    /// The worker that keeps its room for the ticket of this owner.
    pub fn keeper_of(&self, owner: O) -> Option<&str> {
        let (id, _) = self.kept.iter().find(|(id, kept)| **kept == owner && self.kept_by(**id).is_some())?;
        self.sessions.get(*id).map(|session| session.worker.as_str())
    }

    /// Notes the ticket for which this session keeps its room from now on, if there is one. Returns whether that is new.
    pub(super) fn keep_room(&mut self, now: Steady, id: SessionId) -> bool {
        let Some(owner) = self.passed_for_long(now, id) else { return false };
        self.kept.retain(|at, other| *at == id || *other != owner);
        self.kept.insert(id, owner) != Some(owner)
    }

    /// Whether this session keeps its room for a ticket that is before this rank.
    pub(super) fn keeps_from(&self, id: SessionId, rank: &Rank<O>) -> bool {
        self.kept_by(id).is_some_and(|owner| self.queue.rank(owner, 0) < *rank)
    }

    /// Notes that a ticket left the queue, so the session that kept room for it may have room for others.
    pub(super) fn forget_kept(&mut self, now: Steady, owner: O) {
        let keepers: Vec<SessionId> = self.kept.extract_if(.., |_, kept| *kept == owner).map(|(id, _)| id).collect();
        keepers.into_iter().for_each(|id| self.ask_keeper(now, id));
    }

    /// Looks again at a worker on which work has ended. If nothing runs there any more, it need not keep room.
    pub(super) fn look_at_kept(&mut self, now: Steady, worker: &str) {
        let id = self.session_of(worker).map(|(id, _)| id);
        if let Some(id) = id.filter(|id| self.kept.contains_key(id)) {
            self.ask_keeper(now, id);
        }
    }

    fn ask_keeper(&mut self, now: Steady, id: SessionId) {
        if let Some(session) = self.sessions.get(id).filter(|session| session.waiting.is_some()) {
            self.timers.arm_by(PlacementTimer::Kept(session.worker.clone()), now);
        }
    }

    /// The owner for whose ticket this session keeps its room, as long as that helps.
    fn kept_by(&self, id: SessionId) -> Option<O> {
        let owner = *self.kept.get(&id)?;
        self.can_keep(id, owner).then_some(owner)
    }

    fn can_keep(&self, id: SessionId, owner: O) -> bool {
        self.sessions.get(id).is_some_and(|session| self.is_busy(session)) && !self.rests(owner, id)
    }

    /// Whether keeping room can help. A worker on which nothing runs gets no more room, and one that gets no work has none to keep.
    fn is_busy(&self, session: &Session) -> bool {
        let has_leases = self.leases.of(&session.worker).next().is_some();
        has_leases && session.takes_work() && !self.is_resting(&session.worker)
    }

    /// The owner of the first ticket that has waited long, for which this session has no room now, and which all its room would hold.
    /// Among tickets with the same needs only the first one counts, because none of them passes another.
    fn passed_for_long(&self, now: Steady, id: SessionId) -> Option<O> {
        let session = self.sessions.get(id).filter(|session| self.is_busy(session))?;
        let is_kept_elsewhere = |owner: O| {
            let mut elsewhere = self.kept.iter().filter(|(at, kept)| **kept == owner && **at != id);
            elsewhere.any(|(at, _)| self.can_keep(*at, owner))
        };
        let may = |rank: &Rank<O>| {
            rank.class == Class::Normal && !self.rests(rank.owner, id) && !is_kept_elsewhere(rank.owner)
        };
        let waits_for_long = |owner| self.queue.queued(owner).is_some_and(|queued| now.since(queued) >= KEPT_AFTER);
        let first = self.queue.first_for(id, &session.total, may, waits_for_long)?;
        self.queue.need(first).is_some_and(|need| !session.has_room(need)).then_some(first)
    }
}
