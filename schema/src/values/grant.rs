//! The authority that a grant gives, and the kinds of holders.

use super::{Scope, Time};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The kind of holder that a grant is for. The holder gets the authority of this kind, limited by the grant's rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrantKind {
    /// Somebody who runs the guild: workers, grants, projects.
    Operator,
    /// A person who looks at builds and asks for them.
    User,
    /// A worker, which takes jobs.
    Worker,
    /// A commit hook or a bridge, which reports changes.
    Changes,
    /// A program that follows events.
    Events,
    /// A kind that only a newer version knows. Such a grant is listed and can be revoked, and nobody can use it.
    #[serde(other)]
    Unknown,
}

/// A right: one kind of action that a grant may allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Right {
    /// The right to look at builds, logs and workers.
    View,
    /// The right to ask for a build.
    Run,
    /// The right to repeat a build, or some of its jobs.
    Retry,
    /// The right to cancel a build, or one of its jobs.
    Cancel,
    /// The right to build the files of a checkout that nobody pushed.
    Try,
    /// The right to report that a repository has changed.
    Changes,
    /// The right to follow events, without looking at builds.
    Events,
    /// The right to run the guild: workers, grants, projects.
    Operate,
}

/// Whether the holder should be warned that a grant ends soon. That is so in its last week, if less than half of its time is left and
/// it was made for more than a day.
pub fn ends_soon(created: Time, expires: Time, now: Time) -> bool {
    const DAY: Duration = Duration::from_secs(86_400);
    let (left, whole) = (expires.since(now), expires.since(created));
    left < 7 * DAY && left < whole / 2 && whole > DAY
}

/// The authority that a grant gives. A child never has more than its parent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct What {
    /// The rights that this version knows. The store keeps the others, which allow nothing here.
    #[serde(deserialize_with = "known_rights")]
    pub may: BTreeSet<Right>,
    /// The projects for which the rights hold.
    pub projects: Scope,
    /// The pools that a worker serves. For an operator, the pools of the workers that it may steer.
    #[serde(default)]
    pub pools: Scope,
    /// The labels of a worker, which are trusted. For an operator, the only labels that a worker which it steers may have.
    #[serde(default)]
    pub labels: Vec<(String, String)>,
}

fn known_rights<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeSet<Right>, D::Error> {
    let words = Vec::<String>::deserialize(from)?;
    Ok(words.iter().filter_map(|word| word.parse().ok()).collect())
}

impl What {
    /// Returns the authority of every right on every project and every pool.
    pub fn everything() -> What {
        What { may: Right::ALL.into_iter().collect(), projects: Scope::all(), pools: Scope::all(), labels: Vec::new() }
    }

    /// Whether the grant names this project or all projects.
    pub fn sees(&self, project: &str) -> bool {
        self.projects.covers(project)
    }
}

impl Right {
    /// The rights of this version.
    pub const ALL: [Right; 8] = [
        Right::View,
        Right::Run,
        Right::Retry,
        Right::Cancel,
        Right::Try,
        Right::Changes,
        Right::Events,
        Right::Operate,
    ];

    /// The words for the rights of this version, in the same order.
    pub const WORDS: [&str; Right::ALL.len()] = {
        let mut words = [""; Right::ALL.len()];
        let mut at = 0;
        while at < words.len() {
            words[at] = Right::ALL[at].word();
            at += 1;
        }
        words
    };

    /// Whether version 0.2.0 knows this right.
    pub const fn is_old(self) -> bool {
        !matches!(self, Right::Try)
    }

    /// Returns the word for the right in files and on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Right::View => "view",
            Right::Run => "run",
            Right::Retry => "retry",
            Right::Cancel => "cancel",
            Right::Try => "try",
            Right::Changes => "changes",
            Right::Events => "events",
            Right::Operate => "operate",
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Right {
    type Err = String;

    fn from_str(word: &str) -> Result<Right, String> {
        Right::ALL
            .into_iter()
            .find(|right| right.word() == word)
            .ok_or_else(|| format!("`{word}` is not a right: choose from {}", Right::ALL.map(Right::word).join(", ")))
    }
}

impl GrantKind {
    /// The kinds that can be issued.
    pub const ALL: [GrantKind; 5] =
        [GrantKind::Operator, GrantKind::User, GrantKind::Worker, GrantKind::Changes, GrantKind::Events];

    /// Returns the word for the kind in files and on the wire.
    pub fn word(self) -> &'static str {
        match self {
            GrantKind::Operator => "operator",
            GrantKind::User => "user",
            GrantKind::Worker => "worker",
            GrantKind::Changes => "changes",
            GrantKind::Events => "events",
            GrantKind::Unknown => "unknown",
        }
    }
}

impl fmt::Display for GrantKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for GrantKind {
    type Err = String;

    fn from_str(word: &str) -> Result<GrantKind, String> {
        GrantKind::ALL.into_iter().find(|kind| kind.word() == word).ok_or_else(|| {
            format!("`{word}` is not a kind of grant: choose from {}", GrantKind::ALL.map(GrantKind::word).join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_a_newer_version_knows_allows_nothing() {
        let stored = r#"{"may":["view","approve"],"projects":["p"],"someday":[1]}"#;
        let what: What = serde_json::from_str(stored).unwrap();
        assert_eq!(what, What { may: [Right::View].into(), projects: ["p"].into(), ..What::default() });
        assert_eq!(serde_json::from_str::<GrantKind>("\"auditor\"").unwrap(), GrantKind::Unknown);
        assert!("unknown".parse::<GrantKind>().is_err(), "nobody can ask for it");
    }
}
