//! Makes the objects for the holder of a grant. Of this room, only this file decides from the holder's rights which objects a holder
//! gets.

use super::changes::Changes;
use super::event::Events;
use super::live::{Connection, LiveObjects};
use super::operator::Operator;
use super::operator_access::OperatorAccess;
use super::policy::{CurrentPolicy, Policy};
use super::served::Served;
use super::submitter::Submitter;
use super::submitter_access::SubmitterAccess;
use super::viewer::Viewer;
use super::viewer_access::{MeasuredRepository, ViewedRepository, ViewerAccess};
use super::worker::WorkerCapability;
use super::worker_access::WorkerAccess;
use super::{ApiParts, Holder};
use crate::commit::driver::Driver;
use crate::decide::coordinator::record::{GrantId, GrantRow};
use crate::decide::coordinator::{Coordinator, account_of};
use crate::explain::doctor::ConfigFacts;
use crate::keep::blobs::Blobs;
use crate::keep::store::{Readers, Reading};
use crate::keep::turns::{PROGRAM, Principal};
use crate::keep::write_health::WriteHealth;
use schema::change_capnp::change_sink;
use schema::event_capnp::event_source;
use schema::gate::Gate;
use schema::grant_capnp::operator;
use schema::perspective_capnp::{submitter, viewer};
use schema::sturdy_ref::Fingerprint;
use schema::values::{Refusal, Right};
use schema::worker_capnp::worker_desk;
use std::cell::OnceCell;
use std::rc::Rc;

/// `GatewayAccess` is shared by the objects that check a credential. It has the grants, and makes the objects of their holders.
pub(super) struct GatewayAccess {
    driver: Rc<Driver>,
    readers: Readers,
    blobs: Rc<Blobs>,
    live: Rc<LiveObjects>,
    policy: Rc<CurrentPolicy>,
    writes: Rc<WriteHealth>,
    /// The address at which browsers reach the pages. If it is not set, there are no pages.
    pages: OnceCell<String>,
    viewer: Rc<ViewerAccess>,
    submitter: Rc<SubmitterAccess>,
    worker: Rc<WorkerAccess>,
    operator: Rc<OperatorAccess>,
}

impl GatewayAccess {
    pub(super) fn new(
        parts: &ApiParts,
        served: &Rc<Served>,
        policy: &Rc<CurrentPolicy>,
        viewer: Rc<ViewerAccess>,
        operator: Rc<OperatorAccess>,
    ) -> Rc<GatewayAccess> {
        Rc::new(GatewayAccess {
            driver: parts.driver.clone(),
            readers: parts.readers.clone(),
            blobs: parts.blobs.clone(),
            live: parts.live.clone(),
            policy: policy.clone(),
            writes: parts.logs.health(),
            pages: OnceCell::new(),
            submitter: SubmitterAccess::new(parts, served, &viewer),
            worker: WorkerAccess::new(parts, served),
            viewer,
            operator,
        })
    }

    pub(super) fn driver(&self) -> &Driver {
        &self.driver
    }

    /// Whether log files can be written: false if the newest write of some log failed.
    pub(super) fn can_write_logs(&self) -> bool {
        self.writes.trouble().is_none()
    }

    /// Returns the limit for the bytes of all stored files.
    pub(super) fn blob_quota(&self) -> u64 {
        self.blobs.quota()
    }

    pub(super) fn policy(&self) -> Rc<Policy> {
        self.policy.get()
    }

    pub(super) fn pages(&self) -> Option<&str> {
        self.pages.get().map(String::as_str)
    }

    pub(super) fn set_pages(&self, url: String) {
        assert!(self.pages.set(url).is_ok(), "the pages are opened once");
    }

    pub(super) fn incarnation(&self) -> u64 {
        self.viewer.cursor(0).incarnation
    }

    pub(super) fn submitter_access(&self) -> &SubmitterAccess {
        &self.submitter
    }

