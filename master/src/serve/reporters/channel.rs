//! How a notice is told: each channel has a file of its own.

pub(super) mod command;
pub(super) mod mail;
mod smtp;
