//! What the master keeps on the disk: the store of facts, the mirrors of repositories, logs, blobs and its own identity.

pub mod blobs;
pub mod bytes;
pub mod health;
pub mod installation;
pub mod logs;
pub mod mirror;
pub(crate) mod process_group;
pub mod soundness;
pub mod store;
pub mod turns;
pub mod write_health;
