//! Tickets: the facts about waiting work that placement needs, no matter who owns the work.

use crate::decide::steady::Steady;
use schema::values::{Resources, TierName, Want};
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

/// The owner of work. Placement compares owners and gives them back, and knows nothing else about them.
pub trait OwnerKey: Copy + Ord + Debug {}

impl<T: Copy + Ord + Debug> OwnerKey for T {}

/// Work that waits for a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket<O> {
    pub owner: O,
    pub need: Need,
    pub class: Class,
    /// The priority of the work. Within a class, work with a higher priority is first.
    pub priority: i32,
    /// The time since which the work waits.
    pub queued: Steady,
    /// The length of its lease, if no pool that the ticket and the worker share has its own.
    pub term: Duration,
}

/// The needs that a worker must meet. Tickets with equal needs are decided together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// The platform that the work asks for. Empty means any platform.
    pub on: String,
    pub want: BTreeSet<Want>,
    pub pools: BTreeSet<String>,
    /// The weakest tier of isolation, if the work names one.
    pub isolation: Option<TierName>,
    pub room: Resources,
}

/// The class of work. It decides which work is first, before the priority does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    #[default]
    Normal,
    /// Work for idle workers. A worker gets it only while no normal ticket waits that it could take, now or with more room.
    Idle,
}
