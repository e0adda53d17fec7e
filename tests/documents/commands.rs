//! The programs' arguments.

use clap::Command;

pub fn programs() -> [Command; 3] {
    [client::command(), master::arguments::command(), worker::command()]
}
