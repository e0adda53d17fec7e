//! A limit on the bytes of one kind that wait to be written.

use std::io;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The number of bytes that may wait to be written, over all writers of one kind: 32 MiB. That is some dozens of the largest
/// writes.
const QUEUED_MAX: usize = 32 << 20;

/// The room for bytes that wait to be written.
#[derive(Debug)]
pub(in crate::keep) struct WriteRoom(Arc<Semaphore>);

impl Default for WriteRoom {
    fn default() -> WriteRoom {
        WriteRoom(Arc::new(Semaphore::new(QUEUED_MAX)))
    }
}

impl WriteRoom {
    /// Waits until this many bytes may be queued. Dropping the permit gives their room back.
    pub(in crate::keep) async fn take(&self, bytes: usize) -> io::Result<OwnedSemaphorePermit> {
        let wanted = u32::try_from(bytes.min(QUEUED_MAX)).unwrap_or(u32::MAX);
        self.0.clone().acquire_many_owned(wanted).await.map_err(io::Error::other)
    }
}
