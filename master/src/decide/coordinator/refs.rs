//! Refs of the repositories of projects: what is known of each, how they are followed, and which update a build belongs to.

mod follow;
mod heads;
mod update;

pub(super) use follow::held_at_load;
pub use follow::{Before, HeldProject};
pub(super) use heads::Heads;
pub use update::Origin;
