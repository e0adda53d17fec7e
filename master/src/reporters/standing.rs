//! How one reporter fares, for whoever asks. Kept in memory only: what waits to be told is tried again after a start.

use crate::sources::Trouble;
use schema::values::Time;
use std::cell::RefCell;

/// Written by the reporter, read by others on its thread.
#[derive(Debug)]
pub struct Standing {
    /// The events that it tells: "newly-failing, fixed".
    pub what: String,
    /// "mail", or the program.
    pub means: String,
    trouble: RefCell<Option<Trouble>>,
}

impl Standing {
    pub(super) fn new(what: String, means: String) -> Standing {
        Standing { what, means, trouble: RefCell::default() }
    }

    pub(super) fn fails(&self, now: Time, why: &str) {
        let mut trouble = self.trouble.borrow_mut();
        *trouble = Some(Trouble::after(trouble.take(), now, why.to_owned()));
    }

    pub(super) fn is_well(&self) {
        *self.trouble.borrow_mut() = None;
    }

    /// Since the last time that all went well; none: it does.
    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble.borrow().clone()
    }
}
