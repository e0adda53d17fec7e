//! The objects by which others ask and are told: capabilities for connections, pages for browsers, notices for everybody else.

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
