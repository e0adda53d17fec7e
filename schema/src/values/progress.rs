//! How an attempt goes, as its worker tells it.

use super::{Exit, Outcome, TestsReported, Time};

/// What happened to an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A step of the attempt started.
    Started {
        /// The index of the step, from 0.
        step: u16,
        /// When it started, by the worker's clock until the master corrects it.
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
        /// Why it ended so; empty means that the outcome says all.
        reason: String,
    },
}

/// The end of one step of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepEnd {
    /// The outcome of the step.
    pub outcome: Outcome,
    /// How the process of the step ended.
    pub exit: Exit,
    /// When it ended, by the worker's clock until the master corrects it.
    pub time: Time,
    /// How many bytes it wrote.
    pub log_size: u64,
    /// The BLAKE3 of these bytes, 32 bytes; empty means not known.
    pub log_hash: Vec<u8>,
    /// `None` means that the plan names no reports, or the worker does not read them.
    pub tests: Option<TestsReported>,
}
