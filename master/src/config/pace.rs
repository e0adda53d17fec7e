//! How often something is done: a few times at once after a quiet while, and from there on at intervals. Pure.

use std::time::Duration;
use tokio::time::Instant;

/// The interval and the few are said with each question: an interval may grow and shrink meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// When the work was done last, had it been done at intervals. `None` means never.
    last: Option<Instant>,
}

impl Pace {
    /// Notes that the work was done now. `at_once`: at least 1.
    pub(crate) fn done(&mut self, now: Instant, interval: Duration, at_once: u32) {
        let saved = interval.saturating_mul(at_once.saturating_sub(1));
        let earliest = now.checked_sub(saved).unwrap_or(now);
        self.last = Some(self.last.map_or(earliest, |last| (last + interval).clamp(earliest, now)));
    }

    /// The time until which the work waits; none where it need not.
    pub(crate) fn wait(&self, now: Instant, interval: Duration) -> Option<Instant> {
        self.last.map(|last| last + interval).filter(|next| *next > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(6);

    /// Done as often as may be: how many times within `time`.
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
        // what was not used for long is there again, and no more
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
