//! Guild's master, in eight rooms. Each uses those below it and nothing above it:
//!
//! | room | |
//! | --- | --- |
//! | [`program`] | the commands that a person starts; it wires the rooms and hands out the capabilities |
//! | [`serve`] | the objects through which others use the master: capability objects, pages, reporters |
//! | [`explain`] | the reasons why a job waits, what to do about it, and the doctor |
//! | [`intake`] | the way from a change to a plan |
//! | [`commit`] | the transactions of the store; answers go out only after the commit |
//! | [`keep`] | the facts and the bytes on disk |
//! | [`config`] | the master file, and the clock |
//! | [`decide`] | all decisions: pure, with the time as an argument |
//!
//! `docs/architecture.md` draws them and follows a change through them.

pub mod commit;
pub mod config;
pub mod decide;
pub mod explain;
pub mod intake;
pub mod keep;
pub mod program;
pub mod serve;

pub use crate::program::serving::{Master, listen, open};
pub use crate::program::wiring::{Base, MasterParts, OpenLogs, RunError, establish};
