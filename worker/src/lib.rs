//! Guild's worker: runs attempts and streams their logs.

mod isolation;
pub mod supervisor;
