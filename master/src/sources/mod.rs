//! Change sources: each watches one place and tells what changed.

pub mod git;
