//! Change sources: each watches one place and tells what changed. None of them decides about builds.

pub mod git;
mod pattern;
#[cfg(test)]
mod tests;
