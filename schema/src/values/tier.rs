//! Tiers of isolation, which say how far a step is kept apart from its machine and from other steps.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A tier of isolation. A weaker tier is less than a stronger one, and a job that needs a tier may also run in any stronger one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// A step has a process group of its own. A process that leaves this group may outlive the step.
    Plain,
    /// A step has a supervisor that adopts all its orphaned processes, so none outlives the step. The supervisor stops neither a
    /// process that changes to another user, nor access to the worker's own files.
    #[default]
    Guard,
}

impl Tier {
    /// The tiers of this version, the weakest first.
    pub const ALL: [Tier; 2] = [Tier::Plain, Tier::Guard];
    /// The tiers of later versions, the weakest first. If somebody asks for one, this version says that a later one has it.
    pub const LATER: [&str; 3] = ["sandbox", "container", "ephemeral"];

    /// Returns the word for the tier in files, on the wire and on pages.
    pub const fn word(self) -> &'static str {
        match self {
            Tier::Plain => "plain",
            Tier::Guard => "guard",
        }
    }

    /// Returns the tier of this version that has this word.
    pub fn read(word: &str) -> Option<Tier> {
        Tier::ALL.into_iter().find(|tier| tier.word() == word)
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A tier as a file, a store or a peer names it. A newer peer may name a tier that this version does not know. Such a name is kept
/// and shown, but it covers no tier and no tier covers it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum TierName {
    /// A tier that this version knows.
    Known(Tier),
    /// A tier that only a newer version knows.
    Unknown(String),
}

impl TierName {
    /// Reads a word from the wire or the store. An empty word names no tier.
    pub fn read(word: String) -> Option<TierName> {
        (!word.is_empty()).then(|| word.into())
    }

    /// Returns the word for the tier in files, on the wire and on pages.
    pub fn word(&self) -> &str {
        match self {
            TierName::Known(tier) => tier.word(),
            TierName::Unknown(word) => word,
        }
    }

    /// Returns the tier if this version knows it.
    pub fn known(&self) -> Option<Tier> {
        match self {
            TierName::Known(tier) => Some(*tier),
            TierName::Unknown(_) => None,
        }
    }

    /// Whether a job that needs the tier `needed` may run in this one. The answer is no if one of them is unknown.
    pub fn covers(&self, needed: &TierName) -> bool {
        match (self, needed) {
            (TierName::Known(tier), TierName::Known(needed)) => tier >= needed,
            (TierName::Unknown(_), _) | (_, TierName::Unknown(_)) => false,
        }
    }
}

impl From<Tier> for TierName {
    fn from(tier: Tier) -> TierName {
        TierName::Known(tier)
    }
}

impl From<String> for TierName {
    fn from(word: String) -> TierName {
        Tier::read(&word).map_or(TierName::Unknown(word), TierName::Known)
    }
}

impl From<TierName> for String {
    fn from(name: TierName) -> String {
        match name {
            TierName::Known(tier) => tier.word().to_owned(),
            TierName::Unknown(word) => word,
        }
    }
}

impl fmt::Display for TierName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The result of a worker's probe of one tier on its machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierProbe {
    /// The tier that the worker tried.
    pub tier: TierName,
    /// The reason why the worker does not offer the tier, in a sentence. `None` means that the tier works and is offered.
    pub lack: Option<String>,
}

impl TierProbe {
    /// Whether the tier works, so that the worker offers it.
    pub fn works(&self) -> bool {
        self.lack.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(word: &str) -> TierName {
        word.to_owned().into()
    }

    #[test]
    fn a_tier_covers_itself_and_the_weaker_ones() {
        assert!(Tier::Plain < Tier::Guard);
        let covers = |tier: &str, needed: &str| named(tier).covers(&named(needed));
        assert!(covers("guard", "guard") && covers("guard", "plain") && covers("plain", "plain"));
        assert!(!covers("plain", "guard"));
    }

    #[test]
    fn an_unknown_tier_is_kept_and_suits_nothing() {
        let sandbox = named("sandbox");
        assert_eq!((sandbox.word(), sandbox.known()), ("sandbox", None));
        for other in ["plain", "guard", "sandbox"] {
            assert!(!sandbox.covers(&named(other)) && !named(other).covers(&sandbox), "{other}");
        }
        let stored = serde_json::to_string(&sandbox).unwrap();
        assert_eq!((stored.as_str(), serde_json::from_str::<TierName>(&stored).unwrap()), ("\"sandbox\"", sandbox));
    }

    #[test]
    fn each_tier_has_one_word_everywhere() {
        for tier in Tier::ALL {
            assert_eq!(Tier::read(tier.word()), Some(tier));
            assert_eq!(serde_json::to_value(tier).unwrap(), serde_json::to_value(TierName::Known(tier)).unwrap());
        }
        assert!(Tier::LATER.iter().all(|word| Tier::read(word).is_none()));
        assert_eq!(TierName::read(String::new()), None);
    }
}
