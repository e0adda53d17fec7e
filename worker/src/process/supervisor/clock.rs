//! The clock of leases and limits. It goes on while the machine sleeps, and nobody can set it to another time.

use rustix::time::{ClockId, clock_gettime};
use schema::values::Time;
use std::time::{Duration, SystemTime};

/// A moment in milliseconds since the machine's start (CLOCK_BOOTTIME), which is the same in every process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    pub fn now() -> Moment {
        let now = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
        Moment(seconds * 1000 + nanos / 1_000_000)
    }

    #[must_use]
    pub fn plus(self, ms: u64) -> Moment {
        Moment(self.0.saturating_add(ms))
    }

    /// Returns the milliseconds from `earlier` to `self`, or 0 if `earlier` is later.
    pub fn since(self, earlier: Moment) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Returns the time of the wall clock, which is for people to read.
pub fn wall() -> Time {
    wall_of(SystemTime::now())
}

pub fn wall_of(time: SystemTime) -> Time {
    Time(milliseconds(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()))
}

pub fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
