//! States, outcomes and refusals, with the words for them.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How far a build, a job or a step has come.
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
    /// At least a part of it has begun.
    Running,
    /// It has an outcome, which does not change any more.
    Finished,
}

/// How a step, a job or a build ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It did not run, because its condition was not met or a job that it needs failed.
    Skipped,
    /// Everything went well, without a warning.
    Succeeded,
    /// Something failed that is allowed to fail.
    Warned,
    /// The code is at fault: a command ended badly, or the pipeline is wrong.
    Failed,
    /// The infrastructure is at fault, as when a worker was lost.
    Errored,
    /// Somebody or something cancelled it.
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

    /// The word for the outcome in files, on the wire and on pages.
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
    /// The word for the state in files, on the wire and on pages.
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
    /// The step did not run.
    #[default]
    None,
    /// It exited with this code, 0 to 255.
    Code(i32),
    /// It was ended by the signal of this number, 1 to 64.
    Signal(i32),
    /// It was killed, because its timeout passed.
    Timeout,
    /// It was killed, because it wrote nothing for as long as `idle` allows.
    Idle,
    /// It could not be started or followed, or it was killed for what it took. The text says why.
    Lost(String),
}

impl Exit {
    /// What the reason in [`Exit::Lost`] begins with where the step was followed, and was killed for what it took. It does not
    /// have a case of its own, because older versions refuse a case that they do not know.
    pub const KILLED: &str = "killed: ";

    /// Why the step of this process ended as it did, in words. A step fails though its command exits with 0 where a report of its
    /// tests was not written. So `trouble`, which says what is wrong with the reports, then says why; it may be empty.
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
    /// The grant does not name this.
    NotPermitted,
    /// There is no such thing, or none that the grant may see.
    NotFound,
    /// The request id was used for something else, or the state forbids the call.
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
    /// It cannot be done for now, as when the disk is full.
    Unavailable,
    /// The two sides have no protocol version in common.
    Version,
    /// A write begins beyond what was received.
    Offset,
}

/// Why an expected call was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// The kind of refusal, for programs.
    pub code: RefusalCode,
    /// What was refused and where, for a person. Lowercase, without a final stop.
    pub text: String,
    /// The way out, for a person; empty means that there is none to name.
    pub help: String,
}

impl Refusal {
    /// A refusal that names no way out.
    pub fn new(code: RefusalCode, text: impl Into<String>) -> Refusal {
        Refusal { code, text: text.into(), help: String::new() }
    }

    /// The same refusal with a way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Refusal {
        self.help = help.into();
        self
    }
}
