//! From a change to a plan: the change sources, which notice changes, and the planner, which reads the pipeline of a build.

pub mod planner;
pub mod sources;
