//! What is so: everything is decided here, by code that does nothing, knows no other room and is told the time.
//!
//! Each of these folders may use those that stand before it in this list, and none that stands after it:
//! `steady`, `time_limits`, `schedule`, `tokens`, `by_worker`, `matching`, `placement`, `records`, `refs`, `requests`, `alarms`,
//! `authority`, `grants`, `builds`, `coordinator`.

mod alarms;
pub mod authority;
pub mod builds;
mod by_worker;
pub mod coordinator;
pub mod grants;
pub mod matching;
pub mod placement;
pub mod records;
pub mod refs;
pub mod requests;
pub mod schedule;
pub mod steady;
mod time_limits;
mod tokens;
