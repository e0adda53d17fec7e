//! What retention takes out of history, as it asks the store for it.

use crate::decide::coordinator::record::BuildId;
use crate::keep::blobs::BlobHash;
use schema::values::Time;

/// What shall go, in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removal {
    /// Whole builds to remove, all of them finished.
    pub builds: Vec<BuildId>,
    /// The logs of finished builds, and why.
    pub logs: Vec<(BuildId, String)>,
}

/// What to sweep, in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// Builds that were removed and have no file left.
    pub unlinked: Vec<BuildId>,
    /// Blobs to which nothing refers, and whose files are gone.
    pub unlinked_blobs: Vec<BlobHash>,
    /// Events that are older than this go.
    pub events_before: Time,
    /// The most rows that go.
    pub rows: u32,
}

/// Why a removal removed nothing.
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
