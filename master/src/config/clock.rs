//! The time that the coordinator is told: wall-clock milliseconds at the start, monotonic from there on, so that a
//! clock that jumps moves no lease.

use schema::values::Time;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Time,
    anchor: Instant,
    /// Whether this is the clock of the machine.
    is_system: bool,
}

impl Clock {
    /// Anchored to the machine's wall clock now.
    pub fn system() -> Clock {
        Clock { is_system: true, ..Clock::anchored(system_time()) }
    }

    /// Anchored to `start` now: for simulations, whose runtime's clock is paused.
    pub fn anchored(start: Time) -> Clock {
        Clock { start, anchor: Instant::now(), is_system: false }
    }

    pub fn now(&self) -> Time {
        self.start.after(self.anchor.elapsed())
    }

    /// What the clock on the wall shows. It may jump, so it is only for what people name by it.
    pub fn wall(&self) -> Time {
        if self.is_system { system_time() } else { self.now() }
    }

    /// The runtime's instant of a time; now, if it is past.
    pub fn instant(&self, time: Time) -> Instant {
        self.anchor + time.since(self.start)
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn system_time() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
