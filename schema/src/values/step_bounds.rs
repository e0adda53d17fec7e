//! The limits for one step on the machine that runs it.

use super::Bytes;
use crate::limits::grouped;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The limits that a worker sets for each step on its machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepBounds {
    /// The most processes that a step may have at a time. 0 means no limit.
    pub processes: u64,
    /// The most memory that the processes of a step may take together, in bytes. 0 means no limit.
    pub memory: u64,
    /// The most files that each process of a step may have open.
    pub files: u64,
    /// The reason why the worker cannot enforce these limits, in a sentence. `None` means that it tried and can.
    #[serde(default)]
    pub lack: Option<String>,
}

impl fmt::Display for StepBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.processes {
            0 => f.write_str("any number of processes")?,
            processes => write!(f, "{} processes", grouped(usize::try_from(processes).unwrap_or(usize::MAX)))?,
        }
        match self.memory {
            0 => f.write_str(", any memory")?,
            memory => write!(f, ", {}", Bytes(memory))?,
        }
        write!(f, ", {} open files each", grouped(usize::try_from(self.files).unwrap_or(usize::MAX)))?;
        self.lack.iter().try_for_each(|lack| write!(f, "; not held to: {lack}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_told_in_words() {
        let bounds = StepBounds { processes: 4096, memory: 2 << 30, files: 65_536, lack: None };
        assert_eq!(bounds.to_string(), "4,096 processes, 2.0 GiB, 65,536 open files each");
        let none = StepBounds { files: 9, lack: Some("no /proc".to_owned()), ..StepBounds::default() };
        assert_eq!(none.to_string(), "any number of processes, any memory, 9 open files each; not held to: no /proc");
    }
}
