//! A finding of the doctor, which examines an installation: one thing that it looked at, and what to do about it.

use serde::{Deserialize, Serialize};

/// The state of something that the doctor looked at. The worst state is the greatest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// There is nothing to do.
    #[default]
    Good,
    /// The examined thing works now, but will soon stop working.
    Warned,
    /// The examined thing does not work now.
    Bad,
}

impl Health {
    /// All three states, the best first.
    pub const ALL: [Health; 3] = [Health::Good, Health::Warned, Health::Bad];

    /// Returns the word for the state in files and on pages.
    pub fn word(self) -> &'static str {
        match self {
            Health::Good => "good",
            Health::Warned => "warned",
            Health::Bad => "bad",
        }
    }
}

/// A finding about one part of an installation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The part that was looked at, such as "repository of pyfoo".
    pub subject: String,
    /// The state of the subject.
    pub verdict: Health,
    /// A sentence that says what was found.
    pub seen: String,
    /// A sentence that says what to do, with a command or a key of a file. It is empty if there is nothing to do.
    pub remedy: String,
}

impl Finding {
    /// Makes a finding about which there is nothing to do.
    pub fn good(subject: impl Into<String>, seen: impl Into<String>) -> Finding {
        Finding { subject: subject.into(), verdict: Health::Good, seen: seen.into(), remedy: String::new() }
    }

    /// Makes a finding about a part that works now, but will soon stop working.
    pub fn warned(subject: impl Into<String>, seen: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { verdict: Health::Warned, remedy: remedy.into(), ..Finding::good(subject, seen) }
    }

    /// Makes a finding about a part that does not work.
    pub fn bad(subject: impl Into<String>, seen: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { verdict: Health::Bad, remedy: remedy.into(), ..Finding::good(subject, seen) }
    }
}
