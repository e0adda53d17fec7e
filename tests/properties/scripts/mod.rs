//! Scripts of the coordinator's decisions. Each test is a text with what happens and what the master then does.

mod append;
mod cancel;
mod cron;
mod idle;
mod leases;
mod needs;
mod placement;
mod player;

use player::play;
