//! Who is told, and who may ask: capabilities for connections, pages for browsers, notices for everybody else.

pub mod api;
pub mod config_calls;
pub(crate) mod places;
pub mod reporters;
pub(crate) mod web;
