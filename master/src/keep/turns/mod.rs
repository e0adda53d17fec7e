//! Turns between those who ask: few are served at once in all and for each, and who cost much waits for longer. It is pure: it
//! hears who comes, who is done, and what that did cost. [`TurnQueue`] has callers wait for their turn, [`Principal`] is who
//! takes turns.
//!
//! This is surplus round robin, the deficit round robin of Shreedhar and Varghese (SIGCOMM 1995) for costs that are known only
//! afterwards. Each visit gives a line a [`SHARE`] if it has none left, and a line that is in debt is passed over. So each of
//! N lines whose answers cost at most a share is served within N turns. A dearer line is passed over once for each share that it
//! used beyond its own.

mod principal;
mod queue;

pub use principal::{Own, PROGRAM, Principal};
pub use queue::{QueueLoad, Turn, TurnQueue};

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What one visit gives to a line, in microseconds of work. It is more than a read of one build takes, and a small part of what a
/// read of 1,000 takes.
pub const SHARE: i64 = 1_000;
/// The most that one piece of work is charged, in microseconds. A machine that stood still for a minute shall not keep a line
/// out for as long.
const CHARGE_MAX: i64 = 1_000_000;

/// How many are served at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub in_all: usize,
    pub each: usize,
}

/// The number by which somebody who waits is known.
pub type TurnNumber = u64;

/// Who waits, and who is served. Holds as much as callers wait, and a word for each line that is in debt.
#[derive(Debug)]
pub struct Turns<K> {
    bounds: Bounds,
    lines: BTreeMap<K, Line>,
    /// Lines that may be served, in the order of their turns.
    ring: VecDeque<K>,
    serving: usize,
    last: TurnNumber,
}

#[derive(Debug, Default)]
struct Line {
    waiting: BTreeSet<TurnNumber>,
    serving: usize,
    /// What is left of the line's share; less than nothing: its debt.
    balance: i64,
    is_in_ring: bool,
}

impl<K: Ord + Clone> Turns<K> {
    pub fn new(bounds: Bounds) -> Turns<K> {
        assert!(bounds.in_all > 0 && bounds.each > 0, "somebody is served");
        Turns { bounds, lines: BTreeMap::new(), ring: VecDeque::new(), serving: 0, last: 0 }
    }

    /// Somebody comes, and waits for a turn.
    pub fn join(&mut self, who: &K) -> TurnNumber {
        self.last += 1;
        self.lines.entry(who.clone()).or_default().waiting.insert(self.last);
        self.enter(who);
        self.last
    }

    /// Somebody who waits goes away.
    pub fn leave(&mut self, who: &K, ticket: TurnNumber) {
        if let Some(line) = self.lines.get_mut(who) {
            line.waiting.remove(&ticket);
        }
        self.settle(who);
    }

    /// Whose turn it is now, if there is room. From here on it is served.
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

    /// Somebody was served, which did cost this much, in microseconds.
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

    /// How many lines there are: whoever waits, is served, or is in debt.
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

    /// Forgets a line that nobody needs: its debt stays for as long as others are served.
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
