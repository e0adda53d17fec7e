//! Shares a scarce resource fairly between callers. Few are served at once, in all and for each caller, and a caller whose work
//! cost much waits longer. The algorithm is pure: it hears who joins, who is done, and what the work cost. [`TurnQueue`] makes
//! callers wait for their turn, and [`Principal`] identifies a caller.
//!
//! This is surplus round robin: the deficit round robin of Shreedhar and Varghese (SIGCOMM 1995), for costs that are known only
//! afterwards. Each caller has a line. Each visit gives a line a [`SHARE`] if it has none left, and a line that is in debt is
//! passed over. So each of N lines whose answers cost at most a share is served within N turns. A dearer line is passed over
//! once for each share that it used beyond its own.

mod principal;
mod queue;

pub use principal::{Own, PROGRAM, Principal};
pub use queue::{QueueLoad, Turn, TurnQueue};

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The share that one visit gives to a line, in microseconds of work. It is more than a read of one build takes, and a small
/// part of the time that a read of 1,000 builds takes.
pub const SHARE: i64 = 1_000;
/// The most that one piece of work is charged, in microseconds: one second. If the machine stood still for a minute, the line
/// that was served then must not be kept out for a minute.
const CHARGE_MAX: i64 = 1_000_000;

/// The number of callers that are served at once: `in_all` together, and `each` of the same line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub in_all: usize,
    pub each: usize,
}

/// The number of one waiting caller in the queue.
pub type TurnNumber = u64;

/// The lines of callers that wait or are served. It takes memory for each waiting caller, and a little for each line that is in
/// debt.
#[derive(Debug)]
pub struct Turns<K> {
    bounds: Bounds,
    lines: BTreeMap<K, Line>,
    /// The lines that may be served, in the order of their turns.
    ring: VecDeque<K>,
    serving: usize,
    last: TurnNumber,
}

#[derive(Debug, Default)]
struct Line {
    waiting: BTreeSet<TurnNumber>,
    serving: usize,
    /// The rest of the line's share, in microseconds; a negative balance is the line's debt.
    balance: i64,
    is_in_ring: bool,
}

impl<K: Ord + Clone> Turns<K> {
    pub fn new(bounds: Bounds) -> Turns<K> {
        assert!(bounds.in_all > 0 && bounds.each > 0, "somebody is served");
        Turns { bounds, lines: BTreeMap::new(), ring: VecDeque::new(), serving: 0, last: 0 }
    }

    /// Adds a caller to its line and returns the caller's number.
    pub fn join(&mut self, who: &K) -> TurnNumber {
        self.last += 1;
        self.lines.entry(who.clone()).or_default().waiting.insert(self.last);
        self.enter(who);
        self.last
    }

    /// Removes a waiting caller from its line.
    pub fn leave(&mut self, who: &K, ticket: TurnNumber) {
        if let Some(line) = self.lines.get_mut(who) {
            line.waiting.remove(&ticket);
        }
        self.settle(who);
    }

    /// Returns the caller whose turn it is, if there is room for one more. That caller counts as served from now on.
    pub fn serve(&mut self) -> Option<TurnNumber> {
        while self.serving < self.bounds.in_all {
            let who = self.ring.pop_front()?;
            let Some(line) = self.lines.get_mut(&who) else { continue };
            line.is_in_ring = false;
            if line.balance <= 0 {
                line.balance += SHARE;
            }
            let is_its_turn = line.balance > 0;
            let Some(ticket) = line.waiting.first().copied() else {
                self.settle(&who);
                continue;
            };
            if is_its_turn {
                line.waiting.remove(&ticket);
                line.serving += 1;
                self.serving += 1;
            }
            self.enter(&who);
            if is_its_turn {
                return Some(ticket);
            }
        }
        None
    }

    /// Notes that a served caller is done. `cost` is the time that its work took, in microseconds.
    pub fn done(&mut self, who: &K, cost: i64) {
        self.serving -= 1;
        if let Some(line) = self.lines.get_mut(who) {
            line.serving -= 1;
            line.balance -= cost.clamp(1, CHARGE_MAX);
        }
        self.enter(who);
        self.settle(who);
    }

    pub fn serving(&self) -> usize {
        self.serving
    }

    /// Returns the number of lines that wait, are served, or are in debt.
    pub fn lines(&self) -> usize {
        self.lines.len()
    }

    fn enter(&mut self, who: &K) {
        let Some(line) = self.lines.get_mut(who) else { return };
        if !line.is_in_ring && !line.waiting.is_empty() && line.serving < self.bounds.each {
            line.is_in_ring = true;
            self.ring.push_back(who.clone());
        }
    }

    /// Forgets a line that nobody needs. A line in debt stays as long as any other caller waits or is served.
    fn settle(&mut self, who: &K) {
        let is_empty = |line: &Line| line.waiting.is_empty() && line.serving == 0 && !line.is_in_ring;
        if self.lines.get(who).is_some_and(|line| is_empty(line) && line.balance >= 0) {
            self.lines.remove(who);
        }
        if self.serving == 0 && self.lines.values().all(|line| line.waiting.is_empty()) {
            self.lines.clear();
            self.ring.clear();
        }
    }
}

#[cfg(test)]
mod tests;
