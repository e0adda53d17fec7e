//! Where facts and bytes lie: the store, the mirrors of repositories, the logs, the master's own identity.

pub mod bytes;
pub mod health;
pub mod installation;
pub mod logs;
pub mod mirror;
pub(crate) mod process_group;
pub mod store;
pub mod turns;
