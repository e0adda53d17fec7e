//! A limit on the bytes that several writers hold together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of bytes that the writers who share a limit hold together.
#[derive(Clone, Debug, Default)]
pub(in crate::keep) struct Budget(Arc<AtomicUsize>);

/// The bytes that one writer holds of a budget. Dropping it gives them back.
#[derive(Debug, Default)]
pub(in crate::keep) struct Share {
    budget: Budget,
    taken: AtomicUsize,
}

impl Share {
    pub(in crate::keep) fn of(budget: Budget) -> Share {
        Share { budget, taken: AtomicUsize::new(0) }
    }

    pub(in crate::keep) fn budget(&self) -> Budget {
        self.budget.clone()
    }

    pub(in crate::keep) fn has_room(&self, bytes: usize, most: usize) -> bool {
        self.budget.0.load(Ordering::Relaxed).saturating_add(bytes) <= most
    }

    /// Takes `bytes` if all writers together then have at most `most`. Otherwise it takes nothing and returns `false`.
    pub(in crate::keep) fn take(&self, bytes: usize, most: usize) -> bool {
        let more = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= most);
        let is_taken = self.budget.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        self.taken.fetch_add(if is_taken { bytes } else { 0 }, Ordering::Relaxed);
        is_taken
    }

    /// Gives this many bytes back to the budget.
    pub(in crate::keep) fn give(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
        self.budget.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Gives back all bytes that this writer holds.
    pub(in crate::keep) fn give_back(&self) {
        self.budget.0.fetch_sub(self.taken.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 1_000;

    #[test]
    fn writers_share_what_there_is() {
        let budget = Budget::default();
        let (one, two) = (Share::of(budget.clone()), Share::of(budget));
        assert!(one.take(MOST - 10, MOST) && two.take(10, MOST));
        assert!(!one.take(1, MOST) && !two.has_room(1, MOST) && two.take(0, MOST));
        one.give_back();
        assert!(two.take(MOST - 10, MOST) && !two.take(1, MOST) && !two.take(usize::MAX, MOST));
        drop(two);
        assert!(one.take(MOST, MOST));
    }
}
