//! Matches tickets that wait with sessions that wait.

use super::lease::{Lease, LeaseState};
use super::overdue::Overdue;
use super::session::{Readiness, Session};
use super::{Placement, PlacementTimer};
use crate::decide::matching::{Class, Need, OwnerKey, SessionId, Ticket};
use crate::decide::steady::Steady;
use crate::decide::tokens::LeaseToken;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The most workers with room that are counted for a ticket. Counting no more of them keeps a placement cheap.
pub const FREE_COUNTED: usize = 8;

/// Work that is offered to a session, which has not accepted it yet.
#[derive(Debug)]
pub struct Offer<O> {
    pub owner: O,
    pub session: SessionId,
    pub token: LeaseToken,
    /// The length of the lease, once it is accepted.
    pub term: Duration,
    pub choice: Choice,
    /// The lapsed lease of the same owner, which is over now. Its worker can no longer resume it.
    pub replaced: Option<(LeaseToken, Lease<O>)>,
}

/// The reason why an offer went to its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    pub because: Because,
    /// The number of connected workers that could take the work.
    pub able: usize,
    /// The number of connected workers that could take the work, had room and asked for work, counted up to [`FREE_COUNTED`].
    pub free: usize,
    pub waited: Duration,
    /// The event that ended the wait. `None` means that the ticket did not wait.
    pub waited_for: Option<Readiness>,
}

/// The rule that chose a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Because {
    /// No other connected worker could take the work.
    Only,
    /// The worker asked for work, and this was the first ticket in the queue that it could take.
    Asked,
    /// The worker was the only one that had room.
    OnlyFree,
    /// It has been connected for longer than the other workers with room.
    ConnectedLongest,
}

impl Because {
    /// The word for this rule in the store and for programs.
    pub fn word(self) -> &'static str {
        match self {
            Because::Only => "only",
            Because::Asked => "asked",
            Because::OnlyFree => "only-free",
            Because::ConnectedLongest => "connected-longest",
        }
    }
}

/// The rule that chose a session, the number of sessions that could take the work, and the number of those that had room.
type Match = (Because, usize, usize);

impl<O: OwnerKey> Placement<O> {
    /// Offers the first ticket that this session can take, if both wait.
    pub(super) fn place_on(&mut self, now: Steady, id: SessionId) -> Option<Offer<O>> {
        self.sessions.get(id)?.waiting?;
        self.keep_room(now, id);
        let owner = self.first_for(id)?;
        let able = self.queue.able_count(owner);
        let because = if able == 1 { Because::Only } else { Because::Asked };
        self.offer(now, id, owner, (because, able, 1))
    }

    /// The first owner whose ticket this session can take, if both wait.
    fn first_for(&self, id: SessionId) -> Option<O> {
        let session = self.sessions.get(id)?;
        let free = session.waiting?;
        // A resting worker is passed over for all work, so the queue need not be searched.
        if !session.takes_work() || self.is_resting(&session.worker) {
            return None;
        }
        let is_idle = !self.queue.has_normal_for(id, &session.total);
        let may = |rank: &super::Rank<O>| {
            (rank.class == Class::Normal || is_idle) && !self.keeps_from(id, rank) && !self.rests(rank.owner, id)
        };
        self.queue.first_for(id, &free, may, |_| true)
    }

    /// Offers work to the session of this worker, if it has one.
    pub(super) fn place_on_worker(&mut self, now: Steady, worker: &str) -> Option<Offer<O>> {
        let (id, _) = self.session_of(worker)?;
        self.place_on(now, id)
    }

    /// Offers a ticket of the queue to a session that waits and has room.
    pub(super) fn offer_to_ready(&mut self, now: Steady, owner: O) -> Option<Offer<O>> {
        let mut ready = self.find_ready(owner);
        // A session that keeps its room for another ticket from now on is not ready.
        while ready.first().is_some_and(|id| self.keep_room(now, *id)) {
            ready = self.find_ready(owner);
        }
        let session = *ready.first()?;
        if self.is_behind(session, owner) {
            // Another ticket goes first on this session. This ticket gets its turn by the timer.
            self.timers.arm_by(PlacementTimer::Rest(owner), now);
            return self.place_on(now, session);
        }
        let able = self.queue.able_count(owner);
        let because = match (able, ready.len()) {
            (1, _) => Because::Only,
            (_, 1) => Because::OnlyFree,
            (_, _) => Because::ConnectedLongest,
        };
        self.offer(now, session, owner, (because, able, ready.len()))
    }

    /// Whether another ticket goes first on this session. Only a worker that gets one offer at a time may ask for work while tickets wait
    /// that it could take. When it gives its offer back, the ticket of that offer is not the next one.
    fn is_behind(&self, id: SessionId, owner: O) -> bool {
        let is_doubted = self.sessions.get(id).is_some_and(|session| self.rests.is_doubted(&session.worker));
        is_doubted && self.first_for(id) != Some(owner)
    }

