//! Limits how often work is done: a few times at once after a quiet time, and after that at intervals. Pure.

use std::time::Duration;
use tokio::time::Instant;

/// A `Pace` paces one kind of work. Each call names the interval and the number at once, because an interval may change meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// The time at which the last work would have been due at a steady interval. `None` means that no work was done.
    last: Option<Instant>,
}

impl Pace {
    /// Records that the work was done now. `at_once` is how often it may be done without a pause, at least 1.
    pub(crate) fn done(&mut self, now: Instant, interval: Duration, at_once: u32) {
        let saved = interval.saturating_mul(at_once.saturating_sub(1));
        let earliest = now.checked_sub(saved).unwrap_or(now);
        self.last = Some(self.last.map_or(earliest, |last| (last + interval).clamp(earliest, now)));
    }

    /// Returns the time until which the work must wait. `None` means that it may be done now.
    pub(crate) fn wait(&self, now: Instant, interval: Duration) -> Option<Instant> {
        self.last.map(|last| last + interval).filter(|next| *next > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(6);

    /// Does the work as often as allowed, and returns how often that was within `time`.
    fn within(pace: &mut Pace, from: Instant, time: Duration) -> u32 {
        let (mut now, mut count) = (from, 0);
        while now < from + time {
            pace.done(now, TICK, 16);
            count += 1;
            now = pace.wait(now, TICK).unwrap_or(now);
        }
        count
    }

    #[test]
    fn a_few_at_once_and_then_at_intervals() {
        let from = Instant::now();
        let mut pace = Pace::default();
        assert_eq!(within(&mut pace, from, TICK), 16);
        assert_eq!(within(&mut pace, from + TICK, 10 * TICK), 10);
        // a long pause allows a full burst again, and no more
        assert_eq!(within(&mut pace, from + 1_000 * TICK, TICK), 16);
        assert_eq!(within(&mut pace, from + 1_001 * TICK + 5 * TICK, TICK), 6);
    }

    #[test]
    fn what_did_not_wait_is_not_paid_for_later() {
        let now = Instant::now();
        let mut pace = Pace::default();
        (0..100).for_each(|_| pace.done(now, TICK, 16));
        assert_eq!(pace.wait(now, TICK), Some(now + TICK));
    }

    #[test]
    fn an_interval_that_shrinks_does_so_at_once() {
        let now = Instant::now();
        let mut pace = Pace::default();
        pace.done(now, 100 * TICK, 1);
        assert_eq!(pace.wait(now, 100 * TICK), Some(now + 100 * TICK));
        assert_eq!(pace.wait(now, TICK), Some(now + TICK));
    }
}
