//! States, outcomes and refusals.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a build or a job stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The build's pipeline is being read.
    #[default]
    Planning,
    /// On needs.
    Waiting,
    /// For a worker.
    Queued,
    /// To a worker that has not accepted yet.
    Offered,
    Running,
    Finished,
}

/// How a step, a job or a build ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Skipped,
    Succeeded,
    Warned,
    /// The code.
    Failed,
    /// The infrastructure.
    Errored,
    Cancelled,
}

impl Outcome {
    /// The process exit status that tells this outcome.
    pub fn exit_code(self) -> i32 {
        match self {
            Outcome::Succeeded | Outcome::Warned | Outcome::Skipped => 0,
            Outcome::Failed => 1,
            Outcome::Cancelled => 3,
            Outcome::Errored => 4,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Outcome::Skipped => "skipped",
            Outcome::Succeeded => "succeeded",
            Outcome::Warned => "warned",
            Outcome::Failed => "failed",
            Outcome::Errored => "errored",
            Outcome::Cancelled => "cancelled",
        }
    }
}

impl State {
    pub fn word(self) -> &'static str {
        match self {
            State::Planning => "planning",
            State::Waiting => "waiting",
            State::Queued => "queued",
            State::Offered => "offered",
            State::Running => "running",
            State::Finished => "finished",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// How a step's process ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// It did not run.
    #[default]
    None,
    Code(i32),
    Signal(i32),
    /// Killed, because its timeout passed.
    Timeout,
    /// Killed, because it wrote nothing for as long as `idle` allows.
    Idle,
    /// It could not be started or followed, or was killed for what it took: why.
    Lost(String),
}

impl Exit {
    /// What the reason in [`Exit::Lost`] begins with where the step was followed, and was killed for what it took. It is no case of
    /// its own, because older versions refuse a case that they do not know.
    pub const KILLED: &str = "killed: ";
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::None => write!(f, "did not run"),
            Exit::Code(code) => write!(f, "exit code {code}"),
            Exit::Signal(signal) => write!(f, "killed by signal {signal}"),
            Exit::Timeout => write!(f, "killed: its timeout passed"),
            Exit::Idle => write!(f, "killed: no output for as long as `idle` allows"),
            Exit::Lost(why) if why.starts_with(Exit::KILLED) => f.write_str(why),
            Exit::Lost(why) => write!(f, "lost: {why}"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalCode {
    Internal,
    NotPermitted,
    NotFound,
    Conflict,
    Invalid,
    Revoked,
    Expired,
    Unknown,
    Stale,
    Unavailable,
    Version,
    Offset,
}

/// Why an expected call was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    pub code: RefusalCode,
    /// For a person: what was refused, naming the place. Lowercase, no final stop.
    pub text: String,
    /// The way out, or empty.
    pub help: String,
}

impl Refusal {
    pub fn new(code: RefusalCode, text: impl Into<String>) -> Refusal {
        Refusal { code, text: text.into(), help: String::new() }
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Refusal {
        self.help = help.into();
        self
    }
}
