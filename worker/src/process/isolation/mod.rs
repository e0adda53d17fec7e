//! What keeps a step apart: how its process starts, and how all of its processes end. Tier 1, `guard`, and tier 0,
//! `plain`.

pub(crate) mod descent;
pub(crate) mod spawn;

use serde::{Deserialize, Serialize};

/// How far a step is kept apart. What a tier does not stop: `plain`, whatever leaves its process group; `guard`, what
/// changes to another user, and reading or writing the worker's own files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// A process group of its own.
    Plain,
    /// Its supervisor is a subreaper: nothing of a step gets away from it.
    #[default]
    Guard,
}

impl Tier {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Tier::Plain => "plain",
            Tier::Guard => "guard",
        }
    }
}
