//! A sealed file that a reader holds open. Retention unlinks files without asking their readers, and a reader that holds its
//! file can go on.

use super::Seal;
use super::file_work::FileWork;
use super::snapshot::{ByteSnapshot, Bytes};
use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The number of files that all readers of one kind of bytes hold open together, at most. A reader beyond it opens its file for
/// each read, and gets an error once the file was removed.
pub(in crate::keep) const HELD_MAX: usize = 128;

/// The hold of one reader on one sealed file; empty until the reader has opened the file.
#[derive(Default)]
pub struct Grip(RefCell<Option<OpenFile>>);

struct OpenFile {
    seal: Seal,
    source: ByteSnapshot,
    _room: OwnedSemaphorePermit,
}

impl Grip {
    pub(in crate::keep) fn source(&self) -> Option<ByteSnapshot> {
        self.0.borrow().as_ref().map(|held| held.source.clone())
    }

    pub(in crate::keep) fn seal(&self) -> Option<Seal> {
        self.0.borrow().as_ref().map(|held| held.seal)
    }

    /// Opens a sealed file and holds it if the number of held files allows it. Returns the bytes to read from.
    pub(in crate::keep) async fn close_on(
        &self,
        on: FileWork,
        room: &Arc<Semaphore>,
        seal: Seal,
        source: ByteSnapshot,
    ) -> io::Result<ByteSnapshot> {
        let Bytes::Closed(_) = source.bytes else { return Ok(source) };
        let Ok(permit) = room.clone().try_acquire_owned() else { return Ok(source) };
        let source = on.run(move || source.opened()).await?;
        *self.0.borrow_mut() = Some(OpenFile { seal, source: source.clone(), _room: permit });
        Ok(source)
    }
}
