//! Which workers come last for a while, and until when. A worker does if it did not accept an offer, or lost its connection while it had
//! one. It also does if work failed there for its own reasons. One rule says for how long. Nothing here knows offers and sessions.

use super::matching::OwnerKey;
use super::steady::Steady;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a worker comes last if another one could take the work. The other can usually finish its present job in this time.
const REST: Duration = Duration::from_secs(60);
/// How long a worker comes last after its first failure, if no other could take the work. The time doubles with each further failure in
/// a row. It is short because the cause may pass, and a job has few attempts.
const REST_ALONE: Duration = Duration::from_secs(1);
/// The most doublings of [`REST_ALONE`], which make 64 s of 1 s. So a worker that has recovered waits no longer than about [`REST`].
const DOUBLINGS_MAX: u32 = 6;
/// The number of offers in a row that a worker may give back before it comes last. It gives an offer back if it has less room than it
/// reported a moment ago.
const DECLINES_MAX: u32 = 3;

/// Offers that fail within this time count as one failure, because a lost connection drops all its offers, in no order.
pub(in crate::decide) const AT_ONCE: Duration = Duration::from_secs(1);

/// A fault that makes a worker come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The worker did not accept an offer in time.
    Silent,
    /// The worker gave an offer back.
    Declined,
    /// The worker's connection broke while it had an offer.
    Broke,
}

/// A `Resting` says why a worker comes last for all work, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resting {
    /// The fault because of which the worker comes last.
    pub fault: Fault,
    /// When the worker gets offers again. `None` means that it gets one offer at a time until it accepts one.
    pub until: Option<Steady>,
}

/// The workers that are passed over, and until when. A timer removes each entry when its time is over.
#[derive(Debug)]
pub(in crate::decide) struct Rests<O> {
    /// The workers that come last for the work of one owner, by the owner, each with the time until which it does.
    owners: BTreeMap<O, BTreeMap<String, Steady>>,
    /// The workers that have failed since they last accepted an offer, by name. They come last for all work, or will after more failures.
    workers: BTreeMap<String, Unaccepted>,
}

/// A worker that has accepted no offer since its last failure.
#[derive(Debug)]
struct Unaccepted {
    /// The number of failures that the worker had in a row.
    times: u32,
    /// The moment at which the last failure was counted.
    counted: Steady,
    /// The worker's last fault. If the worker gives an offer back, a worse fault stays noted.
    last: Fault,
    until: Option<Steady>,
}

impl Unaccepted {
    /// Notes a fault. A worker that was silent or lost its connection is doubted until it accepts an offer. Giving an offer back does
    /// not end the doubt.
    fn blame(&mut self, fault: Fault) {
        if fault != Fault::Declined {
            self.last = fault;
        }
    }

    /// Counts a failure, unless it belongs to the one that was counted last. It does if it comes within [`AT_ONCE`] of that one, and
    /// its offer was made before that one was counted.
    fn count(&mut self, now: Steady, offered: Option<Steady>) {
        let is_together = now.since(self.counted) < AT_ONCE && offered.is_none_or(|at| at < self.counted);
        if self.times == 0 || !is_together {
            self.times = self.times.saturating_add(1);
            self.counted = now;
        }
    }
}

impl<O: OwnerKey> Rests<O> {
    pub(in crate::decide) fn new() -> Rests<O> {
        Rests { owners: BTreeMap::new(), workers: BTreeMap::new() }
    }

    /// The workers that are passed over for the work of this owner alone.
    pub(in crate::decide) fn of(&self, owner: O) -> impl Iterator<Item = &str> {
        self.owners.get(&owner).into_iter().flat_map(BTreeMap::keys).map(String::as_str)
    }

    pub(in crate::decide) fn forget_owner(&mut self, owner: O) {
        self.owners.remove(&owner);
    }

    /// The number of owners and workers that have an entry.
    pub(in crate::decide) fn count(&self) -> usize {
        self.owners.len() + self.workers.len()
    }

    /// Forgets a worker. Returns `true` if there was something to forget.
    pub(in crate::decide) fn forget_worker(&mut self, worker: &str) -> bool {
        self.workers.remove(worker).is_some()
    }

    /// Whether the worker gets one offer at a time until it accepts.
    pub(in crate::decide) fn is_doubted(&self, worker: &str) -> bool {
        self.workers.get(worker).is_some_and(|unaccepted| unaccepted.last != Fault::Declined)
    }

    /// Removes the workers that come last for this owner's work no longer. Returns the next time at which that ends for another one.
    pub(in crate::decide) fn are_over(&mut self, owner: O, now: Steady) -> Option<Steady> {
        let workers = self.owners.get_mut(&owner)?;
        workers.retain(|_, until| *until > now);
        let next = workers.values().min().copied();
        if next.is_none() {
            self.owners.remove(&owner);
        }
        next
    }

    /// Passes a worker over for the work of this owner until that time.
    pub(in crate::decide) fn pass_over(&mut self, owner: O, worker: String, until: Steady) {
        self.owners.entry(owner).or_default().insert(worker, until);
    }

    /// Makes a worker come last for a while, unless it does already. Offers that fail together count once. `offered` is the time at
    /// which the failed offer was made. `None` means that the failure is about offers that were given back a moment ago. Returns the
    /// time at which the worker may get offers again, if that has changed.
    pub(in crate::decide) fn come_last(
        &mut self,
        now: Steady,
        worker: &str,
        fault: Fault,
        offered: Option<Steady>,
        has_another: bool,
    ) -> Option<Steady> {
        let first = Unaccepted { times: 0, counted: now, last: fault, until: None };
        let entry = self.workers.entry(worker.to_owned()).or_insert(first);
        entry.blame(fault);
        if entry.until.is_some() {
            return None;
        }
        entry.count(now, offered);
        if fault == Fault::Declined && entry.times <= DECLINES_MAX {
            return None;
        }
        entry.until = Some(now.after(pause(entry.times, has_another)));
        entry.until
    }

    /// Lets a worker come last no longer, if its time is over. Otherwise returns that time.
    pub(in crate::decide) fn end_rest(&mut self, now: Steady, worker: &str) -> Option<Steady> {
        let entry = self.workers.get_mut(worker)?;
        entry.until = entry.until.filter(|until| *until > now);
        entry.until
    }

    /// Why a worker comes last that has accepted no offer since its fault, and until when. `None` means that the worker has no such
    /// fault.
    pub(in crate::decide) fn unaccepted(&self, worker: &str) -> Option<Resting> {
        self.workers.get(worker).map(|it| Resting { fault: it.last, until: it.until })
    }
}

/// The one rule: how long a worker comes last after this many failures in a row.
pub(in crate::decide) fn pause(times: u32, has_another: bool) -> Duration {
    if has_another { REST } else { REST_ALONE * 2_u32.pow(times.saturating_sub(1).min(DOUBLINGS_MAX)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_rule_says_how_long_a_worker_comes_last() {
        let alone: Vec<u64> = (0..10).map(|times| pause(times, false).as_secs()).collect();
        assert_eq!(alone, [1, 1, 2, 4, 8, 16, 32, 64, 64, 64]);
        assert!((0..10).all(|times| pause(times, true) == REST));
    }
}
