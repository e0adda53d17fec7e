//! The parts of the master file that the objects tell or obey.

use schema::values::{Scope, What};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// The parts of the master file that the objects tell. They are replaced when the file is read again.
#[derive(Debug, Default)]
pub struct Policy {
    /// The addresses of this master for sturdy refs.
    pub advertise: Vec<String>,
    /// Names for what grants allow.
    pub roles: BTreeMap<String, What>,
    /// The projects that everyone may look at.
    pub open: Scope,
    /// The most connections that one grant has open, together with its browsers.
    pub connections: usize,
}

/// The policy that is in force.
pub(super) struct CurrentPolicy(RefCell<Rc<Policy>>);

impl CurrentPolicy {
    pub(super) fn new(policy: Policy) -> Rc<CurrentPolicy> {
        Rc::new(CurrentPolicy(RefCell::new(Rc::new(policy))))
    }

    pub(super) fn get(&self) -> Rc<Policy> {
        self.0.borrow().clone()
    }

    pub(super) fn replace(&self, policy: Policy) {
        self.0.replace(Rc::new(policy));
    }
}
