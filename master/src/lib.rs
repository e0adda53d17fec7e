//! placeholder
pub mod coordinator;
