//! Checks, by length and BLAKE3, that the logs and the stored files of a backup are those that its store names.

use crate::keep::bytes::Seal;
use crate::keep::store::{self, SealedFiles, StoreError};
use crate::keep::{blobs, logs};
use std::collections::BTreeMap;
use std::path::Path;

/// The most damaged files that an error names. More names would help nobody, because an earlier good backup has all files.
const NAMED_MAX: usize = 5;

/// `ExpectedFiles` holds the sealed files that a store names and that were not found whole yet, by their path in the state directory.
#[derive(Debug, Default)]
pub(super) struct ExpectedFiles(BTreeMap<String, Seal>);

impl ExpectedFiles {
    /// Returns the files that a database names.
    pub(super) fn of(database: &Path) -> Result<ExpectedFiles, StoreError> {
        let SealedFiles { logs, blobs } = store::sealed_files(database)?;
        let logs = logs.iter().map(|row| (logs::path_below(row.key), Seal { size: row.size, hash: row.hash }));
        let blobs = blobs.into_iter().map(|seal| (blobs::path_below(&seal.hash), seal));
        let named = logs.chain(blobs).map(|(path, seal)| (path.to_string_lossy().into_owned(), seal));
        Ok(ExpectedFiles(named.collect()))
    }

    /// Records a file as it was added. A file that is whole is no longer expected.
    pub(super) fn found(&mut self, name: &str, found: &Seal) {
        if self.0.get(name) == Some(found) {
            self.0.remove(name);
        }
    }

    /// Keeps only the files that another list has too. Retention removed the others meanwhile.
    pub(super) fn keep_those_of(&mut self, other: &ExpectedFiles) {
        self.0.retain(|name, _| other.0.contains_key(name));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns what is wrong with the files that are left, for example `logs/0/7/0.1.0.log is gone`.
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
