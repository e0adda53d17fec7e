//! Timers. Each timer has at most one time, so code that moves or stops it need not know when it was due.

use schema::values::Time;
use std::collections::{BTreeMap, BTreeSet};

/// A `Schedule` holds timers with the times at which they are due, by the clock `T`. Timers of the same time are due in the order of
/// their keys.
#[derive(Debug)]
pub struct Schedule<K, T = Time> {
    times: BTreeMap<K, T>,
    order: BTreeSet<(T, K)>,
}

impl<K: Ord + Clone, T: Ord + Copy> Default for Schedule<K, T> {
    fn default() -> Schedule<K, T> {
        Schedule::new()
    }
}

impl<K: Ord + Clone, T: Ord + Copy> Schedule<K, T> {
    /// A schedule in which nothing is due.
    pub fn new() -> Schedule<K, T> {
        Schedule { times: BTreeMap::new(), order: BTreeSet::new() }
    }

    /// Sets the timer to this time, whatever it was set to before.
    pub fn arm(&mut self, timer: K, at: T) {
        self.disarm(&timer);
        self.order.insert((at, timer.clone()));
        self.times.insert(timer, at);
    }

    /// Sets the timer to this time, unless it is due sooner.
    pub fn arm_by(&mut self, timer: K, at: T) {
        if self.at(&timer).is_none_or(|armed| at < armed) {
            self.arm(timer, at);
        }
    }

    /// Stops the timer. It need not be set.
    pub fn disarm(&mut self, timer: &K) {
        if let Some((timer, at)) = self.times.remove_entry(timer) {
            self.order.remove(&(at, timer));
        }
    }

    /// When this timer is due. `None` means that it is not set.
    pub fn at(&self, timer: &K) -> Option<T> {
        self.times.get(timer).copied()
    }

    /// When the first timer is due.
    pub fn next(&self) -> Option<T> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes out the first timer that is due by now.
    pub fn due(&mut self, now: T) -> Option<K> {
        self.next().filter(|at| *at <= now)?;
        let (_, timer) = self.order.pop_first()?;
        self.times.remove(&timer);
        Some(timer)
    }

    /// How many timers are set.
    pub fn count(&self) -> usize {
        self.times.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_due(schedule: &mut Schedule<&'static str>, now: u64) -> Vec<&'static str> {
        std::iter::from_fn(|| schedule.due(Time(now))).collect()
    }

    #[test]
    fn timers_are_due_in_order_and_once() {
        let mut schedule = Schedule::new();
        for (timer, at) in [("c", 7), ("b", 7), ("a", 9), ("d", 3)] {
            schedule.arm(timer, Time(at));
        }
        assert_eq!(schedule.next(), Some(Time(3)));
        assert_eq!(all_due(&mut schedule, 2), [""; 0]);
        assert_eq!(all_due(&mut schedule, 8), ["d", "b", "c"]);
        assert_eq!((schedule.next(), schedule.count()), (Some(Time(9)), 1));
    }

    #[test]
    fn a_timer_that_moves_is_due_at_its_new_time_only() {
        let mut schedule = Schedule::new();
        schedule.arm("a", Time(5));
        schedule.arm("a", Time(9));
        schedule.arm_by("a", Time(12));
        assert_eq!(schedule.at(&"a"), Some(Time(9)), "it was due sooner");
        schedule.arm_by("a", Time(7));
        assert_eq!(all_due(&mut schedule, 6), [""; 0]);
        assert_eq!(all_due(&mut schedule, 20), ["a"]);
        schedule.arm("b", Time(5));
        schedule.disarm(&"b");
        schedule.disarm(&"never");
        assert_eq!((schedule.next(), schedule.count()), (None, 0));
    }
}
