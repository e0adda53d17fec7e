//! Tiers of isolation: how far a step is kept apart from the machine that runs it, and from other steps.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A tier of isolation. The weaker tier is the lesser one, and a job that needs a tier also runs in each that is greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// A step has a process group of its own. A process that leaves this group gets away.
    Plain,
    /// A step has a supervisor to which all of its processes come back, so none outlives it. It stops neither a process that
    /// changes to another user nor reading or writing the worker's own files.
    #[default]
    Guard,
}

impl Tier {
    /// The tiers of this version, the weakest first.
    pub const ALL: [Tier; 2] = [Tier::Plain, Tier::Guard];
    /// The tiers that a later version has, the weakest first. This version says so where somebody asks for one.
    pub const LATER: [&str; 3] = ["sandbox", "container", "ephemeral"];

    /// The word for the tier in files, on the wire and on pages.
    pub const fn word(self) -> &'static str {
        match self {
            Tier::Plain => "plain",
            Tier::Guard => "guard",
        }
    }

    /// The tier of this version that has this word.
    pub fn read(word: &str) -> Option<Tier> {
        Tier::ALL.into_iter().find(|tier| tier.word() == word)
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A tier as a file, a store or a peer names it. A newer peer may name one that this version does not know: it is kept and
/// shown, but it suits nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum TierName {
    /// A tier that this version knows.
    Known(Tier),
    /// A tier that only a newer version knows.
    Unknown(String),
}

impl TierName {
    /// Reads a word of the wire or of the store, where an empty one names no tier.
    pub fn read(word: String) -> Option<TierName> {
        (!word.is_empty()).then(|| word.into())
    }

    /// The word for the tier in files, on the wire and on pages.
    pub fn word(&self) -> &str {
        match self {
            TierName::Known(tier) => tier.word(),
            TierName::Unknown(word) => word,
        }
    }

    /// The tier, where this version knows it.
    pub fn known(&self) -> Option<Tier> {
        match self {
            TierName::Known(tier) => Some(*tier),
            TierName::Unknown(_) => None,
        }
    }

    /// Whether a job that needs the other tier may run in this one. An unknown tier has no place in the order.
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

/// The result of a worker's try of one tier on its machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierProbe {
    /// The tier that was tried.
    pub tier: TierName,
    /// Why the worker does not offer the tier, in a sentence. `None` means that the tier works, and the worker offers it.
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
