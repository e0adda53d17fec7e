//! The refs whose update cannot be read. Such a ref is left out alone, and stops no other. It is tried again when it moves, and otherwise
//! after a pause that grows.

use crate::keep::mirror::{GitError, RefusedRef};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// The most refs that are recorded. Refs beyond the limit are tried at each look.
const NOTED_MAX: usize = 1_000;
/// The most refs that people are shown.
const TOLD_MAX: usize = 100;
/// The pause before the second attempt, and the longest pause between two attempts.
const AGAIN_FIRST: Duration = Duration::from_secs(60);
const AGAIN_MAX: Duration = Duration::from_secs(3600);

/// `Unreadable` records the refs that cannot be read, by name.
#[derive(Debug, Default)]
pub(super) struct Unreadable(BTreeMap<String, Attempt>);

#[derive(Debug)]
struct Attempt {
    /// The tip of the ref at that attempt.
    revision: String,
    failures: u32,
    again: Instant,
    why: String,
}

impl Unreadable {
    /// Whether this ref is to be read now. It is not if reading the same tip failed a short time ago.
    pub(super) fn may_try(&self, name: &str, revision: &str, now: Instant) -> bool {
        self.0.get(name).is_none_or(|attempt| attempt.revision != revision || attempt.again <= now)
    }

    /// Records that a ref could not be read, and returns the report for people.
    pub(super) fn note(&mut self, name: &str, revision: &str, error: &GitError, now: Instant) -> RefusedRef {
        let before = self.0.get(name).filter(|attempt| attempt.revision == revision).map_or(0, |it| it.failures);
        let pause = AGAIN_FIRST.saturating_mul(2_u32.saturating_pow(before)).min(AGAIN_MAX);
        let why = format!("its update cannot be read: {error}");
        if self.0.len() < NOTED_MAX || self.0.contains_key(name) {
            let attempt =
                Attempt { revision: revision.to_owned(), failures: before + 1, again: now + pause, why: why.clone() };
            self.0.insert(name.to_owned(), attempt);
        }
        RefusedRef { name: name.to_owned(), why }
    }

    pub(super) fn forget(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// Forgets the refs that no longer exist.
    pub(super) fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| is_there(name));
    }

    pub(super) fn why(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|attempt| attempt.why.as_str())
    }

    pub(super) fn told(&self) -> impl Iterator<Item = RefusedRef> + '_ {
        let refused =
            |(name, attempt): (&String, &Attempt)| RefusedRef { name: name.clone(), why: attempt.why.clone() };
        self.0.iter().take(TOLD_MAX).map(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_tried_when_it_moves_or_later() {
        let (mut unreadable, now) = (Unreadable::default(), Instant::now());
        let error = GitError::TooMuch { verb: "log", limit: 1 };
        assert!(unreadable.may_try("a", "1", now));
        let told = unreadable.note("a", "1", &error, now);
        assert_eq!(told.why, "its update cannot be read: git log wrote more than 1 bytes");
        assert!(!unreadable.may_try("a", "1", now) && unreadable.may_try("a", "2", now));
        let later = now + AGAIN_FIRST;
        assert!(unreadable.may_try("a", "1", later));
        unreadable.note("a", "1", &error, later);
        assert!(!unreadable.may_try("a", "1", later + AGAIN_FIRST), "it waits for twice as long");
        unreadable.note("a", "2", &error, later);
        assert!(unreadable.may_try("a", "2", later + AGAIN_FIRST), "where it moved it begins anew");
        assert_eq!(unreadable.told().count(), 1);
        unreadable.keep(|name| name != "a");
        assert_eq!(unreadable.why("a"), None);
    }
}
