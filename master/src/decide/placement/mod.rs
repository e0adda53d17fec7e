//! Decides which worker gets which work. Placement knows tickets and workers, and no builds.
//!
//! [`Placement`] is the policy, and its list of methods says what can happen. The needs of a ticket, the offers of a worker and the order
//! of tickets are in `matching`. The files here are the rules: who is chosen (`place`), for which ticket room is kept (`keep_room`), and
//! who comes last for a while (`rest`). They also say how a lease lives (`lease`, `leases`), and when its work has taken too long
//! (`overdue`). A rule that keeps a ticket from a session, such as a lock, belongs in `place`, beside the class. A rule that prefers one
//! session to another, such as affinity, belongs there too, where the ready sessions are found.

mod keep_room;
mod lease;
mod leases;
mod overdue;
mod place;
mod rest;
mod session;

pub use crate::decide::matching::{
    Ability, Class, Need, OwnerKey, PoolTerms, Pools, Rank, SessionId, Ticket, TierNeed, USUAL_TIER,
};
pub use crate::decide::rests::{Fault, Resting};
pub use crate::decide::time_limits::TimeLimits;
pub use crate::decide::tokens::LeaseToken;
pub use keep_room::KEPT_AFTER;
pub use lease::{Ending, Lease, LeaseState};
pub use leases::{Accepted, Renewed, Restored};
pub use place::{Because, Choice, FREE_COUNTED, Offer};
pub use session::{Readiness, Session};

use crate::decide::by_worker::ByWorker;
use crate::decide::matching::Queue;
use crate::decide::rests::Rests;
use crate::decide::schedule::Schedule;
use crate::decide::steady::Steady;
use crate::decide::tokens::Tokens;
use schema::values::Resources;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The part of the master file that placement uses.
#[derive(Clone, Debug)]
pub struct PlacementTerms {
    /// How long an offer waits to be accepted before it goes back.
    pub offer: Duration,
    pub pools: Pools,
}

/// A decision that placement made by itself, because a timer was due.
#[derive(Debug)]
pub enum Decision<O> {
    Offer(Offer<O>),
    /// The offer was not accepted in time, and is over. Its owner may be enqueued again.
    WentBack(LeaseToken, Lease<O>),
    /// The term of the lease is over. Until the owner is placed again or withdrawn, the worker may resume the lease.
    Lapsed(LeaseToken),
    /// The master asked the worker to end the work, and the worker did not do so in time.
    Outstayed(LeaseToken),
    /// The time of the work was over long ago, and its worker did not end it.
    Overdue(LeaseToken),
}

/// The worker of a session that ended, and its offers, which are over too. The leases of the session live on until their terms end.
#[derive(Debug)]
pub struct Detached<O> {
    pub worker: String,
    pub offers: Vec<(LeaseToken, Lease<O>)>,
}

/// The numbers of everything that placement holds. Each is zero when no work is left and no worker is connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    pub waiting: usize,
    pub leases: usize,
    pub sessions: usize,
    pub resting: usize,
    pub timers: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PlacementTimer<O> {
    /// The end of an offer or of a term.
    Lease(LeaseToken),
    End(LeaseToken),
    Overdue(LeaseToken),
    /// A worker may get the work of this owner again.
    Rest(O),
    /// The worker of this name may get offers again.
    RestOf(String),
    /// Idle tickets may be offered, because a normal ticket left the queue.
    Idle,
    /// The worker of this name may no longer need to keep its room.
    Kept(String),
}

/// `Placement` holds the queue, the sessions and the leases of work. It knows nothing about the owners of the work.
///
/// It is pure: the time is an argument, and the same calls make the same decisions. The coordinator turns the decisions into rows and
/// effects. Its methods are in this order: tickets, sessions, leases, time, looks.
///
/// - An owner has one ticket or one lease at a time. Only a lapsed lease may exist beside a ticket, until the ticket is offered.
/// - A call that may place work returns the offer that it made. Each call makes one at most, and [`Placement::tick`] makes the offers
///   that follow from it.
/// - A decision costs O(log n) in tickets and workers, and O(k) in the different needs that wait.
#[derive(Debug)]
pub struct Placement<O> {
    terms: PlacementTerms,
    queue: Queue<O>,
    sessions: ByWorker<SessionId, Session>,
    /// Sessions with a waiting `take`.
    ready: BTreeSet<SessionId>,
    leases: ByWorker<LeaseToken, Lease<O>>,
    /// The lease of each owner that has one.
    owners: BTreeMap<O, LeaseToken>,
    rests: Rests<O>,
    /// The tickets for which sessions keep their room.
    kept: BTreeMap<SessionId, O>,
    timers: Schedule<PlacementTimer<O>, Steady>,
    tokens: Tokens,
    last_session: u64,
}

