//! Everything is decided in this room, by code that performs nothing and knows no other room. The time is an argument.
//!
//! Each of these folders may use those that stand before it in this list, and none that stands after it:
//! `steady`, `time_limits`, `schedule`, `machine_notes`, `tokens`, `by_worker`, `matching`, `rests`, `placement`, `terms`,
//! `records`, `refs`, `requests`, `alarms`, `authority`, `grants`, `builds`, `crons`, `coordinator`. The folder `test_history`
//! uses none of them.

mod alarms;
pub mod authority;
pub mod builds;
mod by_worker;
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
