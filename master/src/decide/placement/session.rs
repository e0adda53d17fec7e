//! Sessions: the live connections of workers, with the facts that placement needs.

use crate::decide::by_worker::OfWorker;
use crate::decide::matching::{Ability, Need, Pools};
use crate::decide::steady::Steady;
use schema::values::{Resources, TierProbe, Time};
use std::time::Duration;

/// A `Session` has what a worker offers, and says whether the worker asks for work. A worker has at most one session.
#[derive(Clone, Debug)]
pub struct Session {
    pub worker: String,
    pub platform: String,
    /// The size of the worker as a whole.
    pub total: Resources,
    /// The labels in force, each name once.
    pub labels: Box<[(String, String)]>,
    pub pools: Box<[String]>,
    /// The results of its probes of tiers of isolation. Empty means that the worker is of an earlier version.
    pub probes: Box<[TierProbe]>,
    pub since: Time,
    /// The room that is free, while a `take` waits.
    pub waiting: Option<Resources>,
    /// Whether the worker drains by itself, and will end.
    pub draining: bool,
    /// Whether an operator drains or holds the worker.
    pub stopped: bool,
    /// The shortest term of its leases. A worker of version 0.1 obeys this term, whatever a lease itself says.
    pub least_term: Duration,
    /// When the worker last became ready for more work, and what made it ready.
    pub(super) opened: (Steady, Readiness),
    /// When the worker last gave an offer back.
    pub(super) declined: Option<Steady>,
}

/// What made a worker ready for more work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    Connected,
    Resumed,
    /// Work that the worker ran has ended.
    Freed,
    /// The worker had room before, and asked only now.
    Asked,
}

impl Session {
    /// Makes the session of a worker that has no resources and does not ask for work yet. `since` and `opened` are the time at which it
    /// connects, by the wall clock and by the steady clock.
    pub fn new(worker: String, since: Time, opened: Steady) -> Session {
        Session {
            worker,
            platform: String::new(),
            total: Resources::default(),
            labels: Box::default(),
            pools: Box::default(),
            probes: Box::default(),
            since,
            waiting: None,
            draining: false,
            stopped: false,
            least_term: Duration::ZERO,
            opened: (opened, Readiness::Connected),
            declined: None,
        }
    }

    pub fn ability(&self) -> Ability<'_> {
        let Session { platform, total, labels, pools, probes, .. } = self;
        Ability { platform, total, labels, pools, probes }
    }

    /// Whether the worker gets work when it has room.
    pub fn takes_work(&self) -> bool {
        !self.draining && !self.stopped
    }

    /// Whether the worker could take work with this need when it has room.
    pub(super) fn is_able(&self, need: &Need, pools: &Pools) -> bool {
        self.ability().suits(need, pools)
    }

    /// Whether the worker asks for work, and has room for this need.
    pub(super) fn has_room(&self, need: &Need) -> bool {
        self.takes_work() && self.waiting.is_some_and(|free| free.holds(&need.room))
    }
}

impl OfWorker for Session {
    fn worker(&self) -> &str {
        &self.worker
    }
}
