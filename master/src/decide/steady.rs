//! Time that never jumps. What is bounded by a duration, as a lease is, is counted in it, and nothing that people read is.

use schema::values::Time;
use std::time::Duration;

/// Milliseconds of a clock that only goes forward, at its own pace, whatever somebody sets the wall clock to. Its zero means
/// nothing, and it ends with the process. It stands still while the machine is suspended, which makes leases longer and never
/// shorter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Steady(pub u64);

impl Steady {
    pub fn after(self, duration: Duration) -> Steady {
        Steady(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The time from `earlier` to `self`; zero if it is not earlier.
    pub fn since(self, earlier: Steady) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// How many milliseconds the wall clock is ahead of the steady one. It changes when somebody sets the wall clock, when the
/// machine was suspended, and a little all the time while the wall clock is corrected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ahead(i64);

impl Ahead {
    /// The two clocks, read at the same moment.
    pub fn of(wall: Time, steady: Steady) -> Ahead {
        Ahead(wall.0.wrapping_sub(steady.0).cast_signed())
    }

    /// What the steady clock shows when the wall clock shows this, as the two stand now.
    pub fn steady(self, wall: Time) -> Steady {
        Steady(wall.0.saturating_sub_signed(self.0))
    }

    /// What the wall clock shows when the steady one shows this, as the two stand now.
    pub fn wall(self, steady: Steady) -> Time {
        Time(steady.0.saturating_add_signed(self.0))
    }
}

/// When something is to be done, by each of the two clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NextTimers {
    pub steady: Option<Steady>,
    pub wall: Option<Time>,
}

impl NextTimers {
    /// The first of these steady timers, and one of the wall clock.
    pub fn of(steady: [Option<Steady>; 2], wall: Option<Time>) -> NextTimers {
        NextTimers { steady: steady.into_iter().flatten().min(), wall }
    }

    /// The first of them, as the clocks stand now.
    pub fn by_wall(self, ahead: Ahead) -> Option<Time> {
        [self.steady.map(|steady| ahead.wall(steady)), self.wall].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_clock_tells_the_other_as_the_two_stand() {
        for (wall, steady) in [(1_000, 1_000), (9_000, 1_000), (1_000, 9_000)] {
            let ahead = Ahead::of(Time(wall), Steady(steady));
            assert_eq!((ahead.steady(Time(wall)), ahead.wall(Steady(steady))), (Steady(steady), Time(wall)));
            assert_eq!(ahead.wall(Steady(steady + 5)), Time(wall + 5));
        }
        // a time before the steady clock's zero, and the end of all time
        assert_eq!(Ahead::of(Time(9_000), Steady(0)).steady(Time(5)), Steady(0));
        assert_eq!(Ahead::default().wall(Steady(u64::MAX)), Time(u64::MAX));
    }
}
