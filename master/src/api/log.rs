//! The authority to read one step's log, live or sealed.

use super::{Office, broken};
use crate::coordinator::record::StepKey;
use schema::log_capnp::log_reader;
use std::rc::Rc;

/// The most that one read answers, in bytes.
const READ_MAX: u32 = 256 << 10;

pub(super) struct Reader {
    pub(super) office: Rc<Office>,
    pub(super) key: StepKey,
}

impl log_reader::Server for Reader {
    async fn size(
        self: Rc<Self>,
        _: log_reader::SizeParams,
        mut results: log_reader::SizeResults,
    ) -> capnp::Result<()> {
        let size = self.office.logs.size(self.key).await.map_err(broken)?;
        let mut results = results.get();
        results.set_size(size.size);
        results.set_sealed(size.sealed);
        if let Some(hash) = size.hash {
            results.set_hash(&hash);
        }
        Ok(())
    }

    async fn read(
        self: Rc<Self>,
        params: log_reader::ReadParams,
        mut results: log_reader::ReadResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let count = params.get_count().min(READ_MAX);
        let chunk = self.office.logs.read(self.key, params.get_offset(), count).await.map_err(broken)?;
        let mut results = results.get();
        results.set_bytes(&chunk.bytes);
        results.set_sealed(chunk.sealed);
        Ok(())
    }

    async fn wait(
        self: Rc<Self>,
        params: log_reader::WaitParams,
        mut results: log_reader::WaitResults,
    ) -> capnp::Result<()> {
        let size = self.office.logs.wait(self.key, params.get()?.get_offset()).await.map_err(broken)?;
        let mut results = results.get();
        results.set_size(size.size);
        results.set_sealed(size.sealed);
        Ok(())
    }

    async fn lines(
        self: Rc<Self>,
        params: log_reader::LinesParams,
        mut results: log_reader::LinesResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let lines = self.office.logs.lines(self.key, params.get_first(), params.get_count()).await.map_err(broken)?;
        let mut results = results.get();
        results.set_bytes(&lines.bytes);
        results.set_offset(lines.offset);
        Ok(())
    }
}
