//! The time that the coordinator is told: wall-clock milliseconds at the start, monotonic from there on, so that a
//! clock that jumps moves no lease.

use schema::values::Time;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Time,
    anchor: Instant,
}

impl Clock {
    /// Anchored to the machine's wall clock now.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    pub fn system() -> Clock {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Clock::anchored(Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Anchored to `start` now: for simulations, whose runtime's clock is paused.
    pub fn anchored(start: Time) -> Clock {
        Clock { start, anchor: Instant::now() }
    }

    pub fn now(&self) -> Time {
        self.start.after(self.anchor.elapsed())
    }

    /// The runtime's instant of a time; now, if it is past.
    pub fn instant(&self, time: Time) -> Instant {
        self.anchor + time.since(self.start)
    }
}
