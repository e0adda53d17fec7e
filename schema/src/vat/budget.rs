//! The memory that all connections of one grant may cost together. The budget counts it, and wakes paused connections once the
//! connections cost less again.
//!
//! Each connection has a light share that it may always use, so that a costly connection does not stop the others. Together the
//! light shares are at most half of the budget. Once the rest is spent, a connection that costs more than its share is paused.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::Waker;

use crate::limits::borders::GRANT_LIGHT;

/// A number of bytes that several connections share. Clones are the same budget.
#[derive(Clone)]
pub struct Budget(Rc<Shared>);

struct Shared {
    most: usize,
    used: Cell<usize>,
    portions: Cell<u64>,
    /// The number of connections that share the budget now.
    sharers: Cell<usize>,
    /// The wakers of paused connections, by the number of their portion.
    waiting: RefCell<BTreeMap<u64, Waker>>,
}

/// The bytes of a budget that one connection costs. Dropping the portion gives them back.
pub(super) struct Portion {
    budget: Budget,
    number: u64,
    used: Cell<usize>,
}

impl Budget {
    /// Makes a budget of `most` bytes.
    pub fn new(most: usize) -> Self {
        let (used, portions, sharers) = (Cell::new(0), Cell::new(0), Cell::new(0));
        Self(Rc::new(Shared { most, used, portions, sharers, waiting: RefCell::default() }))
    }

    /// Returns the bytes that are spent at the moment.
    pub fn used(&self) -> usize {
        self.0.used.get()
    }

    /// Whether only the light shares are left of the budget.
    fn is_spent(&self) -> bool {
        self.used() > self.0.most - self.light() * self.0.sharers.get()
    }

    /// Returns the bytes that each connection may always cost.
    fn light(&self) -> usize {
        GRANT_LIGHT.count().min(self.0.most / 2 / self.0.sharers.get().max(1))
    }
}

impl Portion {
    pub(super) fn of(budget: &Budget) -> Self {
        let number = budget.0.portions.get();
        budget.0.portions.set(number + 1);
        budget.0.sharers.set(budget.0.sharers.get() + 1);
        Self { budget: budget.clone(), number, used: Cell::new(0) }
    }

    /// Records that this connection costs `bytes` from now on.
    pub(super) fn set(&self, bytes: usize) {
        let shared = &self.budget.0;
        let was_spent = self.budget.is_spent();
        shared.used.set(shared.used.get() + bytes - self.used.replace(bytes));
        if was_spent && !self.budget.is_spent() {
            self.wake_all();
        }
    }

    /// Returns the bytes that this connection may still cost if the budget is spent, or `None` if it is not spent.
    pub(super) fn shortage(&self) -> Option<usize> {
        self.budget.is_spent().then(|| self.budget.light())
    }

    fn wake_all(&self) {
        let waiting = self.budget.0.waiting.take();
        waiting.into_values().for_each(Waker::wake);
    }

    /// Calls `waker` once the budget is no longer spent.
    pub(super) fn wait(&self, waker: &Waker) {
        let before = self.budget.0.waiting.borrow_mut().insert(self.number, waker.clone());
        drop(before);
    }
}

impl Drop for Portion {
    fn drop(&mut self) {
        self.set(0);
        let waker = self.budget.0.waiting.borrow_mut().remove(&self.number);
        drop(waker);
        // with fewer connections each has a larger share
        self.budget.0.sharers.set(self.budget.0.sharers.get() - 1);
        self.wake_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::borders::GRANT_BUDGET;

    #[test]
    fn what_is_given_back_is_there_again() {
        let budget = Budget::new(100);
        let (one, two) = (Portion::of(&budget), Portion::of(&budget));
        one.set(30);
        two.set(20);
        assert_eq!((budget.used(), one.shortage()), (50, None));
        two.set(21);
        assert_eq!((one.shortage(), two.shortage()), (Some(25), Some(25)));
        one.wait(Waker::noop());
        one.wait(Waker::noop());
        assert_eq!(budget.0.waiting.borrow().len(), 1);
        drop(one);
        assert_eq!((budget.used(), two.shortage()), (21, None));
        assert!(budget.0.waiting.borrow().is_empty());
        drop(two);
        assert_eq!((budget.used(), budget.0.sharers.get()), (0, 0));
    }

    /// However many connections a grant has, together they cost no more than its budget, even if each takes all that it can get.
    #[test]
    fn many_connections_cost_no_more_than_one() {
        let most = GRANT_BUDGET.count();
        for connections in [1, 2, 7, 64, 1_000] {
            let budget = Budget::new(most);
            let portions: Vec<Portion> = (0..connections).map(|_| Portion::of(&budget)).collect();
            let step = 4 << 10;
            // one after the other, so that the first is as heavy as it can be before the others begin
            for portion in &portions {
                let mut used = 0;
                while portion.shortage().is_none_or(|light| used + step <= light) {
                    used += step;
                    portion.set(used);
                }
            }
            let used = budget.used();
            assert!(used <= most + step && used > most * 9 / 10, "{connections} connections: {used}");
        }
    }
}
