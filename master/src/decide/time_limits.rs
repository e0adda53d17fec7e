//! How long work may take, with its logs on their way.

use std::time::Duration;

/// How slowly a full log may come, in bytes in a second: as over a poor link at home.
const SLOWEST_LINK: u64 = 64 << 10;
/// The most by which signs of life move the end of an attempt, however large its logs may be.
const SIGNS_MAX: Duration = Duration::from_secs(6 * 3600);

/// How long work may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeLimits {
    /// What the work gets in all, with its `always` steps.
    pub given: Duration,
    /// How long its logs may take on their way, beyond that.
    pub for_logs: Duration,
}

impl TimeLimits {
    /// The limits of work that gets `given`, and whose logs have at most this many bytes.
    pub fn of(given: Duration, log_bytes: u64) -> TimeLimits {
        TimeLimits { given, for_logs: Duration::from_secs(log_bytes / SLOWEST_LINK).min(SIGNS_MAX) }
    }
}
