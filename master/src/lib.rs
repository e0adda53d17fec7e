//! placeholder

pub mod mirror;
pub mod sources;
