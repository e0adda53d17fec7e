//! Who takes turns: everybody for whom something is read or run.

use crate::decide::coordinator::account_of;
use crate::decide::coordinator::record::{GrantId, GrantRow};

/// Whoever asks. All that asks as one has the turns of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Principal {
    /// Whoever looks at the pages without a login.
    Everyone,
    /// The holder of a grant, with the browsers that it logged in: see [`Principal::of`].
    Grant(GrantId),
    /// The master itself, for a purpose of its own.
    Own(Own),
}

/// What the master asks for on its own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Own {
    /// Plans of builds are read.
    Planner,
    /// Reporters read what they tell.
    Reporters,
    /// What is too old to be kept is looked for.
    Retention,
    /// The places of logs are read.
    Logs,
    /// The list of stored blobs is read.
    Blobs,
    /// Whether the store is sound.
    Soundness,
    /// What lists of tests say.
    Tests,
    /// The program around the master.
    Program,
}

/// The program around the master, as `guild-master up` is one.
pub const PROGRAM: Principal = Principal::Own(Own::Program);

impl Principal {
    /// Who asks where this grant does: see [`account_of`].
    pub fn of(row: &GrantRow) -> Principal {
        Principal::Grant(account_of(row))
    }
}
