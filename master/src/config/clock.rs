//! The two clocks of a master. Rows, expiry, retention and mails follow the wall clock, which somebody may set. Leases follow the steady
//! clock, so that a jump of the wall clock does not move a lease.

use crate::decide::steady::{NextTimers, Steady};
use schema::values::Time;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall: Wall,
    /// The instant at which the steady clock showed `start`. Both clocks show the same until the wall clock jumps.
    anchor: Instant,
    start: Time,
}

#[derive(Clone, Copy, Debug)]
enum Wall {
    /// The clock of the machine.
    System,
    /// A clock that always shows the time of the steady clock.
    Steady,
    /// A clock that goes with the steady clock, and is this many milliseconds ahead of it.
    Shifted(&'static AtomicI64),
}

impl Clock {
    /// Makes the clocks of the machine.
    pub fn system() -> Clock {
        Clock { wall: Wall::System, anchor: Instant::now(), start: system_time() }
    }

    /// Makes clocks that show `start` now, for simulations, in which the clock of the runtime is paused.
    pub fn anchored(start: Time) -> Clock {
        Clock { wall: Wall::Steady, anchor: Instant::now(), start }
    }

    /// Like [`Clock::anchored`], with a wall clock that can be set: `shift` says at any time by how many milliseconds it is ahead.
    pub fn shifted(start: Time, shift: &'static AtomicI64) -> Clock {
        Clock { wall: Wall::Shifted(shift), ..Clock::anchored(start) }
    }

    /// Returns the time of the wall clock.
    pub fn now(&self) -> Time {
        self.both().0
    }

    /// Returns the times that both clocks show now.
    pub fn both(&self) -> (Time, Steady) {
        let steady = self.start.after(self.anchor.elapsed());
        let wall = match self.wall {
            Wall::System => system_time(),
            Wall::Steady => steady,
            Wall::Shifted(shift) => Time(steady.0.saturating_add_signed(shift.load(Relaxed))),
        };
        (wall, Steady(steady.0))
    }

    /// Returns the instant of the runtime at which the first of these timers is due, as the clocks stand now. It is at most an hour away.
    pub fn due(&self, next: NextTimers) -> Instant {
        let steady = next.steady.map(|time| self.anchor + time.since(Steady(self.start.0)));
        let wall = next.wall.map(|time| Instant::now() + time.since(self.now()));
        let far = Instant::now() + Duration::from_secs(3600);
        [steady, wall].into_iter().flatten().min().map_or(far, |due| due.min(far))
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock for the coordinator")]
fn system_time() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
