//! Finds the bytes of sealed logs.

use super::LogExtent;
use super::files::{self, Files};
use crate::decide::coordinator::record::{SealRow, StepKey};
use crate::keep::bytes::Seal;
use crate::keep::bytes::snapshot::{ByteSnapshot, Bytes};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder in the state directory for all logs that are files.
pub(super) const FOLDER: &str = "logs";

/// Returns the path of a log that is a file, relative to the state directory.
pub(crate) fn path_below(key: StepKey) -> PathBuf {
    Path::new(FOLDER).join(files::relative(key, "log"))
}

pub(super) fn seal_of(row: &SealRow) -> Seal {
    Seal { size: row.size, hash: row.hash }
}

pub(super) fn sealed_size(seal: Seal) -> LogExtent {
    LogExtent { size: seal.size, sealed: true, hash: Some(seal.hash) }
}

pub(super) fn sealed_source(files: &Files, row: &SealRow) -> ByteSnapshot {
    let bytes = match &row.bytes {
        Some(bytes) => Bytes::Memory(Arc::new(bytes.clone())),
        None => Bytes::Closed(files.log_path(row.key)),
    };
    ByteSnapshot { size: row.size, bytes }
}
