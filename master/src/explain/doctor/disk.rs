//! The disk of the state directory, and how much of it Guild uses.

use super::{count, line, rough};
use crate::keep::store::DATABASE_FILE;
use crate::keep::write_health::WriteTrouble;
use schema::values::{Bytes, Finding};
use std::io;
use std::path::Path;
use std::time::Duration;

/// How long a file system may take to answer. The file system of a lost server never answers.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// The free bytes below which any disk is short of room.
const FREE_MIN: u64 = 5 << 30;
/// The free bytes from which on no disk is short of room, however large it is.
const FREE_ENOUGH: u64 = 100 << 30;

/// The disk of the state, as the doctor saw it.
pub(super) struct Disk {
    pub(super) room: io::Result<Room>,
    /// The size of the database's file, in bytes.
    pub(super) database: u64,
}

/// The room on a disk, in bytes and in files.
#[derive(Clone, Copy)]
pub(super) struct Room {
    pub(super) total: u64,
    pub(super) free: u64,
    /// The number of files that the file system can hold. 0 means that it does not count files.
    pub(super) files: u64,
    pub(super) files_free: u64,
}

pub(super) fn look(state: &Path) -> Disk {
    let room = rustix::fs::statvfs(state).map(|seen| Room {
        total: seen.f_blocks.saturating_mul(seen.f_frsize),
        free: seen.f_bavail.saturating_mul(seen.f_frsize),
        files: seen.f_files,
        files_free: seen.f_favail,
    });
    let database = std::fs::metadata(state.join(DATABASE_FILE)).map_or(0, |file| file.len());
    Disk { room: room.map_err(io::Error::from), database }
}

/// The number of stored bytes of each kind. `None` means that the number is not known.
#[derive(Clone, Copy, Default)]
pub(super) struct KeptBytes {
    pub(super) logs: Option<u64>,
    pub(super) blobs: Option<u64>,
}

/// Judges the room on the disk. `is_full` is true if a commit found no room.
pub(super) fn judge(state: &Path, disk: &Disk, kept: KeptBytes, is_full: bool) -> Finding {
    let subject = subject(state);
    let room = match &disk.room {
        Ok(room) => room,
        Err(error) => {
            return Finding::bad(subject, error.to_string(), "check that it exists, and `state` in the master file");
        }
    };
    let logs = kept.logs.map(|logs| format!(", logs {}", Bytes(logs))).unwrap_or_default();
    let stored = kept.blobs.filter(|blobs| *blobs > 0);
    let blobs = stored.map(|blobs| format!(", stored files {}", Bytes(blobs))).unwrap_or_default();
    let mut seen = format!(
        "{} of {} free; the database has {}{logs}{blobs}",
        Bytes(room.free),
        Bytes(room.total),
        Bytes(disk.database)
    );
    let remedy = "free some space there, or keep less: `retain` in [limits] of the master file";
    if is_full {
        return Finding::bad(subject, format!("full: nothing new is recorded; {seen}"), remedy);
    }
    let is_scarce = room.free < FREE_MIN || (room.free < room.total / 10 && room.free < FREE_ENOUGH);
    let has_few_files = room.files > 0 && room.files_free < room.files / 20;
    if has_few_files {
        seen = format!("room for {} more files only; {seen}", room.files_free);
    }
    match is_scarce || has_few_files {
        true => Finding::warned(subject, seen, remedy),
        false => Finding::good(subject, seen),
    }
}

/// Reports that logs cannot be written.
pub(super) fn judge_writes(trouble: &WriteTrouble) -> Finding {
    let WriteTrouble { logs, lasts, text } = trouble;
    let logs = count(*logs, "log");
    let seen = format!("{logs} cannot be written, for {}: {}", rough(*lasts), line(text));
    Finding::bad(
        "disk of the logs",
        seen,
        "check the disk (`dmesg`, `mount`); workers keep the output, and send it when the disk works again",
    )
}

/// Reports that the files which attempts store come near to their limit. At the limit, further files are refused and their jobs fail.
pub(super) fn judge_stored(blobs: u64, most: u64) -> Option<Finding> {
    let seen = format!("{} of at most {}", Bytes(blobs), Bytes(most));
    let remedy = "raise `blob_bytes_total` in [limits] of the master file, or keep fewer builds: `retain` there";
    let finding = if blobs >= most { Finding::bad } else { Finding::warned };
    (blobs >= most - most / 10).then(|| finding("stored files".to_owned(), seen, remedy))
}

pub(super) fn silent(state: &Path) -> Finding {
    let seen = format!("the file system does not answer within {} s", PATIENCE.as_secs());
    Finding::bad(subject(state), seen, "check what is mounted there, or move `state` of the master file")
}

fn subject(state: &Path) -> String {
    format!("disk of {}", state.display())
}
