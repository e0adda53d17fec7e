//! Decides how often a subscriber is called. A call costs about the same for one event as for a hundred, so under load the events of a
//! short time go together. The more subscribers there are, the longer that time is, which bounds the total cost.

use crate::config::pace::Pace;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// The most calls to one subscriber that may follow each other at once. That is enough for the events of one build that begins or ends.
const AT_ONCE: u32 = 16;
/// After [`AT_ONCE`] calls, the pause between two calls to one subscriber is this time for each subscriber that exists. With 20
/// subscribers, it is 20 ms.
const SHARE: Duration = Duration::from_millis(1);
/// The longest pause between two calls, however many subscribers there are.
const TURN_MAX: Duration = Duration::from_secs(1);

/// Counts the subscribers that exist, each of which holds a reference.
#[derive(Debug, Default)]
pub(super) struct SubscriberCount(Rc<()>);

impl SubscriberCount {
    pub(super) fn take(&self) -> SubscriberPacing {
        SubscriberPacing { seat: self.0.clone(), pace: Pace::default() }
    }
}

/// A `SubscriberPacing` counts as one subscriber while it exists, and paces the calls to that subscriber.
#[derive(Debug)]
pub struct SubscriberPacing {
    seat: Rc<()>,
    pace: Pace,
}

impl SubscriberPacing {
    /// Waits until it is this subscriber's turn. The future may be dropped while it waits.
    pub async fn come(&mut self) {
        while let Some(next) = self.pace.wait(Instant::now(), self.turn()) {
            tokio::time::sleep_until(next).await;
        }
    }

    /// Notes that the subscriber was called in this turn.
    pub fn spend(&mut self) {
        self.pace.done(Instant::now(), self.turn(), AT_ONCE);
    }

    fn turn(&self) -> Duration {
        // The count itself holds one of the references.
        let subscribers = u32::try_from(Rc::strong_count(&self.seat) - 1).unwrap_or(u32::MAX);
        SHARE.saturating_mul(subscribers).clamp(SHARE, TURN_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn elapsed(turns: &mut SubscriberPacing, count: u32) -> Duration {
        let began = Instant::now();
        for _ in 0..count {
            turns.come().await;
            turns.spend();
        }
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_at_once_and_then_one_by_one() {
        let seats = SubscriberCount::default();
        let mut turns: Vec<SubscriberPacing> = (0..20).map(|_| seats.take()).collect();
        assert_eq!(elapsed(&mut turns[0], AT_ONCE).await, Duration::ZERO);
        assert_eq!(elapsed(&mut turns[0], 10).await, 10 * 20 * SHARE);
        // A subscriber that was quiet for long has all its calls at once again, and no more.
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(elapsed(&mut turns[0], AT_ONCE).await, Duration::ZERO);
        assert_eq!(elapsed(&mut turns[0], 1).await, 20 * SHARE);
        // A subscriber that is alone waits only for its own share.
        turns.truncate(1);
        assert_eq!(elapsed(&mut turns[0], 10).await, 10 * SHARE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_waits_no_longer_than_a_second() {
        let seats = SubscriberCount::default();
        let mut turns: Vec<SubscriberPacing> = (0..5_000).map(|_| seats.take()).collect();
        elapsed(&mut turns[0], AT_ONCE).await;
        assert_eq!(elapsed(&mut turns[0], 3).await, 3 * TURN_MAX);
    }
}
