//! What was decided is committed, and only then told: the driver and the feed of events.

pub mod driver;
pub mod events;
pub mod meter;
pub mod state_reader;
