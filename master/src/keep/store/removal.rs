//! What retention asks the store to remove from history.

use crate::decide::coordinator::record::BuildId;
use crate::keep::blobs::BlobHash;
use schema::values::Time;

/// The builds and logs to remove in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removal {
    /// The builds to remove as a whole; all of them are finished.
    pub builds: Vec<BuildId>,
    /// The finished builds whose logs are to be removed, each with the reason.
    pub logs: Vec<(BuildId, String)>,
}

/// The rows to delete in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// The builds that were removed and have no file left.
    pub unlinked: Vec<BuildId>,
    /// The blobs to which nothing refers and whose files are gone.
    pub unlinked_blobs: Vec<BlobHash>,
    /// The time before which events and changes are deleted.
    pub events_before: Time,
    /// The number of rows to delete, at most.
    pub rows: u32,
}

/// Why a removal, a sweep or the recording of test results changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    #[error("the disk is full")]
    Full,
    #[error("{0}")]
    Failed(String),
}

impl Removal {
    pub fn is_empty(&self) -> bool {
        self.builds.is_empty() && self.logs.is_empty()
    }
}
