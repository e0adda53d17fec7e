//! How an attempt goes, as its worker tells it.

use super::{Exit, Outcome, Time};

/// What happened to an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    Started { step: u16, time: Time },
    Finished { step: u16, end: StepEnd },
    Ended { outcome: Outcome, reason: String },
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepEnd {
    pub outcome: Outcome,
    pub exit: Exit,
    pub time: Time,
    pub log_size: u64,
    pub log_hash: Vec<u8>,
}
