//! `guild config` compares the master file with the configuration that the master runs with.

use crate::connected::Connected;
use clap::Subcommand;
use client::Error;
use schema::values::Difference;
use serde_json::Value;

const COLUMNS: [&str; 4] = ["key", "before", "after", "takenUp"];

#[derive(Subcommand)]
pub(crate) enum Config {
    /// Show where the master file differs from the configuration that the master runs with; change nothing
    Diff,
    /// Have the master read its file again; if the file has errors, the master changes nothing
    Reload,
}

impl Config {
    pub(crate) async fn run(self, connected: &Connected) -> Result<u8, Error> {
        let guild = connected.guild().await?;
        let (found, later, now) = match self {
            Config::Diff => (guild.differences().await?, "at the next start", "by `guild config reload`"),
            Config::Reload => (guild.reload().await?, "at the next start", "now"),
        };
        let rows = found.iter().map(|difference| row(difference, if difference.needs_restart { later } else { now }));
        connected.printer.say_rows(&rows.collect::<Vec<_>>(), &COLUMNS)?;
        if found.is_empty() {
            connected.printer.note("the master already runs with the configuration in its file");
        }
        Ok(0)
    }
}

fn row(difference: &Difference, taken_up: &str) -> Value {
    let mut row = serde_json::to_value(difference).unwrap_or_default();
    row["takenUp"] = taken_up.into();
    row
}
