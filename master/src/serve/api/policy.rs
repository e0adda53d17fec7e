//! The parts of the master file that the API objects need.

use schema::values::{Scope, What};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A `Policy` holds the parts of the master file that the API objects need. A reload replaces it.
#[derive(Debug, Default)]
pub struct Policy {
    /// The addresses of this master that sturdy refs contain.
    pub advertise: Vec<String>,
    /// The roles: names for the rights and projects of grants.
    pub roles: BTreeMap<String, What>,
    /// The projects that everyone may look at.
    pub open: Scope,
    /// The most connections that one grant may have open, together with its browsers.
    pub connections: usize,
}

/// `CurrentPolicy` holds the policy that is in force.
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
