//! Reporters send notices about branches to the outside world. Each `[[notice]]` has one reporter. [`episodes`] decides from the state
//! in the store what to report. An event only says where to look.
//!
//! News counts as reported once its delivery was committed. A master that is killed before that reports it again, with the same id.
//! Nothing waits for a reporter, so a receiver that is slow or down delays only its own reporter.

mod access;
mod channel;
mod compose;
pub mod episodes;
mod excerpt;
pub mod failed_tests;
mod inherited;
mod lines;
pub mod notice;
mod reminders;
mod reporter;
mod reproduce;
mod telling;
pub mod told;

pub use access::{DeliverySink, Later, ProjectRef, ReportedBuild, ReporterAccess, ReporterReads};
pub use channel::send_test_mail;

use crate::config::{Config, NoticeConfig};
use crate::keep::health::DeliveryHealth;
use reporter::Reporter;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

/// The pause before a reporter asks the store again after a failure.
const LATER: Duration = Duration::from_secs(10);

/// All reporters of a master.
pub struct Reporters {
    access: Rc<ReporterAccess>,
    entries: Vec<(String, NoticeConfig, Rc<DeliveryHealth>)>,
}

impl Reporters {
    pub fn new(config: &Config, access: ReporterAccess) -> Reporters {
        let mut names = BTreeSet::new();
        let entries = config.notices.iter();
        let entries = entries.map(|entry| (unused_name(entry, &mut names), entry.clone(), health_of(entry)));
        Reporters { entries: entries.collect(), access: Rc::new(access) }
    }

    /// Returns the health of each reporter, which goes on changing.
    pub fn healths(&self) -> Vec<Rc<DeliveryHealth>> {
        self.entries.iter().map(|(_, _, health)| health.clone()).collect()
    }

    /// Runs all reporters for as long as the master runs.
    pub async fn report(self) {
        while let Err(why) = self.forget_others().await {
            tracing::warn!("reporters wait: {why}");
            tokio::time::sleep(LATER).await;
        }
        let reporters = self.entries.into_iter();
        let reporters = reporters.map(|(name, entry, health)| Reporter::new(name, entry, health, self.access.clone()));
        futures::future::join_all(reporters.map(Reporter::report)).await;
    }

    /// Forgets the reporters that the file no longer has. If one came back, its old record would make it report old news.
    async fn forget_others(&self) -> Result<(), String> {
        let names: Vec<String> = self.entries.iter().map(|(name, _, _)| name.clone()).collect();
        let known = self.access.reads.reporter_names().await?;
        if known.iter().all(|name| names.contains(name)) {
            return Ok(());
        }
        self.access.deliveries.forget_others(names).await
    }
}

/// Returns the name of a reporter. It follows from the entry's content and, for equal entries, from their order.
fn unused_name(entry: &NoticeConfig, names: &mut BTreeSet<String>) -> String {
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

fn health_of(entry: &NoticeConfig) -> Rc<DeliveryHealth> {
    let events: Vec<&str> = entry.events.iter().map(|turn| turn.word()).collect();
    Rc::new(DeliveryHealth::new(events.join(", "), entry.by.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::channel::WebhookConfig;
    use crate::config::{Means, Recipient};
    use crate::decide::coordinator::record::Transition;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    fn name(by: Means) -> String {
        let all = vec!["*".to_owned()];
        let entry = NoticeConfig {
            events: vec![Transition::NewlyFailing],
            by,
            projects: all.clone(),
            branches: all,
            remind: None,
        };
        unused_name(&entry, &mut BTreeSet::new())
    }

    /// The store remembers what was reported under these names, so a reporter with another name would begin anew.
    #[test]
    fn the_names_of_reporters_stay_the_same() {
        let command = Means::Command(vec!["/usr/local/bin/tell".to_owned(), "-v".to_owned()]);
        let mail = Means::Mail(vec![Recipient::Blame, Recipient::Address("team@example.org".to_owned())]);
        assert_eq!(
            (name(command).as_str(), name(mail).as_str()),
            ("ce6bc6bcb232291125ebc4485f8718af", "0e5fff51c51767f5b09466b3e3192bdc")
        );
    }

    #[test]
    fn where_a_secret_lies_is_no_part_of_a_name() {
        let webhook = |url: &str, file: &[u8]| {
            let secret_file = OsStr::from_bytes(file).into();
            name(Means::Webhook(WebhookConfig { url: url.to_owned(), secret_file, private: false }))
        };
        let by_hand = webhook("https://chat.example.org/1", b"/srv/guild/webhook.secret");
        for other in [b"/run/credentials/guild.service/guild_webhook.secret".as_slice(), b"/srv/\xff/webhook.secret"] {
            assert_eq!(webhook("https://chat.example.org/1", other), by_hand);
        }
        assert_ne!(webhook("https://chat.example.org/2", b"/srv/guild/webhook.secret"), by_hand);
    }
}
