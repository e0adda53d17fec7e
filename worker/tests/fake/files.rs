//! The files of attempts that the played master stores.

use super::Master;
use schema::common_capnp::byte_sink;
use schema::values::{Refusal, RefusalCode};
use schema::wire;
use std::rc::Rc;

/// `Keeping` is how the master treats files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Keeping {
    #[default]
    All,
    /// The master is older and does not know files.
    Unknown,
    /// The master refuses files, because a quota is used up.
    Refused,
    /// The master takes the beginning of each file, and then has no room.
    Full,
}

impl Keeping {
    pub(super) fn sink_refusal(self) -> capnp::Result<Option<Refusal>> {
        match self {
            Keeping::All | Keeping::Full => Ok(None),
            Keeping::Unknown => Err(capnp::Error::unimplemented("artifact".to_owned())),
            Keeping::Refused => Ok(Some(Refusal::new(RefusalCode::Conflict, "the project has no room left"))),
        }
    }
}

/// `StoredFile` is the part of a file that has arrived.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoredFile {
    pub(crate) bytes: Vec<u8>,
    pub(crate) is_sealed: bool,
    /// The number of calls with bytes that had already arrived.
    pub(crate) repeated: usize,
}

pub(super) struct FileSink {
    master: Rc<Master>,
    path: String,
}

impl FileSink {
    pub(super) fn new(master: &Rc<Master>, path: String) -> FileSink {
        FileSink { master: master.clone(), path }
    }

    fn change<T>(&self, change: impl FnOnce(&mut StoredFile) -> T) -> T {
        let mut answer = None;
        self.master.hear(|heard| answer = Some(change(heard.files.entry(self.path.clone()).or_default())));
        answer.unwrap()
    }
}

impl byte_sink::Server for FileSink {
    async fn write(
        self: Rc<Self>,
        params: byte_sink::WriteParams,
        mut results: byte_sink::WriteResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let (offset, bytes) = (usize::try_from(params.get_offset()).unwrap(), params.get_bytes()?);
        let is_full = self.master.keeping.get() == Keeping::Full;
        let received = self.change(|file| {
            file.repeated += usize::from(offset < file.bytes.len());
            let taken = if is_full { &bytes[..bytes.len().min(10)] } else { bytes };
            if offset <= file.bytes.len() {
                file.bytes.extend_from_slice(taken.get(file.bytes.len() - offset..).unwrap_or(&[]));
            }
            file.bytes.len()
        });
        results.get().set_received(received as u64);
        if is_full && offset > 0 {
            let refusal = Refusal::new(RefusalCode::Unavailable, "disk full");
            wire::write_refusal(results.get().init_refusal(), &refusal);
        }
        Ok(())
    }

    async fn size(self: Rc<Self>, _: byte_sink::SizeParams, mut results: byte_sink::SizeResults) -> capnp::Result<()> {
        let (size, is_sealed) = self.change(|file| (file.bytes.len(), file.is_sealed));
        results.get().set_received(size as u64);
        results.get().set_sealed(is_sealed);
        Ok(())
    }

    async fn seal(
        self: Rc<Self>,
        params: byte_sink::SealParams,
        mut results: byte_sink::SealResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let (length, hash) = (params.get_length(), params.get_blake3()?.to_vec());
        let is_right = self.change(|file| {
            let is_right = file.bytes.len() as u64 == length && blake3::hash(&file.bytes).as_bytes()[..] == hash;
            file.is_sealed = is_right;
            is_right
        });
        if !is_right {
            let refusal = Refusal::new(RefusalCode::Invalid, "the hash is wrong");
            wire::write_refusal(results.get().init_refusal(), &refusal);
        }
        Ok(())
    }
}
