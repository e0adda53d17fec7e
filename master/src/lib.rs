//! Guild's master, in eight rooms. Each uses those below it and nothing above it:
//!
//! | room | |
//! | --- | --- |
//! | [`program`] | what a person starts; it wires the rooms and hands out the capabilities |
//! | [`serve`] | who is told: capability objects, pages, reporters |
//! | [`explain`] | why a job waits, what to do about it, the doctor |
//! | [`intake`] | how a change becomes a plan |
//! | [`commit`] | one transaction, and only then anyone is told |
//! | [`keep`] | where facts and bytes lie |
//! | [`config`] | the master file, the clock |
//! | [`decide`] | what is so: pure, and told the time |
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
