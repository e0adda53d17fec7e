//! What an examination of an installation found: one thing that was looked at, and what to do about it.

use serde::{Deserialize, Serialize};

/// How something that was looked at is; the worst is the greatest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    #[default]
    Good,
    /// It works, and will not for long.
    Warned,
    Bad,
}

impl Health {
    pub const ALL: [Health; 3] = [Health::Good, Health::Warned, Health::Bad];

    pub fn word(self) -> &'static str {
        match self {
            Health::Good => "good",
            Health::Warned => "warned",
            Health::Bad => "bad",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// "repository of pyfoo"
    pub subject: String,
    pub verdict: Health,
    pub seen: String,
    /// Names a command, or a key of a file; empty where it is good.
    pub remedy: String,
}

impl Finding {
    pub fn good(subject: impl Into<String>, seen: impl Into<String>) -> Finding {
        Finding { subject: subject.into(), verdict: Health::Good, seen: seen.into(), remedy: String::new() }
    }

    pub fn warned(subject: impl Into<String>, seen: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { verdict: Health::Warned, remedy: remedy.into(), ..Finding::good(subject, seen) }
    }

    pub fn bad(subject: impl Into<String>, seen: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { verdict: Health::Bad, remedy: remedy.into(), ..Finding::good(subject, seen) }
    }
}
