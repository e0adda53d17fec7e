//! This room makes every decision. Its code performs nothing and uses no other room, and it gets the time as an argument.
//!
//! Each of these modules may use the modules before it in this list, and none after it: `steady`, `time_limits`, `schedule`,
//! `machine_notes`, `tokens`, `by_worker`, `matching`, `rests`, `placement`, `terms`, `records`, `refs`, `requests`, `alarms`,
//! `authority`, `grants`, `builds`, `crons`, `claims`, `coordinator`, `claim_commands`. The module `test_history` uses none of them.

mod alarms;
pub mod authority;
pub mod builds;
mod by_worker;
mod claim_commands;
mod claims;
pub mod coordinator;
mod crons;
pub mod grants;
mod machine_notes;
pub mod matching;
pub mod placement;
pub mod records;
pub mod refs;
pub mod requests;
mod rests;
pub mod schedule;
pub mod steady;
mod terms;
pub mod test_history;
mod time_limits;
mod tokens;
