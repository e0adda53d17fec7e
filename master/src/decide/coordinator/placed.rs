//! Why an attempt went to the worker that it went to, as it was when it did: kept with the attempt.

use schema::values::Time;
use serde::{Deserialize, Serialize};

/// Stored as JSON: fields are only added, with a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    pub because: Because,
    /// Connected workers that could take the job.
    pub able: u32,
    /// Of these, those that had room and asked; counted up to [`FREE_COUNTED`].
    pub free: u32,
    /// For a worker, in milliseconds.
    pub waited_ms: u64,
    /// What ended that; none: it did not wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_for: Option<Opening>,
}

/// How far workers with room are counted: a job that comes looks no further.
pub const FREE_COUNTED: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Because {
    /// No other connected worker could take it.
    Only,
    /// The worker asked for work, and this job was the first in line that it could take.
    Asked,
    /// No other one had room.
    OnlyFree,
    /// Of those with room it is connected the longest.
    ConnectedLongest,
}

/// What made a worker ready for more work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Opening {
    Connected,
    Resumed,
    /// The end of this job, by its selector; "": of a project that may not be seen.
    Freed(String),
    /// It had room before, and asked only now.
    Asked,
}

impl Because {
    /// As it is stored, and as programs see it.
    pub fn word(self) -> &'static str {
        match self {
            Because::Only => "only",
            Because::Asked => "asked",
            Because::OnlyFree => "only-free",
            Because::ConnectedLongest => "connected-longest",
        }
    }
}

impl Placed {
    pub(super) fn new(because: Because, able: usize, free: usize) -> Placed {
        Placed { because, able: count(able), free: count(free), waited_ms: 0, waited_for: None }
    }

    /// The job was in the queue since `queued`; the worker became ready at `opened`.
    pub(super) fn after(mut self, queued: Time, now: Time, opened: &(Time, Opening)) -> Placed {
        self.waited_ms = u64::try_from(now.since(queued).as_millis()).unwrap_or(u64::MAX);
        let did_wait = self.waited_ms > 0 || self.because == Because::Asked;
        self.waited_for = did_wait.then(|| match opened.0 >= queued {
            true => opened.1.clone(),
            false => Opening::Asked,
        });
        self
    }
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
