//! `guild queue` lists the jobs that wait for a worker, in the order in which they would be placed.

use crate::connected::Connected;
use clap::Args;
use client::Error;
use client::views::QueueItem;
use schema::values::Selector;
use serde_json::Value;

const COLUMNS: [&str; 4] = ["selector", "since", "reason", "remedy"];

#[derive(Args)]
pub(crate) struct Queue {
    /// List only jobs of this project [default: all]
    #[arg(long, short, value_name = "PROJECT")]
    project: Option<String>,
}

impl Queue {
    pub(crate) async fn run(self, connected: &Connected) -> Result<u8, Error> {
        let only = match &self.project {
            Some(name) => Some(connected.project(Some(name)).await?.name.clone()),
            None => None,
        };
        let items = connected.guild().await?.queue().await?;
        let shown = items.iter().filter(|item| only.as_ref().is_none_or(|only| *only == item.project));
        let rows: Vec<Value> = shown.map(row).collect();
        connected.printer.say_rows(&rows, &COLUMNS)?;
        Ok(0)
    }
}

fn row(item: &QueueItem) -> Value {
    let mut row = serde_json::to_value(item).unwrap_or_default();
    row["selector"] = Selector::build(&item.project, item.build).job(&item.job).to_string().into();
    row
}
