//! Identifies the callers that take turns when they read from the store or run work.

use crate::decide::coordinator::account_of;
use crate::decide::coordinator::record::{GrantId, GrantRow};

/// A caller that takes turns. All callers with the same principal share one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Principal {
    /// Everyone who looks at the web pages without a login.
    Everyone,
    /// The holder of a grant, with the browsers that the holder logged in: see [`Principal::of`].
    Grant(GrantId),
    /// The master itself, for a purpose of its own.
    Own(Own),
}

/// The purposes for which the master itself reads from the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Own {
    /// Reading the plans of builds.
    Planner,
    /// Reading the events and builds that reporters announce.
    Reporters,
    /// Searching for builds, logs and other data that are too old to be kept.
    Retention,
    /// Searching the store for the seals of logs.
    Logs,
    /// Reading the list of stored blobs.
    Blobs,
    /// Checking whether the store is sound.
    Soundness,
    /// Reading the lists of tests that jobs stored.
    Tests,
    /// Requests of the program that runs the master in its own process.
    Program,
}

/// The principal of the program around the master, such as `guild-master up`.
pub const PROGRAM: Principal = Principal::Own(Own::Program);

impl Principal {
    /// Returns the principal of a caller that holds this grant: see [`account_of`].
    pub fn of(row: &GrantRow) -> Principal {
        Principal::Grant(account_of(row))
    }
}
