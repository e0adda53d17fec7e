//! The objects by which others ask the master and hear from it: capabilities for connections, pages for browsers, and notices for
//! everybody else.

pub mod api;
pub mod config_calls;
pub(crate) mod places;
pub mod reporters;
pub(crate) mod web;

/// What `tests/fuzz` reaches of this room.
#[cfg(feature = "fuzz")]
pub mod fuzz {
    pub use super::web::{log_lines, play_delivery};
}
