//! What is so: everything is decided here, by code that does nothing, knows no other room and is told the time.

pub mod coordinator;
pub mod placement;
pub mod schedule;
