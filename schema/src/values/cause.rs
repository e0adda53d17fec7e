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
    /// Somebody sent the files of a checkout, which belong to no branch and to no lane.
    Try {
        /// The name of the holder who sent them.
        by: String,
        /// The jobs that were asked for, each with or without its cell. An empty list means all jobs.
        #[serde(default)]
        jobs: Vec<String>,
        /// The platform that was asked for; empty means each job's own.
        #[serde(default)]
        platform: String,
        /// The number of the try that it repeats; 0 means none.
        #[serde(default)]
        again: u32,
    },
}

impl BuildCause {
    /// Returns the part of a workspace's name that keeps builds apart: the ref of the build. A try has the name of its sender instead, so
    /// that nobody finds what the files of another person left.
    pub fn place(&self, ref_name: &str) -> String {
        match self {
            BuildCause::Try { by, .. } => format!("try by {by}"),
            BuildCause::Change | BuildCause::Run { .. } | BuildCause::Retry { .. } | BuildCause::Cron { .. } => {
                ref_name.to_owned()
            }
        }
    }

    /// Returns the name of the entry of `[trigger.cron]` that made the build. Empty means that none did.
    pub fn cron(&self) -> &str {
        match self {
            BuildCause::Cron { name } => name,
            BuildCause::Change | BuildCause::Run { .. } | BuildCause::Retry { .. } | BuildCause::Try { .. } => "",
        }
    }

    /// Returns the number of the build that the build repeats; 0 means none.
    pub fn repeats(&self) -> u32 {
        match self {
            BuildCause::Retry { number, .. } | BuildCause::Try { again: number, .. } => *number,
            BuildCause::Change | BuildCause::Run { .. } | BuildCause::Cron { .. } => 0,
        }
    }

    /// Returns the cause of a build that repeats the build `number` of this cause. A repeated try remains a try.
    pub fn again(&self, number: u32, by: &str) -> BuildCause {
        let by = by.to_owned();
        match self {
            BuildCause::Try { jobs, platform, .. } => {
                BuildCause::Try { by, jobs: jobs.clone(), platform: platform.clone(), again: number }
            }
            BuildCause::Change | BuildCause::Run { .. } | BuildCause::Retry { .. } | BuildCause::Cron { .. } => {
                BuildCause::Retry { number, by }
            }
        }
    }

    /// Whether the build is a try, which belongs to no lane and has no effects outside.
    pub fn is_try(&self) -> bool {
        matches!(self, BuildCause::Try { .. })
    }

    /// The words for the kinds, as `cause` in the `when` of a job names them.
    pub const KINDS: [&str; 5] = ["change", "run", BuildCause::RETRY, "cron", "try"];
    /// The word for the kind of a build that repeats another one.
    pub const RETRY: &str = "retry";

    /// Returns the word for the kind, which is one of [`BuildCause::KINDS`].
    pub fn kind(&self) -> &'static str {
        match self {
            BuildCause::Change => BuildCause::KINDS[0],
            BuildCause::Run { .. } => BuildCause::KINDS[1],
            BuildCause::Retry { .. } => BuildCause::KINDS[2],
            BuildCause::Cron { .. } => BuildCause::KINDS[3],
            BuildCause::Try { .. } => BuildCause::KINDS[4],
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
            BuildCause::Try { by, again: 0, .. } => write!(f, " by {by}"),
            BuildCause::Try { by, again, .. } => write!(f, " again of {again} by {by}"),
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
        let tried = BuildCause::Try { by: by(), jobs: Vec::new(), platform: String::new(), again: 0 };
        let run = BuildCause::Run { by: by() };
        let all = [BuildCause::Change, run, BuildCause::Retry { number: 7, by: by() }, cron, tried];
        let words = ["change", "run by ann", "retry of 7 by ann", "cron nightly", "try by ann"];
        assert_eq!(all.each_ref().map(BuildCause::to_string), words);
        assert_eq!(all.each_ref().map(BuildCause::kind), BuildCause::KINDS);
    }

    #[test]
    fn a_repeated_try_remains_a_try() {
        let again = |cause: &BuildCause| cause.again(7, "bob");
        let jobs = vec!["test".to_owned()];
        let tried = BuildCause::Try { by: "ann".to_owned(), jobs, platform: "linux-x86_64".to_owned(), again: 0 };
        let repeated = again(&tried);
        assert_eq!((repeated.to_string(), repeated.repeats()), ("try again of 7 by bob".to_owned(), 7));
        assert_eq!(again(&repeated).kind(), "try");
        assert_eq!(again(&BuildCause::Change).to_string(), "retry of 7 by bob");
    }
}
