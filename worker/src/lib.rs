//! Guild's worker: runs attempts and streams their logs.

pub mod checkout;
pub mod git;
mod isolation;
mod removal;
pub mod supervisor;
pub mod workspace;