    /// Returns the grant that a token and a key name. It works on a full disk too, because otherwise nobody could read.
    pub(super) async fn grant_of(
        &self,
        token: [u8; 32],
        key: Option<Fingerprint>,
    ) -> Result<Option<GrantRow>, Refusal> {
        let look = |it: &Coordinator, now| it.grants().restorable(now, token, key).cloned();
        let full = match self.driver.look(look).await {
            Ok(row) => return Ok(row),
            Err(full) => full,
        };
        let row = self.driver.peek(look).ok_or(full.clone())?;
        // A grant that still waits for the disk must not be seen.
        let stored = self.committed_grant(row.id).await.filter(|stored| *stored == row);
        stored.map(Some).ok_or(full)
    }

    /// Returns a grant as it is in the store. Changes that wait for the disk are not in it.
    pub(super) async fn committed_grant(&self, id: GrantId) -> Option<GrantRow> {
        self.readers.of(Principal::Grant(id)).grant(id).await.ok().flatten()
    }

    /// Returns the facts about this installation that the doctor uses.
    pub(super) fn config_facts(&self) -> Rc<ConfigFacts> {
        self.operator.config_facts()
    }

    /// Returns a reader of history that reads in the turns of the program itself.
    pub(super) fn own_history(&self) -> Reading {
        self.readers.of(PROGRAM)
    }

    pub(super) fn measured_repositories(&self) -> Vec<MeasuredRepository> {
        self.viewer.repositories().iter().map(ViewedRepository::measured).collect()
    }

    /// Counts a connection as one of its grant's, up to the limit of the policy.
    pub(super) fn admit(&self, connection: &Connection, row: &GrantRow) -> Result<(), Refusal> {
        connection.sit(&self.live.seats, account_of(row), self.policy().connections)?;
        connection.add_grant(row.id);
        if let Some(vat) = connection.vat.borrow().as_ref() {
            vat.admit();
        }
        Ok(())
    }

    /// Returns the gate of a holder, through which everything passes that the holder gets.
    pub(super) fn gate(&self, holder: &Holder) -> Gate {
        self.live.gate(holder.grant, &holder.name)
    }

    /// Makes the object with which a worker attaches.
    pub(super) fn worker(&self, holder: Holder, gate: Gate, connection: Rc<Connection>) -> worker_desk::Client {
        capnp_rpc::new_client(WorkerCapability { access: self.worker.clone(), holder, gate, connection })
    }

    /// Makes a viewer for a page, behind the gate of its holder.
    pub(super) fn page_viewer(&self, holder: Holder) -> viewer::Client {
        self.gate(&holder).wrap(self.new_viewer(holder))
    }

    pub(super) fn viewer(&self, holder: &Holder) -> Option<viewer::Client> {
        has(holder, &[Right::View]).then(|| self.new_viewer(holder.clone()))
    }

    pub(super) fn submitter(&self, holder: &Holder) -> Option<submitter::Client> {
        let submitter = || Submitter { access: self.submitter.clone(), holder: holder.clone() };
        has(holder, &[Right::Run, Right::Retry, Right::Cancel, Right::Try]).then(|| capnp_rpc::new_client(submitter()))
    }

    pub(super) fn changes(&self, holder: &Holder) -> Option<change_sink::Client> {
        let changes = || Changes { access: self.submitter.clone(), holder: holder.clone() };
        has(holder, &[Right::Changes]).then(|| capnp_rpc::new_client(changes()))
    }

    pub(super) fn events(&self, holder: &Holder) -> Option<event_source::Client> {
        let events = || Events { access: self.viewer.clone(), holder: holder.clone() };
        has(holder, &[Right::Events, Right::View]).then(|| capnp_rpc::new_client(events()))
    }

    pub(super) fn operator(&self, holder: &Holder) -> Option<operator::Client> {
        let operator = || Operator { access: self.operator.clone(), holder: holder.clone() };
        has(holder, &[Right::Operate]).then(|| capnp_rpc::new_client(operator()))
    }

    fn new_viewer(&self, holder: Holder) -> viewer::Client {
        capnp_rpc::new_client(Viewer { access: self.viewer.clone(), holder })
    }
}

/// Whether a holder has one of these rights.
fn has(holder: &Holder, rights: &[Right]) -> bool {
    rights.iter().any(|right| holder.what.may.contains(right))
}
