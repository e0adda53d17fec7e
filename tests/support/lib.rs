//! The helpers that tests share: a master in the process of a test, the programs themselves, and random tests that can be replayed.

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
