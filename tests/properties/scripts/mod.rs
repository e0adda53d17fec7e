//! What the coordinator decides, as scripts: each test is a text of what happens and what the master does about it.

mod append;
mod cancel;
mod cron;
mod idle;
mod leases;
mod needs;
mod placement;
mod player;

use player::play;
