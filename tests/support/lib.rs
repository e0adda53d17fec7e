//! What the tests share: a master in the process, or the programs themselves; seeds that replay.

pub mod apart;
pub mod guild;
pub mod hall;
pub mod http;
pub mod ledger;
pub mod ordinary;
pub mod programs;
pub mod raw;
pub mod relay;
pub mod seed;
pub mod sink;
pub mod tested;
pub mod worker;
