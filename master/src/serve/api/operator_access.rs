//! The state that the objects of operators share.

use super::policy::{CurrentPolicy, Policy};
use super::viewer_access::ViewerAccess;
use super::{ApiParts, Holder};
use crate::commit::driver::Driver;
use crate::commit::state_reader::StateReader;
use crate::decide::coordinator::authority::Authority;
use crate::explain::doctor::{ConfigFacts, DoctorAccess};
use crate::intake::sources::Repositories;
use crate::serve::config_calls::ConfigCalls;
use schema::sturdy_ref::Fingerprint;
use schema::values::{Refusal, RefusalCode};
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

/// `OperatorAccess` is shared by the objects of operators. It has commands about workers and grants, the master file, and the facts for
/// examinations.
pub(super) struct OperatorAccess {
    viewer: Rc<ViewerAccess>,
    driver: Rc<Driver>,
    repositories: Rc<Repositories>,
    fingerprint: Fingerprint,
    policy: Rc<CurrentPolicy>,
    /// The channel to the task that reloads the master file. If it is not set, no such task runs.
    config_calls: OnceCell<ConfigCalls>,
    /// The facts from the master file that an examination needs. A reload replaces them.
    config_facts: RefCell<Rc<ConfigFacts>>,
}

impl OperatorAccess {
    pub(super) fn new(parts: &ApiParts, viewer: &Rc<ViewerAccess>, policy: &Rc<CurrentPolicy>) -> Rc<OperatorAccess> {
        Rc::new(OperatorAccess {
            viewer: viewer.clone(),
            driver: parts.driver.clone(),
            repositories: parts.repositories.clone(),
            fingerprint: parts.fingerprint,
            policy: policy.clone(),
            config_calls: OnceCell::new(),
            config_facts: RefCell::default(),
        })
    }

    pub(super) fn viewer(&self) -> &ViewerAccess {
        &self.viewer
    }

    pub(super) fn driver(&self) -> &Driver {
        &self.driver
    }

    /// Returns the fingerprint by which a worker knows that it talks to this master.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    pub(super) fn policy(&self) -> Rc<Policy> {
        self.policy.get()
    }

    pub(super) fn config_calls(&self) -> Result<&ConfigCalls, Refusal> {
        let text = "this master runs without a master file";
        self.config_calls.get().ok_or_else(|| Refusal::new(RefusalCode::Unavailable, text))
    }

    pub(super) fn set_config_calls(&self, calls: ConfigCalls) {
        assert!(self.config_calls.set(calls).is_ok(), "one task reloads the master file");
    }

    pub(super) fn set_config_facts(&self, config_facts: ConfigFacts) {
        self.config_facts.replace(Rc::new(config_facts));
    }

    pub(super) fn config_facts(&self) -> Rc<ConfigFacts> {
        self.config_facts.borrow().clone()
    }

    /// Returns what an examination for a holder may read: the part of the installation that its grant names.
    pub(super) fn reach(&self, holder: &Holder) -> DoctorAccess {
        DoctorAccess {
            state: StateReader::new(self.driver.clone()),
            readers: self.viewer.history(holder),
            repositories: self.repositories.clone(),
            config_facts: self.config_facts(),
            caller: holder.grant,
            what: holder.what.clone(),
            is_whole: Authority::of(holder.kind, &holder.what, None).is_whole(),
        }
    }
}
