//! What the tests share: seeds that replay.

pub mod ledger;
pub mod seed;
