//! The result of the last check of the whole store. It is kept in memory only, so each start begins without a result.

use schema::values::Time;
use std::cell::RefCell;

/// The result of the last check of all tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Soundness {
    /// No check of all tables has ended since the start.
    #[default]
    Unknown,
    /// All tables were good when the check ended.
    Good { at: Time },
    /// Something is damaged. `what` has one text for each damage that the check found.
    Damaged { at: Time, what: Vec<String> },
}

/// The cell that holds the result of the last check. The task that checks writes it, and others read it on the same thread.
#[derive(Debug, Default)]
pub struct SoundnessCell(RefCell<Soundness>);

impl SoundnessCell {
    /// Returns the result of the last check.
    pub fn get(&self) -> Soundness {
        self.0.borrow().clone()
    }

    /// Notes that a check of all tables ended. `what` lists the damage; empty means that all is good.
    pub(crate) fn note(&self, at: Time, what: Vec<String>) {
        *self.0.borrow_mut() = match what.is_empty() {
            true => Soundness::Good { at },
            false => Soundness::Damaged { at, what },
        };
    }
}
