//! Serves the bytes of a sealed blob to a holder who may look at a build that refers to it.

use super::broken;
use super::served::Served;
use crate::keep::blobs::{BlobReader, Blobs};
use crate::keep::turns::Principal;
use schema::common_capnp::byte_source;
use schema::limits::PART;
use schema::vat::Outlet;
use std::io;
use std::rc::Rc;

/// The most bytes in the answer to one read, which is the limit of the protocol.
const READ_MAX: u32 = PART.most as u32;

/// `BlobBytes` serves the bytes of one blob.
pub(super) struct BlobBytes {
    pub(super) blobs: Rc<Blobs>,
    pub(super) served: Rc<Served>,
    pub(super) reader: Rc<BlobReader>,
    /// The principal in whose turns the bytes are read.
    pub(super) principal: Principal,
    /// The outlet through which the answers go to the holder.
    pub(super) outlet: Outlet,
}

impl byte_source::Server for BlobBytes {
    async fn size(
        self: Rc<Self>,
        _: byte_source::SizeParams,
        mut results: byte_source::SizeResults,
    ) -> capnp::Result<()> {
        results.get().set_size(self.reader.seal.size);
        Ok(())
    }

    async fn read(
        self: Rc<Self>,
        params: byte_source::ReadParams,
        mut results: byte_source::ReadResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let (offset, count) = (params.get_offset(), params.get_count().min(READ_MAX));
        let _turn = self.outlet.turn().await;
        let (blobs, reader) = (self.blobs.clone(), self.reader.clone());
        let reading = async move { blobs.read(&reader, offset, count).await };
        let bytes = self.served.file(self.principal, reading).await?.map_err(unreadable)?;
        results.get().set_bytes(&bytes);
        Ok(())
    }
}

/// Turns an error into an exception, because these methods have no field for a refusal. Retention may have removed the blob, or the disk
/// may have changed it.
#[expect(clippy::wildcard_enum_match_arm, reason = "all other kinds say that it could not be read now")]
fn unreadable(error: io::Error) -> capnp::Error {
    match error.kind() {
        io::ErrorKind::NotFound => {
            capnp::Error::failed("notFound: the blob was removed by retention, with its build".to_owned())
        }
        io::ErrorKind::InvalidData => capnp::Error::failed(format!("damaged: the stored file is damaged: {error}")),
        _ => broken(error),
    }
}
