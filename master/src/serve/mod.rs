//! The objects through which others use the master: capabilities for connections, pages for browsers, and notices for everybody else.

pub mod api;
mod blame;
pub mod config_calls;
pub(crate) mod places;
pub mod reporters;
pub(crate) mod web;

/// The functions of this room that `tests/fuzz` calls.
#[cfg(feature = "fuzz")]
pub mod fuzz {
    pub use super::web::{log_lines, play_delivery};
}
