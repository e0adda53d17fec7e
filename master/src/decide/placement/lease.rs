//! The life of a lease: offered, running, lapsed. Who may move it on is said by [`super::Placement`].

use super::overdue::Overdue;
use crate::decide::by_worker::OfWorker;
use crate::decide::matching::{Need, OwnerKey, SessionId};
use crate::decide::steady::Steady;
use std::time::Duration;

/// The state of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// The offer is not accepted yet, and goes back when its time is over.
    Offered,
    Running,
    /// Its term is over, and the work was not placed again yet: it may still resume.
    Lapsed,
}

/// The time-bounded exclusive right of one worker to one piece of work.
#[derive(Debug)]
pub struct Lease<O> {
    pub owner: O,
    pub worker: String,
    pub state: LeaseState,
    /// The session that holds it. `None` means that its worker is away.
    pub session: Option<SessionId>,
    /// When the offer goes back, or the term ends.
    pub until: Steady,
    /// The length of the term.
    pub term: Duration,
    /// Why somebody wants the attempt to end. `None` means that nobody does.
    pub ending: Option<Ending>,
    /// The needs of the work.
    pub(super) need: Need,
    /// When the lease was offered.
    pub(super) offered: Steady,
    pub(super) overdue: Overdue,
}

/// The wish of somebody that the work of a lease ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// When the lease is ended from our side, if the worker did not end it.
    pub by: Steady,
    /// It was asked for again: the steps that always run are to end too. A restart forgets it, and it may be asked for again.
    pub is_urgent: bool,
}

impl<O: OwnerKey> Lease<O> {
    /// The whole time of the work, with its `always` steps.
    pub fn given(&self) -> Duration {
        self.overdue.given()
    }

    /// Whether the time of the work decides when it must end. If somebody wants it ended, the deadline of that decides. If its
    /// worker is away, the term of the lease decides.
    pub(super) fn is_ours_to_end(&self) -> bool {
        self.session.is_some() && self.state == LeaseState::Running && self.ending.is_none()
    }

    /// Whether the session gets room when this lease is over.
    pub(super) fn has_begun(&self) -> bool {
        self.state != LeaseState::Offered
    }
}

impl<O> OfWorker for Lease<O> {
    fn worker(&self) -> &str {
        &self.worker
    }
}
