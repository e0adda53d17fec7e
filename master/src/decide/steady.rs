//! Time that never jumps. Everything that a duration bounds, such as a lease, is counted in it. Times that people read are not.

use schema::values::Time;
use std::time::Duration;

/// A `Steady` is a time in milliseconds of a clock that only goes forward, whatever somebody sets the wall clock to. Its zero has no
/// meaning, and no other process shares it. The clock stands still while the machine is suspended. That makes leases longer, and never
/// shorter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Steady(pub u64);

impl Steady {
    pub fn after(self, duration: Duration) -> Steady {
        Steady(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The time from `earlier` to `self`, or zero if `earlier` is later.
    pub fn since(self, earlier: Steady) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// The number of milliseconds by which the wall clock is ahead of the steady one. It changes when somebody sets the wall clock and when
/// the machine was suspended. It may also change by a millisecond, because both times are rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ahead(i64);

impl Ahead {
    /// The difference of two clocks that were read at the same moment.
    pub fn of(wall: Time, steady: Steady) -> Ahead {
        Ahead(wall.0.wrapping_sub(steady.0).cast_signed())
    }

    /// The time of the steady clock when the wall clock shows `wall`, by their present difference.
    pub fn steady(self, wall: Time) -> Steady {
        Steady(wall.0.saturating_sub_signed(self.0))
    }

    /// The time of the wall clock when the steady clock shows `steady`, by their present difference.
    pub fn wall(self, steady: Steady) -> Time {
        Time(steady.0.saturating_add_signed(self.0))
    }
}

/// The next times at which something is to be done, one by each of the two clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NextTimers {
    pub steady: Option<Steady>,
    pub wall: Option<Time>,
}

impl NextTimers {
    /// Takes the first of these timers of the steady clock, and the timer of the wall clock.
    pub fn of(steady: [Option<Steady>; 2], wall: Option<Time>) -> NextTimers {
        NextTimers { steady: steady.into_iter().flatten().min(), wall }
    }

    /// The first of the two, as a time of the wall clock.
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
        // A time before the zero of the steady clock, and the end of all time.
        assert_eq!(Ahead::of(Time(9_000), Steady(0)).steady(Time(5)), Steady(0));
        assert_eq!(Ahead::default().wall(Steady(u64::MAX)), Time(u64::MAX));
    }
}
