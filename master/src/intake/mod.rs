//! How a change becomes a plan: where changes are noticed, and how the pipeline of one is read.

pub mod planner;
pub mod sources;
