//! What the tests share: seeds that replay.

pub mod guild;
pub mod ledger;
pub mod seed;
