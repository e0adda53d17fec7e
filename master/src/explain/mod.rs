//! Explains the state of the master to people: why a job waits, what would change that, and what is wrong with the installation. This
//! room only reads. The coordinator decides, gives a snapshot, and knows nothing of these explanations.

mod absence;
mod candidate;
pub mod doctor;
mod explanation;
mod hint;
mod kept;
mod lack;
mod lane_break;
mod past;
mod placed;
mod pools;
mod queue;
mod reason;
mod remedy;
mod rest;
mod suspects;
mod trial;
mod why;
mod words;
mod workers;

pub use candidate::{Availability, Candidate};
pub use explanation::Explanation;
pub use lane_break::LaneBreak;
pub use past::explain_past;
pub use placed::{hide_placed, placed_text, waited_text};
pub use pools::{Member, PoolStatus, Presence};
pub use queue::QueueStatus;
pub use remedy::{MissingWorker, Remedy, RemedyStep};
pub use suspects::{Suspect, suspects};
pub use why::Why;
pub use words::{project_of, quoted};
pub use workers::{MachineStatus, WorkerStatus};

use crate::decide::coordinator::Coordinator;
use crate::decide::coordinator::snapshot::CoordinatorSnapshot;
use schema::values::Time;

/// An `Explainer` answers questions about one snapshot of the coordinator. Its answers hold for that moment only, because nothing is
/// reserved.
#[derive(Clone, Copy, Debug)]
pub struct Explainer<'a> {
    it: CoordinatorSnapshot<'a>,
}

impl<'a> Explainer<'a> {
    pub fn new(coordinator: &'a Coordinator, now: Time) -> Explainer<'a> {
        Explainer { it: coordinator.snapshot(now) }
    }
}
