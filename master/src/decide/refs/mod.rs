//! Refs of the repositories of projects: what is known of each (`Heads`), how they are followed (`Followed`), and which update
//! a build belongs to (`Origin`).

mod follow;
mod heads;
mod update;

pub(in crate::decide) use follow::Followed;
pub use follow::{Before, HeldProject};
pub(in crate::decide) use heads::Heads;
pub use update::Origin;
