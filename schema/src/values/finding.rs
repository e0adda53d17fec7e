//! What an examination of an installation found: one thing that was looked at, and what to do about it.

use serde::{Deserialize, Serialize};

/// How something that was looked at is; the worst is the greatest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// There is nothing to do.
    #[default]
    Good,
    /// It works now, and will not for long.
    Warned,
    /// It does not work now.
    Bad,
}

impl Health {
    /// The three of them, the best first.
    pub const ALL: [Health; 3] = [Health::Good, Health::Warned, Health::Bad];

    /// The word for it in files and on pages.
    pub fn word(self) -> &'static str {
        match self {
            Health::Good => "good",
            Health::Warned => "warned",
            Health::Bad => "bad",
        }
    }
}

/// Something of an installation that was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at, as "repository of pyfoo".
    pub subject: String,
    /// How well the subject is.
    pub verdict: Health,
    /// What was found, in a sentence.
    pub seen: String,
    /// What to do about it. It names a command, or a key of a file; empty where all is good.
    pub remedy: String,
}

impl Finding {
    /// A finding about which there is nothing to do.
    pub fn good(subject: impl Into<String>, seen: impl Into<String>) -> Finding {
        Finding { subject: subject.into(), verdict: Health::Good, seen: seen.into(), remedy: String::new() }
    }

    /// A finding about what works now, and will not for long.
    pub fn warned(subject: impl Into<String>, seen: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { verdict: Health::Warned, remedy: remedy.into(), ..Finding::good(subject, seen) }
    }

    /// A finding about what does not work.
    pub fn bad(subject: impl Into<String>, seen: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { verdict: Health::Bad, remedy: remedy.into(), ..Finding::good(subject, seen) }
    }
}
