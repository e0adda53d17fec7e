//! Reporters: tell the outside world what became of lanes, each `[[notify]]` by itself. What is to be told is decided by [`lanes`]
//! from the store's state; an event only says where to look.
//!
//! Something counts as told when it was handed over and that is committed: a master that is killed in between tells it again, with
//! the same id. Nothing here answers to anyone, and what is slow or down holds up nobody but its own reporter.

pub mod ancestry;
mod branch;
mod command;
mod compose;
mod excerpt;
pub mod lanes;
mod mail;
pub mod notice;
mod reporter;
mod standing;

pub use standing::Standing;

use crate::config::{Config, MailConfig, Means, NotifyConfig};
use crate::coordinator::record::Record;
use crate::driver::Driver;
use crate::events::Feed;
use crate::logs::Logs;
use crate::sources::Repositories;
use crate::store::{self, Readers};
use reporter::Reporter;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

/// Until the store is asked again.
const LATER: Duration = Duration::from_secs(10);
const BRANCHES: &str = "refs/heads/";

/// What reporters look at.
pub struct Reach {
    pub driver: Rc<Driver>,
    pub feed: Rc<Feed>,
    pub readers: Readers,
    pub logs: Rc<Logs>,
    pub repositories: Rc<Repositories>,
    pub incarnation: u64,
    /// Where people reach the master; may be empty.
    pub url: String,
    /// Where commands run.
    pub state: PathBuf,
    pub mail: Option<MailConfig>,
}

/// All of a master's.
pub struct Reporters {
    reach: Rc<Reach>,
    entries: Vec<(String, NotifyConfig, Rc<Standing>)>,
}

impl Reporters {
    pub fn new(config: &Config, reach: Reach) -> Reporters {
        let mut names = BTreeSet::new();
        let entries = config.notify.iter();
        let entries = entries.map(|entry| (unused_name(entry, &mut names), entry.clone(), standing_of(entry)));
        Reporters { entries: entries.collect(), reach: Rc::new(reach) }
    }

    /// How each fares, from now on.
    pub fn standings(&self) -> Vec<Rc<Standing>> {
        self.entries.iter().map(|(_, _, standing)| standing.clone()).collect()
    }

    /// Tells for as long as the master runs.
    pub async fn report(self) {
        while let Err(why) = self.forget_others().await {
            tracing::warn!("reporters wait: {why}");
            tokio::time::sleep(LATER).await;
        }
        let reporters = self.entries.into_iter();
        let reporters =
            reporters.map(|(name, entry, standing)| Reporter::new(name, entry, standing, self.reach.clone()));
        futures::future::join_all(reporters.map(Reporter::report)).await;
    }

    /// One that the file has no more begins anew if it comes back: it would tell old news.
    async fn forget_others(&self) -> Result<(), String> {
        let names: Vec<String> = self.entries.iter().map(|(name, _, _)| name.clone()).collect();
        let known =
            self.reach.readers.query(store::reporters::reporter_names).await.map_err(|error| error.to_string())?;
        if known.iter().all(|name| names.contains(name)) {
            return Ok(());
        }
        let forget = self.reach.driver.call_with(|_, _| ((), vec![Record::Reporters(names)]));
        forget.await.map_err(|refusal| refusal.to_string())
    }
}

/// Follows from the entry's content; of two that are equal, also from their order.
fn unused_name(entry: &NotifyConfig, names: &mut BTreeSet<String>) -> String {
    let content = serde_json::to_vec(entry).expect("our own structs are JSON");
    let hash = blake3::hash(&content).to_hex()[..32].to_owned();
    let mut name = hash.clone();
    let mut count = 1;
    while !names.insert(name.clone()) {
        count += 1;
        name = format!("{hash}-{count}");
    }
    name
}

fn standing_of(entry: &NotifyConfig) -> Rc<Standing> {
    let events: Vec<&str> = entry.events.iter().map(|turn| turn.word()).collect();
    Rc::new(Standing::new(events.join(", "), means(&entry.by).to_owned()))
}

/// "mail", or the program.
fn means(by: &Means) -> &str {
    match by {
        Means::Command(argv) => argv.first().map_or("command", String::as_str),
        Means::Mail(_) => "mail",
    }
}

/// Of a branch.
fn short_name(ref_name: &str) -> &str {
    ref_name.strip_prefix(BRANCHES).unwrap_or(ref_name)
}
