//! The authority to read one step's log, live or sealed.

use super::broken;
use super::served::Served;
use crate::decide::coordinator::record::StepKey;
use crate::keep::logs::{Grip, Logs};
use crate::keep::turns::Principal;
use schema::limits::PART;
use schema::log_capnp::log_reader;
use schema::vat::Outlet;
use std::io;
use std::rc::Rc;

/// The most bytes in the answer to one read, which is the limit of the protocol.
const READ_MAX: u32 = PART.most as u32;

/// A `Reader` reads one step's log for a holder.
pub(super) struct Reader {
    pub(super) logs: Rc<Logs>,
    pub(super) served: Rc<Served>,
    pub(super) key: StepKey,
    pub(super) grip: Rc<Grip>,
    /// The principal in whose turns the log is read.
    pub(super) principal: Principal,
    /// The outlet through which the answers go to the holder.
    pub(super) outlet: Outlet,
}

impl Reader {
    /// Reads from the log when it is the holder's turn.
    async fn read_in_turn<T: 'static>(
        &self,
        read: impl AsyncFnOnce(&Logs, &Grip) -> io::Result<T> + 'static,
    ) -> capnp::Result<T> {
        let _turn = self.outlet.turn().await;
        let (logs, grip) = (self.logs.clone(), self.grip.clone());
        let reading = async move { read(&logs, &grip).await };
        self.served.file(self.principal, reading).await?.map_err(unreadable)
    }
}

impl log_reader::Server for Reader {
    async fn size(
        self: Rc<Self>,
        _: log_reader::SizeParams,
        mut results: log_reader::SizeResults,
    ) -> capnp::Result<()> {
        let key = self.key;
        let size = self.read_in_turn(async move |logs, grip| logs.size_on(key, grip).await).await?;
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
        let (key, offset, count) = (self.key, params.get_offset(), params.get_count().min(READ_MAX));
        let chunk = self.read_in_turn(async move |logs, grip| logs.read_on(key, grip, offset, count).await).await?;
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
        let waited = self.logs.wait_on(self.key, &self.grip, params.get()?.get_offset());
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
        let (key, first, count) = (self.key, params.get_first(), params.get_count());
        let lines = self.read_in_turn(async move |logs, grip| logs.lines_on(key, grip, first, count).await).await?;
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
        let (key, count) = (self.key, params.get()?.get_count());
        let found = self.read_in_turn(async move |logs, grip| logs.last_lines_on(key, grip, count).await);
        let (first, lines) = found.await?;
        let mut results = results.get();
        results.set_bytes(&lines.bytes);
        results.set_offset(lines.offset);
        results.set_first(first);
        Ok(())
    }
}

/// Turns an error into an exception, because these methods have no field for a refusal. Retention may have removed the log, or the disk
/// may have changed it.
#[expect(clippy::wildcard_enum_match_arm, reason = "all other kinds say that it could not be read now")]
fn unreadable(error: io::Error) -> capnp::Error {
    match error.kind() {
        io::ErrorKind::NotFound => capnp::Error::failed(format!("notFound: {error}")),
        io::ErrorKind::InvalidData => {
            tracing::error!(%error, "a log is damaged");
            capnp::Error::failed(format!("damaged: the log is damaged: {error}"))
        }
        _ => broken(error),
    }
}
