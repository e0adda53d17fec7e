//! The states of a lease: offered, running, lapsed. [`super::Placement`] moves a lease from one to the next.

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
    /// The term is over, but the work was not placed again yet, so the lease may still resume.
    Lapsed,
}

/// The time-bounded exclusive right of one worker to one piece of work.
#[derive(Debug)]
pub struct Lease<O> {
    pub owner: O,
    pub worker: String,
    pub state: LeaseState,
    /// The session that holds the lease. `None` means that its worker is away.
    pub session: Option<SessionId>,
    /// When the offer goes back, or the term ends.
    pub until: Steady,
    /// The length of the term.
    pub term: Duration,
    /// The request to end the work, if somebody made one.
    pub ending: Option<Ending>,
    /// The needs of the work.
    pub(super) need: Need,
    /// When the lease was offered.
    pub(super) offered: Steady,
    pub(super) overdue: Overdue,
}

/// A request to end the work of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// When the master ends the lease, if the worker has not ended the work.
    pub by: Steady,
    /// Whether somebody asked for the end again, so that the `always` steps must end too. A restart forgets this.
    pub is_urgent: bool,
}

impl<O: OwnerKey> Lease<O> {
    /// The whole time that the work has, including its `always` steps.
    pub fn given(&self) -> Duration {
        self.overdue.given()
    }

    /// Whether the time limit of the work decides when it must end. If somebody asked to end it, the deadline of that request decides
    /// instead. If its worker is away, the term of the lease decides.
    pub(super) fn is_ours_to_end(&self) -> bool {
        self.session.is_some() && self.state == LeaseState::Running && self.ending.is_none()
    }

    /// Whether the work has begun, so that its end makes room in the session.
    pub(super) fn has_begun(&self) -> bool {
        self.state != LeaseState::Offered
    }
}

impl<O> OfWorker for Lease<O> {
    fn worker(&self) -> &str {
        &self.worker
    }
}
