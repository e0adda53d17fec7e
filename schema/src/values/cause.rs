//! The reasons for which a build exists.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The reason why a build exists, with the person who asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuildCause {
    /// A ref has a new tip.
    Change,
    /// Somebody asked for the build.
    Run {
        /// The name of the holder who asked.
        by: String,
    },
    /// Somebody asked to repeat another build.
    Retry {
        /// The number of the repeated build, which is in the same project.
        number: u32,
        /// The name of the holder who asked.
        by: String,
    },
    /// The clock asked for the build.
    Cron {
        /// The name of the entry of `[trigger.cron]`.
        name: String,
    },
}

impl BuildCause {
    /// Returns the name of the entry of `[trigger.cron]` that made the build. Empty means that none did.
    pub fn cron(&self) -> &str {
        match self {
            BuildCause::Cron { name } => name,
            BuildCause::Change | BuildCause::Run { .. } | BuildCause::Retry { .. } => "",
        }
    }

    /// The words for the kinds, as `cause` in the `when` of a job names them.
    pub const KINDS: [&str; 4] = ["change", "run", BuildCause::RETRY, "cron"];
    /// The word for the kind of a build that repeats another one.
    pub const RETRY: &str = "retry";

    /// Returns the word for the kind, which is one of [`BuildCause::KINDS`].
    pub fn kind(&self) -> &'static str {
        match self {
            BuildCause::Change => BuildCause::KINDS[0],
            BuildCause::Run { .. } => BuildCause::KINDS[1],
            BuildCause::Retry { .. } => BuildCause::KINDS[2],
            BuildCause::Cron { .. } => BuildCause::KINDS[3],
        }
    }
}

impl fmt::Display for BuildCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        match self {
            BuildCause::Change => Ok(()),
            BuildCause::Run { by } => write!(f, " by {by}"),
            BuildCause::Retry { number, by } => write!(f, " of {number} by {by}"),
            BuildCause::Cron { name } => write!(f, " {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_reads_as_words() {
        let by = || "ann".to_owned();
        let cron = BuildCause::Cron { name: "nightly".to_owned() };
        let all = [BuildCause::Change, BuildCause::Run { by: by() }, BuildCause::Retry { number: 7, by: by() }, cron];
        let words = ["change", "run by ann", "retry of 7 by ann", "cron nightly"];
        assert_eq!(all.each_ref().map(BuildCause::to_string), words);
        assert_eq!(all.each_ref().map(BuildCause::kind), BuildCause::KINDS);
    }
}
