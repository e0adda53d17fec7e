//! What a reader holds open of a large sealed log: retention unlinks files and asks nobody, and whoever reads goes on.

use super::snapshot::{Bytes, LogSnapshot};
use crate::decide::coordinator::record::SealRow;
use crate::keep::logs::files::Files;
use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Files held open by all readers; those beyond open theirs for each read, and learn when it was removed.
pub(in crate::keep) const HELD_MAX: usize = 128;

/// Belongs to one reader of one log.
#[derive(Default)]
pub struct Grip(RefCell<Option<Held>>);

struct Held {
    seal: SealRow,
    source: LogSnapshot,
    _room: OwnedSemaphorePermit,
}

impl Grip {
    pub(in crate::keep) fn source(&self) -> Option<LogSnapshot> {
        self.0.borrow().as_ref().map(|held| held.source.clone())
    }

    pub(in crate::keep) fn seal(&self) -> Option<SealRow> {
        self.0.borrow().as_ref().map(|held| held.seal.clone())
    }

    /// Opens a sealed log's file, and holds it where there is room.
    pub(in crate::keep) async fn close_on(
        &self,
        files: &Files,
        room: &Arc<Semaphore>,
        seal: SealRow,
        source: LogSnapshot,
    ) -> io::Result<LogSnapshot> {
        let Bytes::Closed(_) = source.bytes else { return Ok(source) };
        let Ok(permit) = room.clone().try_acquire_owned() else { return Ok(source) };
        let source = files.run(move || source.opened()).await?;
        *self.0.borrow_mut() = Some(Held { seal, source: source.clone(), _room: permit });
        Ok(source)
    }
}
