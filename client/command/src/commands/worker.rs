//! `guild worker` shows the workers, and lets an operator control them.

use crate::connected::Connected;
use clap::{Args, Subcommand};
use client::Error;
use client::views::{WorkerView, timestamp};
use schema::values::{Time, TimeSpan};
use serde_json::Value;

const COLUMNS: [&str; 6] = ["name", "status", "platform", "pools", "running", "last_heard"];
/// The columns on a terminal. The last says how long the worker has been connected, or when the master last heard from it, because a
/// bare time would not tell which.
const TERMINAL_COLUMNS: [&str; 6] = ["name", "status", "platform", "pools", "running", "connection"];

#[derive(Subcommand)]
pub(crate) enum Worker {
    /// List all workers
    List,
    /// Show one worker in full
    Show(Named),
    /// Give a worker no more jobs; the jobs that it runs go on
    Drain(Named),
    /// Give a worker jobs again, after a drain or a hold
    Resume(Named),
    /// Give a worker no more jobs, and show a reason
    Hold(Hold),
    /// Remove a worker that no longer exists, and revoke its grant
    Forget(Forget),
}

#[derive(Args)]
pub(crate) struct Named {
    name: String,
}

#[derive(Args)]
pub(crate) struct Forget {
    name: String,
    /// Place its jobs again at once, before their leases end, because its machine is off
    #[arg(long)]
    gone: bool,
}

#[derive(Args)]
pub(crate) struct Hold {
    name: String,
    /// The reason, which is shown with the worker
    #[arg(long, short, value_name = "WHY")]
    message: String,
}

impl Worker {
    pub(crate) async fn run(self, connected: &Connected) -> Result<u8, Error> {
        let guild = connected.guild().await?;
        match self {
            Worker::List => {
                let printer = &connected.printer;
                let row = |worker: &WorkerView| {
                    let mut row = row(worker);
                    if printer.look.terminal && !printer.wants_json() {
                        row["connection"] = connection(worker, printer.look.now).into();
                    }
                    row
                };
                let rows: Vec<Value> = guild.workers().await?.iter().map(row).collect();
                printer.say_rows(&rows, if printer.look.terminal { &TERMINAL_COLUMNS } else { &COLUMNS })?;
            }
            Worker::Show(named) => show(connected, &named.name).await?,
            Worker::Drain(named) => {
                guild.drain(&named.name, true).await?;
                connected.printer.say(format!("{} gets no more jobs", named.name))?;
            }
            Worker::Resume(named) => {
                guild.drain(&named.name, false).await?;
                guild.hold(&named.name, "").await?;
                connected.printer.say(format!("{} gets jobs again", named.name))?;
            }
            Worker::Hold(hold) => {
                if hold.message.trim().is_empty() {
                    return Err(Error::usage("a hold needs a reason").help("give it with -m WHY"));
                }
                guild.hold(&hold.name, &hold.message).await?;
                connected.printer.say(format!("{} is held: {}", hold.name, hold.message))?;
            }
            Worker::Forget(forget) => {
                guild.forget(&forget.name, forget.gone).await?;
                connected.printer.say(format!("{} was removed, and its grant revoked", forget.name))?;
            }
        }
        Ok(0)
    }
}

