//! The needs of work, the offers of workers, and the order of the queue. Nothing here knows who is busy, what runs or what time it
//! is, because `placement` knows that.

mod fit;
mod queue;
mod ticket;
mod tier;

pub use fit::{Ability, PoolTerms, Pools};
pub(in crate::decide) use queue::Queue;
pub use queue::Rank;
pub use ticket::{Class, Need, OwnerKey, Ticket};
pub use tier::{TierNeed, USUAL_TIER};

/// Names one live connection of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);
