//! States, outcomes and refusals, with the words for them.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The state of a build, a job or a step, in the order in which it advances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The build's pipeline is being read.
    #[default]
    Planning,
    /// The job waits for jobs that it needs.
    Waiting,
    /// The job waits for a worker.
    Queued,
    /// The job was offered to a worker that has not accepted it yet.
    Offered,
    /// At least a part of the build, job or step has begun.
    Running,
    /// The build, job or step has an outcome, which no longer changes.
    Finished,
}

/// The outcome with which a step, a job or a build ended. The worst outcome of several is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The step or job did not run, because its condition was not met or something before it failed.
    Skipped,
    /// Everything went well, without a warning.
    Succeeded,
    /// Something failed that is allowed to fail.
    Warned,
    /// The code is at fault: a command failed, or the pipeline is wrong.
    Failed,
    /// The infrastructure is at fault, for example because a worker was lost.
    Errored,
    /// A person or the master cancelled the step, job or build.
    Cancelled,
}

impl Outcome {
    /// Returns the exit status with which a command reports this outcome.
    pub fn exit_code(self) -> i32 {
        match self {
            Outcome::Succeeded | Outcome::Warned | Outcome::Skipped => 0,
            Outcome::Failed => 1,
            Outcome::Cancelled => 3,
            Outcome::Errored => 4,
        }
    }

    /// Returns the word for the outcome in files, on the wire and on pages.
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
    /// Returns the word for the state in files, on the wire and on pages.
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

/// The way in which a step's process ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// The step did not run.
    #[default]
    None,
    /// The process exited with this code, from 0 to 255.
    Code(i32),
    /// The signal with this number, from 1 to 64, ended the process.
    Signal(i32),
    /// The worker killed the process, because its timeout passed.
    Timeout,
    /// The worker killed the process, because it wrote nothing for as long as `idle` allows.
    Idle,
    /// The process could not be started or followed, or the worker killed it for exceeding a limit. The text says why.
    Lost(String),
}

impl Exit {
    /// The beginning of the text of [`Exit::Lost`] if the worker killed the process for exceeding a limit. This has no variant of its
    /// own, because older versions refuse a variant that they do not know.
    pub const KILLED: &str = "killed: ";

    /// Returns the reason for a step's outcome in words. A step whose command exits with 0 fails if a report of its tests is missing.
    /// Then the reason is `trouble`, which says what is wrong with the reports, unless it is empty.
    pub fn reason(&self, outcome: Option<Outcome>, trouble: &str) -> String {
        let lacks_report = *self == Exit::Code(0) && matches!(outcome, Some(Outcome::Failed | Outcome::Warned));
        if lacks_report && !trouble.is_empty() { trouble.to_owned() } else { self.to_string() }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_lacks_a_report_says_which() {
        let lacks = "py.xml was not written";
        let reason = |exit: &Exit, outcome| exit.reason(Some(outcome), lacks);
        assert_eq!(reason(&Exit::Code(0), Outcome::Failed), lacks);
        assert_eq!(reason(&Exit::Code(0), Outcome::Warned), lacks);
        assert_eq!(reason(&Exit::Code(0), Outcome::Succeeded), "exit code 0", "it was cut, and costs nothing");
        assert_eq!(reason(&Exit::Code(3), Outcome::Failed), "exit code 3", "it had failed before");
        assert_eq!(Exit::Timeout.reason(Some(Outcome::Failed), lacks), Exit::Timeout.to_string());
        assert_eq!(Exit::Code(0).reason(Some(Outcome::Failed), ""), "exit code 0", "nobody knows why");
    }
}

/// The kinds of refusals, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalCode {
    /// The master has a bug; its log has the details.
    Internal,
    /// The grant does not allow the call.
    NotPermitted,
    /// The named object does not exist, or the grant may not see it.
    NotFound,
    /// The request id was used for another request, or the state of the object forbids the call.
    Conflict,
    /// The arguments make no sense.
    Invalid,
    /// The credential was taken back for good.
    Revoked,
    /// The credential's time is over for good.
    Expired,
    /// This master does not know the credential.
    Unknown,
    /// The lease is over, because its job was placed again or ended.
    Stale,
    /// The call cannot be done at the moment, for example because the disk is full.
    Unavailable,
    /// The two sides have no protocol version in common.
    Version,
    /// A write begins after the end of the received bytes.
    Offset,
}

/// A refusal, which says why a call was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// The kind of refusal, for programs.
    pub code: RefusalCode,
    /// The text for a person, which says what was refused and where. It is lowercase and has no final stop.
    pub text: String,
    /// The way out, for a person. Empty means that the refusal names none.
    pub help: String,
}

impl Refusal {
    /// Makes a refusal that names no way out.
    pub fn new(code: RefusalCode, text: impl Into<String>) -> Refusal {
        Refusal { code, text: text.into(), help: String::new() }
    }

    /// Returns the same refusal with a way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Refusal {
        self.help = help.into();
        self
    }
}
