//! The reason why an attempt was placed on its worker, as it was at that moment. It is stored with the attempt.

pub use crate::decide::placement::{Because, FREE_COUNTED};

use crate::decide::placement::{Choice, Readiness};
use serde::{Deserialize, Serialize};

/// Says why a job was placed on its worker. It is stored as JSON, so fields are only added, with a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    pub because: Because,
    /// The number of connected workers that could take the job.
    pub able: u32,
    /// The number of connected workers that could take the job, had room and asked for work, counted up to [`FREE_COUNTED`].
    pub free: u32,
    /// How long the job waited for a worker, in milliseconds.
    pub waited_ms: u64,
    /// The event that ended the wait. `None` means that the job did not wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_for: Option<Opening>,
}

/// The event that made a worker ready for more work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Opening {
    Connected,
    Resumed,
    /// The end of the job with this selector, which is "" if the caller may not see its project.
    Freed(String),
    /// The worker had room before, and asked only now.
    Asked,
}

impl Placed {
    /// Makes the reason for a placement. `freed` is the selector of the job whose end made room, if the job waited for that.
    pub(in crate::decide) fn new(choice: Choice, freed: &str) -> Placed {
        let opening = |opened| match opened {
            Readiness::Connected => Opening::Connected,
            Readiness::Resumed => Opening::Resumed,
            Readiness::Freed => Opening::Freed(freed.to_owned()),
            Readiness::Asked => Opening::Asked,
        };
        Placed {
            because: choice.because,
            able: count(choice.able),
            free: count(choice.free),
            waited_ms: u64::try_from(choice.waited.as_millis()).unwrap_or(u64::MAX),
            waited_for: choice.waited_for.map(opening),
        }
    }
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
