//! Whether the store is sound, as far as somebody looked. Kept in memory only: each start looks anew.

use schema::values::Time;
use std::cell::RefCell;

/// What the last look at the whole store found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Soundness {
    /// Nobody has looked at all of it since the start.
    #[default]
    Unknown,
    /// All of it was good when the look ended.
    Good { at: Time },
    /// Something is damaged. Of the tables that are, what was said of each.
    Damaged { at: Time, what: Vec<String> },
}

/// Where the last look is noted: whoever looks writes it, and others read it on the same thread.
#[derive(Debug, Default)]
pub struct SoundnessCell(RefCell<Soundness>);

impl SoundnessCell {
    /// The answer of the newest check.
    pub fn get(&self) -> Soundness {
        self.0.borrow().clone()
    }

    /// A look at all tables ended. `what`: what is damaged.
    pub(crate) fn note(&self, at: Time, what: Vec<String>) {
        *self.0.borrow_mut() = match what.is_empty() {
            true => Soundness::Good { at },
            false => Soundness::Damaged { at, what },
        };
    }
}