impl<O: OwnerKey> Placement<O> {
    /// Makes a placement that holds nothing. `key` has 32 random bytes, from which lease tokens are drawn.
    pub fn new(terms: PlacementTerms, key: [u8; 32]) -> Placement<O> {
        Placement {
            terms,
            queue: Queue::new(),
            sessions: ByWorker::new(),
            ready: BTreeSet::new(),
            leases: ByWorker::new(),
            owners: BTreeMap::new(),
            rests: Rests::new(),
            kept: BTreeMap::new(),
            timers: Schedule::new(),
            tokens: Tokens::new(key),
            last_session: 0,
        }
    }

    /// Takes the terms of a changed master file. Leases keep their terms. Empties the queue and returns its owners in order. The caller
    /// enqueues each of them again, with a ticket under the new terms.
    pub fn set_terms(&mut self, terms: PlacementTerms) -> Vec<O> {
        self.terms = terms;
        let waiting = self.queue.in_order(usize::MAX);
        self.queue = Queue::new();
        self.kept.clear();
        waiting
    }

    /// Puts work into the queue, where it waits from now on.
    pub fn enqueue(&mut self, now: Steady, ticket: Ticket<O>) -> Option<Offer<O>> {
        let owner = ticket.owner;
        let is_held = self.lease_of(owner).is_some_and(|(_, lease)| lease.state != LeaseState::Lapsed);
        assert!(!is_held, "{owner:?} is enqueued and has a lease");
        let (sessions, pools) = (&self.sessions, &self.terms.pools);
        self.queue.enter(ticket, |need| {
            sessions.iter().filter(|(_, session)| session.is_able(need, pools)).map(|(id, _)| id).collect()
        });
        self.offer_to_ready(now, owner)
    }

    /// Removes the ticket and the lease of an owner that wants no more work done. Returns the lease.
    pub fn withdraw(&mut self, now: Steady, owner: O) -> Option<(LeaseToken, Lease<O>)> {
        self.leave_queue(now, owner);
        self.rests.forget_owner(owner);
        self.timers.disarm(&PlacementTimer::Rest(owner));
        let token = *self.owners.get(&owner)?;
        Some((token, self.release(now, token)?))
    }

    /// Opens a session for a worker that connects. An older session of the worker ends, and its offers stay as they are.
    pub fn attach(&mut self, session: Session) -> SessionId {
        if let Some((older, _)) = self.session_of(&session.worker) {
            self.close_session(older);
        }
        self.last_session += 1;
        let id = SessionId(self.last_session);
        let pools = &self.terms.pools;
        self.queue.meet(id, |need| session.is_able(need, pools));
        self.sessions.insert(id, session);
        id
    }

    /// Closes a session whose connection is gone.
    pub fn detach(&mut self, now: Steady, id: SessionId) -> Option<Detached<O>> {
        let session = self.close_session(id)?;
        let offered = self.leases.of(&session.worker).filter(|(_, lease)| lease.session == Some(id));
        let tokens: Vec<LeaseToken> = offered.map(|(token, _)| token).collect();
        let offers = tokens.into_iter().filter_map(|token| Some((token, self.give_back(now, token, Fault::Broke)?)));
        let offers = offers.collect();
        self.note_broken(now, &session);
        Some(Detached { worker: session.worker, offers })
    }

    /// Notes that a `take` of the session waits, with this room free.
    pub fn take(&mut self, now: Steady, id: SessionId, free: Resources) -> Option<Offer<O>> {
        self.sessions.get_mut(id)?.waiting = Some(free);
        self.ready.insert(id);
        self.place_on(now, id)
    }

