//! placeholder

pub mod checkout;
pub mod git;
mod removal;
pub mod workspace;
