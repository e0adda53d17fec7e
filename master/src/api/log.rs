//! The authority to read one step's log, live or sealed.

use super::{Office, broken};
use crate::coordinator::record::StepKey;
use crate::logs::Grip;
use schema::log_capnp::log_reader;
use std::io;
use std::rc::Rc;

/// The most that one read answers, in bytes.
const READ_MAX: u32 = 256 << 10;

pub(super) struct Reader {
    pub(super) office: Rc<Office>,
    pub(super) key: StepKey,
    pub(super) grip: Grip,
}

impl log_reader::Server for Reader {
    async fn size(
        self: Rc<Self>,
        _: log_reader::SizeParams,
        mut results: log_reader::SizeResults,
    ) -> capnp::Result<()> {
        let size = self.office.logs.size_on(self.key, &self.grip).await.map_err(unreadable)?;
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
        let read = self.office.logs.read_on(self.key, &self.grip, params.get_offset(), count);
        let chunk = read.await.map_err(unreadable)?;
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
        let waited = self.office.logs.wait_on(self.key, &self.grip, params.get()?.get_offset());
        let size = waited.await.map_err(unreadable)?;
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
        let found = self.office.logs.lines_on(self.key, &self.grip, params.get_first(), params.get_count());
        let lines = found.await.map_err(unreadable)?;
        let mut results = results.get();
        results.set_bytes(&lines.bytes);
        results.set_offset(lines.offset);
        Ok(())
    }

    async fn last_lines(
        self: Rc<Self>,
        params: log_reader::LastLinesParams,
        mut results: log_reader::LastLinesResults,
    ) -> capnp::Result<()> {
        let found = self.office.logs.last_lines_on(self.key, &self.grip, params.get()?.get_count());
        let (first, lines) = found.await.map_err(unreadable)?;
        let mut results = results.get();
        results.set_bytes(&lines.bytes);
        results.set_offset(lines.offset);
        results.set_first(first);
        Ok(())
    }
}

/// These methods have no refusal: an exception says that the log was removed meanwhile.
fn unreadable(error: io::Error) -> capnp::Error {
    match error.kind() == io::ErrorKind::NotFound {
        true => capnp::Error::failed(format!("notFound: {error}")),
        false => broken(error),
    }
}
