//! The progress of an attempt, as its worker reports it.

use super::{Exit, Outcome, TestsReported, Time};

/// One piece of progress of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A step of the attempt started.
    Started {
        /// The index of the step, from 0.
        step: u16,
        /// The time of the start. It is the worker's clock until the master corrects it.
        time: Time,
    },
    /// A step of the attempt finished.
    Finished {
        /// The index of the step, from 0.
        step: u16,
        /// The end of the step, with its outcome.
        end: StepEnd,
    },
    /// The attempt as a whole ended.
    Ended {
        /// The outcome of the attempt as a whole.
        outcome: Outcome,
        /// The reason for the outcome; empty means that the outcome says everything.
        reason: String,
    },
}

/// The end of one step of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepEnd {
    /// The outcome of the step.
    pub outcome: Outcome,
    /// The way in which the step's process ended.
    pub exit: Exit,
    /// The time of the end. It is the worker's clock until the master corrects it.
    pub time: Time,
    /// The number of bytes that the step wrote to its log.
    pub log_size: u64,
    /// The BLAKE3 hash of these bytes, which has 32 bytes. Empty means that it is not known.
    pub log_hash: Vec<u8>,
    /// The tests in the step's reports. `None` means that the plan names no reports, or that the worker does not read them.
    pub tests: Option<TestsReported>,
}
