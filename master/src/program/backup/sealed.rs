//! Whether the logs and the stored files of a backup are those that its store names: by length and BLAKE3.

use crate::keep::bytes::Seal;
use crate::keep::store::{self, SealedFiles, StoreError};
use crate::keep::{blobs, logs};
use std::collections::BTreeMap;
use std::path::Path;

/// Files that an error names. More help nobody: a backup that was good has them all.
const NAMED_MAX: usize = 5;

/// The sealed files that a store names, by their path in the state directory.
#[derive(Debug, Default)]
pub(super) struct ExpectedFiles(BTreeMap<String, Seal>);

impl ExpectedFiles {
    /// The files that the database at a path names.
    pub(super) fn of(database: &Path) -> Result<ExpectedFiles, StoreError> {
        let SealedFiles { logs, blobs } = store::sealed_files(database)?;
        let logs = logs.iter().map(|row| (logs::path_below(row.key), Seal { size: row.size, hash: row.hash }));
        let blobs = blobs.into_iter().map(|seal| (blobs::path_below(&seal.hash), seal));
        let named = logs.chain(blobs).map(|(path, seal)| (path.to_string_lossy().into_owned(), seal));
        Ok(ExpectedFiles(named.collect()))
    }

    /// Notes a file as it was added. Those that are whole are no longer looked for.
    pub(super) fn found(&mut self, name: &str, found: &Seal) {
        if self.0.get(name) == Some(found) {
            self.0.remove(name);
        }
    }

    /// Leaves only what another list has too: the rest was removed by retention meanwhile.
    pub(super) fn keep_those_of(&mut self, other: &ExpectedFiles) {
        self.0.retain(|name, _| other.0.contains_key(name));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is wrong with those that are left: `logs/0/7/0.1.0.log is gone`.
    pub(super) fn told(&self, state: &Path) -> Vec<String> {
        let told = self.0.iter().map(|(name, seal)| {
            let what = match std::fs::metadata(state.join(name)).map(|file| file.len()) {
                Ok(size) if size == seal.size => "is not what was written: its hash differs".to_owned(),
                Ok(size) => format!("has {size} of {} bytes", seal.size),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => "is gone".to_owned(),
                Err(error) => format!("cannot be read: {error}"),
            };
            format!("{name} {what}")
        });
        let more = self.0.len().saturating_sub(NAMED_MAX);
        let rest = (more > 0).then(|| format!("and {more} more"));
        told.take(NAMED_MAX).chain(rest).collect()
    }
}
