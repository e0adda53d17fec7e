//! The sink for the bytes of one file of an attempt.

use super::worker_access::WorkerAccess;
use super::{accept, bounded};
use crate::decide::coordinator::record::{JobKey, LeaseToken, UploadKey};
use crate::keep::blobs::{BlobWrite, Blobs};
use crate::keep::bytes::Seal;
use schema::common_capnp::byte_sink;
use schema::limits::{self, BLAKE3, SINK_WRITE};
use schema::values::{Refusal, RefusalCode};
use std::rc::Rc;

/// An `ArtifactSink` takes the bytes of one file of a lease.
pub(super) struct ArtifactSink {
    pub(super) access: Rc<WorkerAccess>,
    pub(super) token: LeaseToken,
    pub(super) path: String,
}

impl ArtifactSink {
    /// Returns the key of the upload, if the lease is in force.
    fn key(&self) -> Result<UploadKey, Refusal> {
        self.access.driver().peek(|it, _| it.lease_upload(self.token, &self.path))
    }

    async fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<u64, Refusal> {
        // On a full disk, space that becomes free is for the commits that wait.
        self.access.driver().admit()?;
        let room = self.access.blobs().room(bytes.len()).await?;
        // This is checked after the wait, because no write may begin once its attempt has ended.
        let key = self.key()?;
        let write = BlobWrite { bytes: bytes.to_vec(), room };
        let received = self.access.blobs().write(&key, offset, write).await?;
        self.access.driver().mark(|it, now| it.log_grew(now, self.token));
        Ok(received)
    }

    /// Stores the bytes under their hash, and commits the reference to them.
    async fn seal_as(self: Rc<Self>, claimed: Seal) -> Result<(), Refusal> {
        self.access.driver().admit()?;
        let placed = self.access.blobs().place(&self.key()?, claimed).await?;
        if placed.is_recorded {
            return Ok(());
        }
        let (token, path) = (self.token, self.path.as_str());
        let blob = (claimed.size, claimed.hash);
        self.access.driver().call(|it, now| it.refer_to_blob(now, token, path, blob)).await?;
        self.access.blobs().record(placed);
        Ok(())
    }
}

impl byte_sink::Server for ArtifactSink {
    async fn write(
        self: Rc<Self>,
        params: byte_sink::WriteParams,
        mut results: byte_sink::WriteResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let bytes = accept!(results, bounded(limits::data(params.get_bytes(), &SINK_WRITE))?);
        let received = accept!(results, self.write_at(params.get_offset(), bytes).await);
        results.get().set_received(received);
        Ok(())
    }

    async fn size(self: Rc<Self>, _: byte_sink::SizeParams, mut results: byte_sink::SizeResults) -> capnp::Result<()> {
        let key = accept!(results, self.key());
        let (received, sealed) = accept!(results, self.access.blobs().received(&key).await);
        let mut results = results.get();
        results.set_received(received);
        results.set_sealed(sealed);
        Ok(())
    }

    async fn seal(
        self: Rc<Self>,
        params: byte_sink::SealParams,
        mut results: byte_sink::SealResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let hash = accept!(results, bounded(limits::data(params.get_blake3(), &BLAKE3))?);
        let hash = accept!(results, read_hash(hash));
        let claimed = Seal { size: params.get_length(), hash };
        // The sealing runs in a task of its own, so it completes even if its caller is gone, because a file that has its name must be
        // recorded.
        let sealing = tokio::task::spawn_local(self.seal_as(claimed));
        accept!(results, sealing.await.map_err(super::broken)?);
        Ok(())
    }
}

/// Reads a BLAKE3 hash, which has 32 bytes.
pub(super) fn read_hash(bytes: &[u8]) -> Result<[u8; 32], Refusal> {
    let wrong = |_| Refusal::new(RefusalCode::Invalid, format!("a BLAKE3 must have 32 bytes, not {}", bytes.len()));
    bytes.try_into().map_err(wrong)
}

/// Removes the files that an ended attempt did not seal. If that fails now, the next start removes them.
pub(super) async fn end_uploads(blobs: &Blobs, job: JobKey, attempt: u16) {
    if let Err(error) = blobs.end_attempt(job, attempt).await {
        tracing::warn!(?job, attempt, %error, "files that an attempt did not seal cannot be removed");
    }
}
