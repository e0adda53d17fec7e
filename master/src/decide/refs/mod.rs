//! Refs of the repositories of projects: the known state of each (`Heads`), how they are followed (`Followed`), and to which update a
//! build belongs (`Origin`).

mod follow;
mod heads;
mod update;

pub(in crate::decide) use follow::Followed;
pub use follow::{Before, HeldProject};
pub(in crate::decide) use heads::Heads;
pub use update::Origin;
