//! Notes on the machine of a worker that placement does not need. They say why the worker takes no job, which troubles somebody
//! should mend, and how wrong its wall clock is. The times from a worker with a wrong clock are corrected here. The worker's clock
//! decides nothing. It is only shown beside the master's own times, and a step must not seem to begin before its job.

use schema::values::Time;
use std::time::Duration;

/// How far a worker's clock may be off without being called wrong. A slow `attach` makes a good clock look wrong, but by less than
/// this.
const CLOCK_OFF: Duration = Duration::from_secs(10);

/// The notes of a connected worker on its machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MachineNotes {
    /// Why the worker takes no job for now; empty means that it does not say so.
    pub(crate) lack: String,
    /// The troubles that somebody should mend.
    pub(crate) troubles: Vec<String>,
    pub(crate) clock: WorkerClock,
}

impl MachineNotes {
    /// The notes of a worker that attaches now, whose wall clock shows `told`.
    pub(in crate::decide) fn begin(told: Time, now: Time) -> MachineNotes {
        MachineNotes { clock: WorkerClock { told, at: now }, ..MachineNotes::default() }
    }
}

/// The times that the clocks of a worker and of the master showed when the worker attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WorkerClock {
    /// The time of the worker when it attached. 0 means that the worker is too old to report it.
    pub(in crate::decide) told: Time,
    /// The time of the master when the worker attached.
    pub(in crate::decide) at: Time,
}

impl WorkerClock {
    /// How far the worker's clock is ahead, and how far it is behind. One of the two is zero. Both are zero if the clock is about
    /// right.
    pub(crate) fn off(self) -> (Duration, Duration) {
        match self.told {
            Time(0) => (Duration::ZERO, Duration::ZERO),
            told => (beyond(told.since(self.at)), beyond(self.at.since(told))),
        }
    }

    /// Corrects a time that the worker reported. A time between the start of the attempt and now is left as it is. It may be right,
    /// because a clock may be set while its worker is connected. Any other time is moved by the error of the clock, into that span.
    pub(crate) fn put_right(self, begun: Time, now: Time, told: Time) -> Time {
        let (earliest, latest) = (begun.0.saturating_sub(millis(CLOCK_OFF)), now.after(CLOCK_OFF));
        let (ahead, behind) = self.off();
        if (earliest..=latest.0).contains(&told.0) || (ahead, behind) == (Duration::ZERO, Duration::ZERO) {
            return told;
        }
        let moved = told.0.saturating_sub(millis(ahead)).saturating_add(millis(behind));
        Time(moved.clamp(begun.0.min(now.0), now.0))
    }
}

fn beyond(off: Duration) -> Duration {
    if off < CLOCK_OFF { Duration::ZERO } else { off }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    /// Case C75: if a worker's clock is an hour off, its step still begins within its job, and keeps its length.
    #[test]
    fn the_times_of_a_clock_that_is_off_are_put_right() {
        let (begun, now) = (Time(100 * HOUR), Time(100 * HOUR + 60_000));
        for (told, moved) in [(101 * HOUR, HOUR as i64), (99 * HOUR, -(HOUR as i64))] {
            let clock = WorkerClock { told: Time(told), at: begun };
            let right = |ms: u64| clock.put_right(begun, now, Time((100 * HOUR + ms).strict_add_signed(moved)));
            assert_eq!((right(1_000), right(31_000)), (Time(100 * HOUR + 1_000), Time(100 * HOUR + 31_000)));
            assert_eq!(right(90_000), now, "nothing has ended that is still to come");
            assert_eq!(
                clock.put_right(begun, now, Time(begun.0 + 5)),
                Time(begun.0 + 5),
                "its clock was set meanwhile"
            );
        }
    }

    #[test]
    fn a_clock_that_is_about_right_is_believed() {
        let begun = Time(100 * HOUR);
        let old = Time(3 * HOUR);
        for told in [begun.0 + 9_999, begun.0 - 9_999, 0] {
            let clock = WorkerClock { told: Time(told), at: begun };
            assert_eq!(clock.off(), (Duration::ZERO, Duration::ZERO), "{told}");
            assert_eq!(clock.put_right(begun, begun, old), old, "{told}");
        }
        let ahead = WorkerClock { told: Time(begun.0 + HOUR), at: begun };
        assert_eq!(ahead.off(), (Duration::from_secs(3_600), Duration::ZERO));
    }
}
