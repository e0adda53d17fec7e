//! How much of an attempt's small logs is kept in memory: each is small, and a plan may have thousands of steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of logs and of their marks that one attempt has in memory. What comes beyond it goes into files, as a large log
/// does: 16 logs of the largest kind, or some hundred of a few lines.
const ATTEMPT_BYTES_MAX: usize = 1 << 20;

/// What all logs of one attempt share.
#[derive(Clone, Debug, Default)]
pub(in crate::keep) struct Budget(Arc<AtomicUsize>);

/// The part of one log.
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

    pub(in crate::keep) fn has_room(&self, bytes: usize) -> bool {
        self.budget.0.load(Ordering::Relaxed).saturating_add(bytes) <= ATTEMPT_BYTES_MAX
    }

    /// False: there is no room, and nothing was taken.
    pub(in crate::keep) fn take(&self, bytes: usize) -> bool {
        let more = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= ATTEMPT_BYTES_MAX);
        let is_taken = self.budget.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        self.taken.fetch_add(if is_taken { bytes } else { 0 }, Ordering::Relaxed);
        is_taken
    }

    /// Gives all back: the log is in a file, or is no more.
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

    #[test]
    fn logs_of_one_attempt_share_what_there_is() {
        let budget = Budget::default();
        let (one, two) = (Share::of(budget.clone()), Share::of(budget));
        assert!(one.take(ATTEMPT_BYTES_MAX - 10) && two.take(10));
        assert!(!one.take(1) && !two.has_room(1) && two.take(0));
        one.give_back();
        assert!(two.take(ATTEMPT_BYTES_MAX - 10) && !two.take(1) && !two.take(usize::MAX));
        drop(two);
        assert!(one.take(ATTEMPT_BYTES_MAX));
    }
}
