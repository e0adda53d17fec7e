//! Who comes last for a while, and until when. It is a worker that did not accept an offer, that lost its connection on one, or
//! at which work failed for its own reasons. One rule says for how long. It knows no offers and no sessions.

use super::matching::OwnerKey;
use super::steady::Steady;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long another worker is preferred, if one could take the work. It can usually finish its present job in this time.
const REST: Duration = Duration::from_secs(60);
/// How long a worker comes last after the first such failure, if there is no other worker. It is twice as long after each
/// further one in a row. What was wrong may pass, and there are few attempts.
const REST_ALONE: Duration = Duration::from_secs(1);
/// 1 s becomes 64 s at most: a worker that is well again is not left alone for longer than where there is another.
const DOUBLINGS_MAX: u32 = 6;
/// This many offers in a row may be given back without more. A worker gives them back that has less room than it said a moment
/// ago.
const DECLINES_MAX: u32 = 3;

/// Offers that come to nothing within this time do so together. A connection that is lost drops all that it held, in no order.
pub(in crate::decide) const AT_ONCE: Duration = Duration::from_secs(1);

/// What a worker did that makes it come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The worker did not accept an offer in time.
    Silent,
    /// The worker gave an offer back.
    Declined,
    /// The worker's connection broke on an offer.
    Broke,
}

/// How a worker comes last for all work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resting {
    /// What the worker did last.
    pub fault: Fault,
    /// When it is asked again. `None` means that it is asked now, with one offer at a time until it accepts.
    pub until: Option<Steady>,
}

/// Who is passed over, and until when. What is over is removed by its timer.
#[derive(Debug)]
pub(in crate::decide) struct Rests<O> {
    /// Who rests for the work of one owner, by the worker's name.
    owners: BTreeMap<O, BTreeMap<String, Steady>>,
    /// Who rests for all work, since the worker last accepted.
    workers: BTreeMap<String, Unaccepted>,
}

/// A worker that has accepted no offer since its last failure.
#[derive(Debug)]
struct Unaccepted {
    /// How many failures the worker had in a row.
    times: u32,
    /// The moment at which the last failure was counted.
    counted: Steady,
    /// The worker's last fault. If the worker gives an offer back, a worse fault stays noted.
    last: Fault,
    until: Option<Steady>,
}

impl Unaccepted {
    /// Whoever was silent or broke is doubted until it accepts. Giving an offer back does not end the doubt.
    fn blame(&mut self, fault: Fault) {
        if fault != Fault::Declined {
            self.last = fault;
        }
    }

    /// Counts once what came to nothing at once: within a moment, of offers that were made before.
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

    /// How many owners and workers this list has an entry for.
    pub(in crate::decide) fn count(&self) -> usize {
        self.owners.len() + self.workers.len()
    }

    /// Forgets a worker. Answers `true` if there was something to forget.
    pub(in crate::decide) fn forget_worker(&mut self, worker: &str) -> bool {
        self.workers.remove(worker).is_some()
    }

    /// Whether the worker gets one offer at a time until it accepts.
    pub(in crate::decide) fn is_doubted(&self, worker: &str) -> bool {
        self.workers.get(worker).is_some_and(|unaccepted| unaccepted.last != Fault::Declined)
    }

    /// Answers when the next of them is over for this owner.
    pub(in crate::decide) fn are_over(&mut self, owner: O, now: Steady) -> Option<Steady> {
        let workers = self.owners.get_mut(&owner)?;
        workers.retain(|_, until| *until > now);
        let next = workers.values().min().copied();
        if next.is_none() {
            self.owners.remove(&owner);
        }
        next
    }

    /// A worker is passed over for the work of this owner until then.
    pub(in crate::decide) fn pass_over(&mut self, owner: O, worker: String, until: Steady) {
        self.owners.entry(owner).or_default().insert(worker, until);
    }

    /// Lets a worker come last for a while, unless it does already: what was offered at once counts once. `offered`: when what it
    /// did not accept was offered; `None` means that it is about those that it gave back just now. Answers when it may be asked
    /// again, if that is news.
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

    /// The rest of a worker is over, unless it lasts: until when.
    pub(in crate::decide) fn end_rest(&mut self, now: Steady, worker: &str) -> Option<Steady> {
        let entry = self.workers.get_mut(worker)?;
        entry.until = entry.until.filter(|until| *until > now);
        entry.until
    }

    /// How a worker rests that has accepted no offer since its fault. `None` means that it has accepted one.
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
