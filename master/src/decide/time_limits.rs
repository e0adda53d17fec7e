//! How long work may take, including the time in which its logs are transferred.

use std::time::Duration;

/// The slowest rate at which a full log may arrive, in bytes per second, as over a poor link at home.
const SLOWEST_LINK: u64 = 64 << 10;
/// The longest time by which reports may postpone the end of an attempt, however large its logs may be.
const SIGNS_MAX: Duration = Duration::from_secs(6 * 3600);

/// The limits for the time that work takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeLimits {
    /// The time that the work has in all, including its `always` steps.
    pub given: Duration,
    /// The further time that the logs of the work may take to arrive.
    pub for_logs: Duration,
}

impl TimeLimits {
    /// The limits of work that gets `given`, and whose logs have at most this many bytes.
    pub fn of(given: Duration, log_bytes: u64) -> TimeLimits {
        TimeLimits { given, for_logs: Duration::from_secs(log_bytes / SLOWEST_LINK).min(SIGNS_MAX) }
    }
}
