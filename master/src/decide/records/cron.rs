//! The entries of `[trigger.cron]`, as the store keeps them.

use schema::values::Time;
use serde::{Deserialize, Serialize};

/// Names an entry of `[trigger.cron]` of one branch.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CronKey {
    pub project: String,
    /// The full name of the branch.
    pub ref_name: String,
    /// The name of the entry, as the pipeline has it.
    pub name: String,
}

/// An entry of `[trigger.cron]`, as the pipeline at the tip of its branch has it, and when it fires next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CronRow {
    pub key: CronKey,
    /// The next firing by the wall clock. `None` means that the entry does not fire again.
    pub next: Option<Time>,
    pub cron: Cron,
}

/// The keys of an entry, and the results of its firings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cron {
    /// The expression that says when the entry fires.
    pub at: String,
    /// The time zone of the expression.
    pub tz: String,
    #[serde(default)]
    pub if_changed: bool,
    /// Whether the entry names no branch, so that it belongs to the default branch. Versions before 0.3 did not store this, so their
    /// entries stay with their branches until the next push.
    #[serde(default)]
    pub is_of_default: bool,
    /// The time of the newest firing. `None` means that it has not fired.
    #[serde(default)]
    pub fired: Option<Time>,
    /// The number of the last build that the entry made. 0 means that it made none.
    #[serde(default)]
    pub build: u32,
    /// The revision of the last build that the entry made.
    #[serde(default)]
    pub built: String,
    /// Why the newest firing made no build. Empty means that it made one, or that there was no firing.
    #[serde(default)]
    pub skipped: String,
    /// The tip of the branch when the entry was read.
    #[serde(default)]
    pub tip: CronTip,
}

/// A commit, as the list of builds shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CronTip {
    pub revision: String,
    pub subject: String,
    pub author: String,
}
