//! One repository at one revision, as git packs.

use super::{accept, bounded};
use crate::mirror::{GitError, SharedPack};
use crate::sources::Repository;
use schema::common_capnp::byte_source;
use schema::limits::{self, COMMIT, HAVE};
use schema::values::{Refusal, RefusalCode, Source};
use schema::wire;
use schema::worker_capnp::source_pack;
use std::rc::Rc;

/// The most that one read answers, in bytes.
const READ_MAX: u32 = 256 << 10;

pub(super) struct SourcePack {
    pub(super) repository: Rc<Repository>,
    pub(super) source: Source,
}

impl source_pack::Server for SourcePack {
    async fn pack(
        self: Rc<Self>,
        params: source_pack::PackParams,
        mut results: source_pack::PackResults,
    ) -> capnp::Result<()> {
        let have = accept!(results, bounded(limits::texts(params.get()?.get_have(), &HAVE, &COMMIT))?);
        let packed = self.repository.mirror.pack(&self.source.revision, &have).await;
        let pack = accept!(results, packed.map_err(|error| cannot_pack(&self.repository, &self.source, &error)));
        let refs = pack.refs.clone();
        let mut results = results.get();
        wire::write_pairs(results.reborrow().init_refs(wire::length(refs.len())), &refs);
        results.set_pack(capnp_rpc::new_client(PackBytes { pack }));
        Ok(())
    }
}

fn cannot_pack(repository: &Repository, source: &Source, error: &GitError) -> Refusal {
    let text = format!("failed to pack {} of {}: {error}", source.revision, source.repository);
    let looks = repository.standing.looks();
    // as after a restore, which brings no mirrors
    let is_unread = looks.began.is_some() && looks.good.is_none();
    // a worker waits for what passes
    let code = if error.is_disk_full() || is_unread { RefusalCode::Unavailable } else { RefusalCode::NotFound };
    Refusal::new(code, text)
}

struct PackBytes {
    pack: SharedPack,
}

impl byte_source::Server for PackBytes {
    async fn size(
        self: Rc<Self>,
        _: byte_source::SizeParams,
        mut results: byte_source::SizeResults,
    ) -> capnp::Result<()> {
        results.get().set_size(self.pack.size);
        Ok(())
    }

    async fn read(
        self: Rc<Self>,
        params: byte_source::ReadParams,
        mut results: byte_source::ReadResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let (offset, count) = (params.get_offset(), params.get_count().min(READ_MAX));
        let pack = self.pack.clone();
        let read = tokio::task::spawn_blocking(move || pack.read(offset, count as usize)).await;
        let bytes = read.map_err(super::broken)?.map_err(super::broken)?;
        results.get().set_bytes(&bytes);
        Ok(())
    }
}
