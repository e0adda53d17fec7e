//! Guild's master: its rooms, one above the other. `wiring` makes the objects of a master and hands out the capabilities; what
//! an object was not given there it cannot reach. `serving` opens a master from its configuration and serves it.
//!
//! A change comes in through `sources`, the `planner` makes a plan of it, the `coordinator` decides, the `driver` commits and tells,
//! and `events` leave for whoever watches.

pub mod api;
pub mod arguments;
pub mod backup;
pub mod clock;
pub mod config;
pub mod config_calls;
pub mod coordinator;
pub mod driver;
pub mod events;
pub mod explain;
pub mod health;
pub mod installation;
pub mod logs;
pub mod mirror;
mod pace;
mod places;
pub mod planner;
mod process_group;
pub mod reload;
pub mod reporters;
pub mod retention;
mod serving;
pub mod sources;
pub mod store;
pub mod systemd_unit;
pub mod turns;
pub mod up;
mod web;
mod wiring;

pub use crate::serving::{Master, listen, open};
pub use crate::wiring::{Base, OpenLogs, RunError, establish};