    /// Offers an idle ticket to a session that waits. It is called after a normal ticket left the queue, because that ticket may have
    /// kept idle work from the session. The next tick goes on with the other sessions.
    pub(super) fn place_idle(&mut self, now: Steady) -> Option<Offer<O>> {
        let sessions = self.queue.able_for_idle(&self.ready);
        let offer = sessions.into_iter().find_map(|id| self.place_on(now, id))?;
        self.look_for_idle(now);
        Some(offer)
    }

    pub(super) fn look_for_idle(&mut self, now: Steady) {
        if !self.ready.is_empty() && self.queue.has_idle() {
            self.timers.arm_by(PlacementTimer::Idle, now);
        }
    }

    /// The sessions that wait and have room for this ticket, the longest connected first, at most [`FREE_COUNTED`] of them. It searches
    /// the smaller of two sets: the sessions that wait, and the sessions that could take the ticket.
    fn find_ready(&self, owner: O) -> Vec<SessionId> {
        let is_free = |id: &SessionId| self.is_free_for(*id, owner);
        if self.ready.len() < self.queue.able_count(owner) {
            let able = self.ready.iter().copied().filter(|id| self.queue.is_able(owner, *id));
            return able.filter(is_free).take(FREE_COUNTED).collect();
        }
        self.queue.able(owner).filter(|id| self.ready.contains(id)).filter(is_free).take(FREE_COUNTED).collect()
    }

    /// Whether a session that could take this ticket may have it now.
    fn is_free_for(&self, id: SessionId, owner: O) -> bool {
        let (Some(session), Some(need)) = (self.sessions.get(id), self.queue.need(owner)) else { return false };
        let rank = self.queue.rank(owner, 0);
        let is_kept = || rank.class == Class::Idle && self.queue.has_normal_for(id, &session.total);
        session.has_room(need) && !self.rests(owner, id) && !is_kept() && !self.keeps_from(id, &rank)
    }

    fn offer(&mut self, now: Steady, id: SessionId, owner: O, found: Match) -> Option<Offer<O>> {
        let ticket = self.leave_queue(now, owner)?;
        let replaced = self.owners.get(&owner).copied().and_then(|token| Some((token, self.release(now, token)?)));
        let token = self.tokens.draw();
        let session = self.sessions.get(id)?;
        let term = self.term(session, &ticket).max(session.least_term);
        let choice = chosen(now, found, ticket.queued, session.opened);
        let (worker, until) = (session.worker.clone(), now.after(self.terms.offer));
        let lease = Lease {
            owner,
            worker,
            state: LeaseState::Offered,
            session: Some(id),
            until,
            term,
            ending: None,
            need: ticket.need,
            offered: now,
            overdue: Overdue::default(),
        };
        self.hold_lease(token, lease);
        self.unready(id);
        Some(Offer { owner, session: id, token, term, choice, replaced })
    }

    /// The shortest term of the pools that the session and the ticket share. If no such pool has a term, the term of the ticket.
    fn term(&self, session: &Session, ticket: &Ticket<O>) -> Duration {
        let shared = session.pools.iter().filter(|pool| ticket.need.pools.contains(*pool));
        let of_pools = shared.filter_map(|pool| self.terms.pools.get(pool)?.lease);
        of_pools.min().unwrap_or(ticket.term)
    }

    /// Whether some worker, connected or away, could take this ticket now or later.
    pub fn is_placeable(&self, owner: O, away: impl Iterator<Item = Session>) -> bool {
        let Some(need) = self.queue.need(owner) else { return true };
        let mut here = self.queue.able(owner).filter_map(|id| self.sessions.get(id));
        let is_large = |session: &Session| session.total.holds(&need.room);
        here.any(is_large) || self.able_among(need, away).any(|session| is_large(&session))
    }

    /// The sessions among these that could take work with this need when they are connected and have room.
    pub fn able_among(&self, need: &Need, away: impl Iterator<Item = Session>) -> impl Iterator<Item = Session> {
        away.filter(move |session| session.is_able(need, &self.terms.pools))
    }
}

/// The reason for a placement. `queued` is when the ticket came into the queue, and `opened` is when and how the session became ready.
fn chosen(now: Steady, (because, able, free): Match, queued: Steady, opened: (Steady, Readiness)) -> Choice {
    let waited = now.since(queued);
    let did_wait = !waited.is_zero() || because == Because::Asked;
    let waited_for = did_wait.then_some(if opened.0 >= queued { opened.1 } else { Readiness::Asked });
    Choice { because, able, free, waited, waited_for }
}
