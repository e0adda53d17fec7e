//! The state that the objects of workers share: their sessions, their leases, and what a lease gives.

use super::ApiParts;
use super::live::LiveObjects;
use super::served::Served;
use super::source::{LeasePacks, SourcePack};
use crate::commit::driver::Driver;
use crate::intake::sources::Repositories;
use crate::keep::blobs::Blobs;
use crate::keep::logs::Logs;
use schema::values::{Refusal, RefusalCode, SourceRevision};
use std::rc::Rc;

/// `WorkerAccess` is what the objects of workers share. These objects read no history, and know no other holders.
pub(super) struct WorkerAccess {
    driver: Rc<Driver>,
    logs: Rc<Logs>,
    blobs: Rc<Blobs>,
    live: Rc<LiveObjects>,
    served: Rc<Served>,
    repositories: Rc<Repositories>,
}

impl WorkerAccess {
    pub(super) fn new(parts: &ApiParts, served: &Rc<Served>) -> Rc<WorkerAccess> {
        Rc::new(WorkerAccess {
            driver: parts.driver.clone(),
            logs: parts.logs.clone(),
            blobs: parts.blobs.clone(),
            live: parts.live.clone(),
            served: served.clone(),
            repositories: parts.repositories.clone(),
        })
    }

    pub(super) fn driver(&self) -> &Driver {
        &self.driver
    }

    pub(super) fn logs(&self) -> &Logs {
        &self.logs
    }

    pub(super) fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    pub(super) fn live(&self) -> &LiveObjects {
        &self.live
    }

    /// Returns the packs of a source, for the worker that holds the lease.
    pub(super) fn source_pack(&self, source: SourceRevision, packs: Rc<LeasePacks>) -> Result<SourcePack, Refusal> {
        let repository = self.repositories.get(&source.repository).ok_or_else(|| {
            let text = format!("the repository `{}` is no longer configured", source.repository);
            Refusal::new(RefusalCode::NotFound, text)
        })?;
        Ok(SourcePack { served: self.served.clone(), repository, source, packs })
    }
}
