//! Serves one repository at one revision, as git packs. Packs are made in turns: one at a time for a lease, and a few for a worker.

use super::served::Served;
use super::{accept, bounded};
use crate::intake::sources::Repository;
use crate::keep::mirror::{GitError, SharedPack};
use crate::keep::turns::Principal;
use schema::common_capnp::byte_source;
use schema::limits::borders::PACKS_HELD;
use schema::limits::{self, COMMIT, HAVE, PART};
use schema::values::{Refusal, RefusalCode, SourceRevision};
use schema::wire;
use schema::worker_capnp::source_pack;
use std::cell::Cell;
use std::rc::Rc;
use tokio::sync::Semaphore;

/// The most bytes in the answer to one read, which is the limit of the protocol.
const READ_MAX: u32 = PART.most as u32;
/// The most packs that one lease may hold, because each is a file and a descriptor of the master. A worker fetches one, and perhaps
/// another after its link was lost.
const HELD_MAX: usize = PACKS_HELD.count();

/// `LeasePacks` counts the packs of one lease.
pub(super) struct LeasePacks {
    /// The permit to make a pack. There is only one, so a lease makes one pack at a time.
    making: Semaphore,
    held: Cell<usize>,
    /// The principal in whose turns the packs are made and read.
    principal: Principal,
}

impl LeasePacks {
    pub(super) fn new(principal: Principal) -> Rc<LeasePacks> {
        Rc::new(LeasePacks { making: Semaphore::new(1), held: Cell::new(0), principal })
    }
}

/// A `SourcePack` is one repository at one revision, for the worker that holds the lease.
pub(super) struct SourcePack {
    pub(super) served: Rc<Served>,
    pub(super) repository: Rc<Repository>,
    pub(super) source: SourceRevision,
    pub(super) packs: Rc<LeasePacks>,
}

impl SourcePack {
    /// Makes a pack when it is this lease's turn. If the lease ends meanwhile, its gate drops the call, and with it the place in the
    /// queue.
    async fn make(&self, have: &[String]) -> Result<LeasedPack, Refusal> {
        let closed = |_| Refusal::new(RefusalCode::Unavailable, "the master is stopping");
        let _one = self.packs.making.acquire().await.map_err(closed)?;
        if self.packs.held.get() >= HELD_MAX {
            let text = format!("this lease already holds {HELD_MAX} packs, and may hold no more");
            return Err(Refusal::new(RefusalCode::Conflict, text).help("drop packs that are no longer needed"));
        }
        let _turn = self.served.packs.turn(self.packs.principal).await;
        let packed = self.repository.mirror.pack(&self.source.revision, have).await;
        let pack = packed.map_err(|error| cannot_pack(&self.repository, &self.source, &error))?;
        self.packs.held.update(|held| held + 1);
        Ok(LeasedPack { pack, packs: self.packs.clone() })
    }
}

impl source_pack::Server for SourcePack {
    async fn pack(
        self: Rc<Self>,
        params: source_pack::PackParams,
        mut results: source_pack::PackResults,
    ) -> capnp::Result<()> {
        let have = accept!(results, bounded(limits::texts(params.get()?.get_have(), &HAVE, &COMMIT))?);
        let held = accept!(results, self.make(&have).await);
        let mut results = results.get();
        wire::write_pairs(results.reborrow().init_refs(wire::length(held.pack.refs.len())), &held.pack.refs);
        results.set_pack(capnp_rpc::new_client(PackBytes { served: self.served.clone(), held }));
        Ok(())
    }
}

fn cannot_pack(repository: &Repository, source: &SourceRevision, error: &GitError) -> Refusal {
    let text = format!("failed to pack {} of {}: {error}", source.revision, source.repository);
    let looks = repository.health.looks();
    // The repository was never read, as after a restore, which brings no mirrors.
    let is_unread = looks.began.is_some() && looks.good.is_none();
    // `Unavailable` makes a worker wait, because the trouble is temporary.
    let code = if error.is_disk_full() || is_unread { RefusalCode::Unavailable } else { RefusalCode::NotFound };
    Refusal::new(code, text)
}

/// A `LeasedPack` is a pack that a lease holds. Dropping it releases it.
struct LeasedPack {
    pack: SharedPack,
    packs: Rc<LeasePacks>,
}

impl Drop for LeasedPack {
    fn drop(&mut self) {
        self.packs.held.update(|held| held - 1);
    }
}

/// `PackBytes` serves the bytes of one pack.
struct PackBytes {
    served: Rc<Served>,
    held: LeasedPack,
}

impl byte_source::Server for PackBytes {
    async fn size(
        self: Rc<Self>,
        _: byte_source::SizeParams,
        mut results: byte_source::SizeResults,
    ) -> capnp::Result<()> {
        results.get().set_size(self.held.pack.size);
        Ok(())
    }

    async fn read(
        self: Rc<Self>,
        params: byte_source::ReadParams,
        mut results: byte_source::ReadResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let (offset, count) = (params.get_offset(), params.get_count().min(READ_MAX));
        let pack = self.held.pack.clone();
        let reading = async move { tokio::task::spawn_blocking(move || pack.read(offset, count as usize)).await };
        let read = self.served.file(self.held.packs.principal, reading).await?;
        let bytes = read.map_err(super::broken)?.map_err(super::broken)?;
        results.get().set_bytes(&bytes);
        Ok(())
    }
}
