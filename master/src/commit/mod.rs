//! Commits what was decided, and only then tells anyone: the driver and the feed of events.

pub mod driver;
pub mod events;
pub mod meter;
pub mod state_reader;
