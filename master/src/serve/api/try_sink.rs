//! The sink for the pack of a try.

use super::sink::read_hash;
use super::submitter_access::SubmitterAccess;
use super::try_packs::{TryKey, TryPack};
use super::{accept, bounded};
use crate::keep::mirror::PackError;
use schema::common_capnp::byte_sink;
use schema::limits::borders::TRY_PACK;
use schema::limits::{self, BLAKE3, SINK_WRITE};
use schema::values::{Refusal, RefusalCode};
use std::rc::Rc;

pub(super) struct TrySink {
    pub(super) access: Rc<SubmitterAccess>,
    pub(super) key: TryKey,
}

impl TrySink {
    fn pack(&self) -> Result<Rc<TryPack>, Refusal> {
        let gone = || Refusal::new(RefusalCode::Stale, "the pack of this try was used or thrown away");
        self.access.tries().get(self.key).ok_or_else(gone)
    }

    async fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<u64, Refusal> {
        // On a full disk, space that becomes free is for the commits that wait.
        self.access.driver().admit()?;
        self.pack()?.pack.write(offset, bytes).await.map_err(|error| self.refusal(&error))
    }

    /// Says why bytes are not taken. A pack that can never be taken is thrown away.
    fn refusal(&self, error: &PackError) -> Refusal {
        let code = match error {
            PackError::Gap { .. } | PackError::Short { .. } => RefusalCode::Offset,
            PackError::Sealed => RefusalCode::Conflict,
            PackError::TooLarge | PackError::Damaged => RefusalCode::Invalid,
            PackError::Io(_) => RefusalCode::Unavailable,
        };
        if matches!(code, RefusalCode::Invalid | RefusalCode::Unavailable) {
            self.access.tries().remove(self.key);
        }
        let refusal = Refusal::new(code, error.to_string());
        if matches!(error, PackError::TooLarge) {
            return refusal.help(format!("ignore large files, or push first: only {} may be new", TRY_PACK.text()));
        }
        refusal
    }
}

impl byte_sink::Server for TrySink {
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
        let (received, sealed) = accept!(results, self.pack()).pack.size().await;
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
        let sealed = accept!(results, self.pack()).pack.seal(params.get_length(), hash).await;
        accept!(results, sealed.map_err(|error| self.refusal(&error)));
        Ok(())
    }
}