async fn show(connected: &Connected, name: &str) -> Result<(), Error> {
    let workers = connected.guild().await?.workers().await?;
    let Some(worker) = workers.iter().find(|worker| worker.name == name) else {
        let names: Vec<&str> = workers.iter().map(|worker| worker.name.as_str()).collect();
        return Err(Error::not_found(format!("there is no worker `{name}`"))
            .help(format!("choose one of: {}", names.join(", "))));
    };
    if connected.printer.wants_json() {
        return connected.printer.say_json(&row(worker));
    }
    let about = &worker.description;
    let (granted, claimed) = labels(worker);
    let cores = f64::from(about.total.cpus_milli) / 1_000.0;
    let lines = [
        ("name", worker.name.clone()),
        ("status", status(worker)),
        ("platform", about.platform.clone()),
        ("pools", worker.pools.join(", ")),
        ("labels", granted),
        ("claims", claimed),
        ("room", format!("{} slots, {cores} cpus, {} MiB", about.total.slots, about.total.memory >> 20)),
        ("isolation", worker.tiers()),
        ("a step", about.bounds.as_ref().map_or_else(String::new, ToString::to_string)),
        ("host", about.host.clone()),
        ("version", about.version.clone()),
        ("running", worker.running.join(", ")),
        ("waits", worker.waits.clone()),
        (if worker.connected { "connected" } else { "heard" }, worker.last_heard.map_or_else(String::new, timestamp)),
        ("grant", worker.grant.to_string()),
    ];
    for (name, value) in lines {
        connected.printer.say_field(name, &value)?;
    }
    Ok(())
}

/// Returns the labels in force, and the labels that the worker only claims. The platform is left out, because it has a line of its own.
/// An older master does not tell the labels in force.
fn labels(worker: &WorkerView) -> (String, String) {
    let granted = worker.labels.iter().filter(|(name, _)| name != "platform");
    let claimed = worker.description.labels.iter().filter(|label| !worker.labels.contains(label));
    (listed(granted), listed(claimed))
}

fn listed<'a>(labels: impl Iterator<Item = &'a (String, String)>) -> String {
    labels.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
}

fn row(worker: &WorkerView) -> Value {
    let mut row = serde_json::to_value(worker).unwrap_or_default();
    row["status"] = status(worker).into();
    row["platform"] = worker.description.platform.clone().into();
    row
}

/// Returns a text such as "connected for 5m" or "last heard 2h ago".
fn connection(worker: &WorkerView, now: Time) -> String {
    match (worker.connected, worker.last_heard) {
        (_, None) => String::new(),
        (true, Some(since)) => format!("connected for {}", TimeSpan(now.since(since)).rough()),
        (false, Some(heard)) => format!("last heard {}", heard.seen_from(now)),
    }
}

fn status(worker: &WorkerView) -> String {
    if !worker.revoked.is_empty() {
        return format!("revoked: {}", worker.revoked);
    }
    let word = match (worker.connected, worker.held.is_empty(), worker.draining) {
        (false, _, _) => "lost",
        (true, false, _) => "held",
        (true, true, true) => "draining",
        (true, true, false) if worker.running.is_empty() => "idle",
        (true, true, false) => "running",
    };
    if worker.held.is_empty() { word.to_owned() } else { format!("{word}: {}", worker.held) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    /// T5.1: labels in force are shown apart from those that the worker only claims.
    #[test]
    fn labels_in_force_stand_before_those_that_are_claimed() {
        let mut worker = WorkerView::default();
        worker.description.labels = vec![pair("gpu", "yes"), pair("disk", "fast")];
        assert_eq!(labels(&worker), (String::new(), "gpu=yes, disk=fast".to_owned()));
        worker.labels = vec![pair("platform", "linux-x86_64"), pair("disk", "fast")];
        assert_eq!(labels(&worker), ("disk=fast".to_owned(), "gpu=yes".to_owned()));
    }

    /// T2.5, T8.2: a busy worker does not look lost, and a revoked one is shown as revoked.
    #[test]
    fn a_worker_is_connected_for_a_time_or_was_last_heard() {
        let (now, heard) = (Time(1_000_000), Some(Time(700_000)));
        let worker = WorkerView { connected: true, last_heard: heard, ..WorkerView::default() };
        assert_eq!(connection(&worker, now), "connected for 5m");
        assert_eq!(status(&worker), "idle");
        let worker = WorkerView { connected: false, revoked: "machine sold".to_owned(), ..worker };
        assert_eq!(connection(&worker, now), "last heard 5m ago");
        assert_eq!(status(&worker), "revoked: machine sold");
    }
}