    /// Notes that the session's `take` was dropped or answered.
    pub fn unready(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.waiting = None;
        }
        self.ready.remove(&id);
    }

    /// Notes that the worker drains by itself, so it gets no further offers in this session.
    pub fn drain(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.draining = true;
        }
    }

    /// Notes that an operator drains or holds a worker (`is_stopped`), or lets it work again.
    pub fn hold(&mut self, now: Steady, worker: &str, is_stopped: bool) -> Option<Offer<O>> {
        let (id, _) = self.session_of(worker)?;
        let session = self.sessions.get_mut(id)?;
        session.stopped = is_stopped;
        if session.takes_work() {
            session.opened = (now, Readiness::Resumed);
        }
        self.place_on(now, id)
    }

    /// Forgets a worker that is gone for good. Another worker that takes its name begins without faults.
    pub fn forget(&mut self, worker: &str) {
        self.rests.forget_worker(worker);
        self.timers.disarm(&PlacementTimer::RestOf(worker.to_owned()));
    }

    /// When [`Placement::tick`] has something to do.
    pub fn next_timeout(&self) -> Option<Steady> {
        self.timers.next()
    }

    /// Serves the first timer that is due. Call it until none is due.
    pub fn tick(&mut self, now: Steady) -> Option<Decision<O>> {
        match self.timers.due(now)? {
            PlacementTimer::Lease(token) => self.lease_timeout(now, token),
            PlacementTimer::End(token) => Some(Decision::Outstayed(token)),
            PlacementTimer::Overdue(token) => self.overdue_timeout(now, token),
            PlacementTimer::Rest(owner) => self.rest_timeout(now, owner).map(Decision::Offer),
            PlacementTimer::RestOf(worker) => self.rest_of_timeout(now, &worker).map(Decision::Offer),
            PlacementTimer::Idle => self.place_idle(now).map(Decision::Offer),
            PlacementTimer::Kept(worker) => self.place_on_worker(now, &worker).map(Decision::Offer),
        }
    }

    pub fn gauges(&self) -> Gauges {
        Gauges {
            waiting: self.queue.len(),
            leases: self.leases.len(),
            sessions: self.sessions.len(),
            resting: self.rests.count(),
            timers: self.timers.count(),
        }
    }

    /// Whether a ticket waits that a connected worker could take if it had room.
    pub fn is_short_of_room(&self) -> bool {
        self.queue.is_wanted()
    }

    /// The needs of the owner's ticket. `None` means that it is not in the queue.
    pub fn need(&self, owner: O) -> Option<&Need> {
        self.queue.need(owner)
    }

    /// The first owners of the queue, in the order in which their tickets would be placed.
    pub fn in_order(&self, limit: usize) -> Vec<O> {
        self.queue.in_order(limit)
    }

    /// The position of the owner's ticket, or the position that a normal one would have if it came now.
    pub fn rank(&self, owner: O, priority: i32) -> Rank<O> {
        self.queue.rank(owner, priority)
    }

    /// The needs of the tickets before this rank, in order. They are those that `could` accepts, and at most `limit`.
    pub fn before(&self, rank: Rank<O>, could: impl Fn(&Need) -> bool, limit: usize) -> Vec<&Need> {
        self.queue.before(rank, could, limit)
    }

    /// The sessions that could take the owner's ticket, when they have room.
    pub fn able(&self, owner: O) -> impl Iterator<Item = &Session> {
        self.queue.able(owner).filter_map(|id| self.sessions.get(id))
    }

    pub fn pools(&self) -> &Pools {
        &self.terms.pools
    }

    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(id)
    }

    pub fn session_of(&self, worker: &str) -> Option<(SessionId, &Session)> {
        self.sessions.of(worker).next()
    }

    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        self.sessions.iter()
    }

    /// Panics if an invariant is broken. It takes O(n) time, so only tests call it.
    pub fn check(&self) {
        self.queue.check();
        self.leases.check();
        self.sessions.check();
        self.check_leases();
        for id in &self.ready {
            let is_waiting = self.sessions.get(*id).is_some_and(|session| session.waiting.is_some());
            assert!(is_waiting, "{id:?} waits for nothing");
        }
        for (id, owner) in &self.kept {
            let is_there = self.sessions.get(*id).is_some() && self.queue.need(*owner).is_some();
            assert!(is_there, "{id:?} keeps its room for {owner:?}, and one of both is gone");
        }
        for (_, session) in self.sessions.iter() {
            let (worker, count) = (&session.worker, self.sessions.of(&session.worker).count());
            assert_eq!(count, 1, "worker {worker} has {count} sessions");
        }
    }

    /// Takes the owner's ticket out of the queue. If it was a normal ticket, idle work may get its place.
    fn leave_queue(&mut self, now: Steady, owner: O) -> Option<Ticket<O>> {
        let ticket = self.queue.leave(owner)?;
        self.forget_kept(now, owner);
        if ticket.class == Class::Normal {
            self.look_for_idle(now);
        }
        Some(ticket)
    }

    /// Closes a session. Its leases that have begun stay alive without a session.
    fn close_session(&mut self, id: SessionId) -> Option<Session> {
        let session = self.sessions.remove(id)?;
        self.ready.remove(&id);
        self.kept.remove(&id);
        self.queue.part(id);
        let begun = self.leases.of(&session.worker).filter(|(_, lease)| lease.has_begun());
        let held = begun.filter(|(_, lease)| lease.session == Some(id)).map(|(token, _)| token);
        for token in held.collect::<Vec<_>>() {
            if let Some(lease) = self.leases.get_mut(token) {
                lease.session = None;
            }
        }
        Some(session)
    }
}
