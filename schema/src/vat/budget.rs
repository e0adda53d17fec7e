//! What several connections may cost together: those of one grant. Counts, and wakes whoever waits for less.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::Waker;

/// Shared by connections; clones are the same budget.
#[derive(Clone)]
pub struct Budget(Rc<Shared>);

struct Shared {
    most: usize,
    used: Cell<usize>,
    portions: Cell<u64>,
    /// Who is held up, by the number of the portion.
    waiting: RefCell<BTreeMap<u64, Waker>>,
}

/// What one connection costs of a budget; given back when dropped.
pub(super) struct Portion {
    budget: Budget,
    number: u64,
    used: Cell<usize>,
}

impl Budget {
    /// Of so many bytes.
    pub fn new(most: usize) -> Self {
        Self(Rc::new(Shared { most, used: Cell::new(0), portions: Cell::new(0), waiting: RefCell::default() }))
    }

    /// What is spent at the moment, in bytes.
    pub fn used(&self) -> usize {
        self.0.used.get()
    }

    fn is_spent(&self) -> bool {
        self.used() > self.0.most
    }
}

impl Portion {
    pub(super) fn of(budget: &Budget) -> Self {
        let number = budget.0.portions.get();
        budget.0.portions.set(number + 1);
        Self { budget: budget.clone(), number, used: Cell::new(0) }
    }

    /// From now on this connection costs so much.
    pub(super) fn set(&self, bytes: usize) {
        let shared = &self.budget.0;
        let was_spent = self.budget.is_spent();
        shared.used.set(shared.used.get() + bytes - self.used.replace(bytes));
        if was_spent && !self.budget.is_spent() {
            let waiting = shared.waiting.take();
            waiting.into_values().for_each(Waker::wake);
        }
    }

    /// Whether all connections together cost more than they may.
    pub(super) fn is_short(&self) -> bool {
        self.budget.is_spent()
    }

    /// Wakes when there is something left again.
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_there_again() {
        let budget = Budget::new(100);
        let (one, two) = (Portion::of(&budget), Portion::of(&budget));
        one.set(60);
        two.set(40);
        assert_eq!((budget.used(), one.is_short()), (100, false));
        two.set(41);
        assert!(one.is_short() && two.is_short());
        one.wait(Waker::noop());
        one.wait(Waker::noop());
        assert_eq!(budget.0.waiting.borrow().len(), 1);
        drop(one);
        assert_eq!((budget.used(), two.is_short()), (41, false));
        assert!(budget.0.waiting.borrow().is_empty());
        drop(two);
        assert_eq!(budget.used(), 0);
    }
}
