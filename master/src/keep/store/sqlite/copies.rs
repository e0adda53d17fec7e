//! Copies of the store, and what opening one means: a new incarnation. Knows no log files: they are copied beside it.

use super::tables::{Tables, meta};
use crate::keep::store::StoreError;
use rusqlite::Connection;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// The mark of a copy, until a master opens it.
const COPY: &str = "copy";
/// The name of the store, by chance.
const STORE: &str = "store";
/// The boot of the machine in which the store was used last.
const BOOT: &str = "boot";

/// Makes a copy that another master may open.
pub(super) fn write(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    copy(connection, &path.to_string_lossy())?;
    mark_as_copy(&Connection::open(path)?)
}

/// Has the next master begin another incarnation.
pub(super) fn mark_as_copy(connection: &Connection) -> Result<(), StoreError> {
    meta::set(connection, COPY, "1")?;
    // files that come with it were copied while they grew
    Ok(meta::set(connection, BOOT, "")?)
}

pub(super) fn copy(connection: &Connection, target: &str) -> Result<(), StoreError> {
    connection.execute("vacuum into ?1", [target])?;
    Ok(())
}

/// A copy that is opened for the first time begins an incarnation that no other restoring of the same copy has. It takes the
/// seconds of the clock, since a restoring that this copy does not know might have given a higher number.
pub(super) fn begin_incarnation(connection: &mut Connection) -> Result<(), StoreError> {
    if Tables(connection).meta(COPY)?.is_none() {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    #[expect(clippy::disallowed_methods, reason = "a name for a life of the store, not a time that decides")]
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let next = seconds.max(Tables(&transaction).incarnation()? + 1);
    meta::set(&transaction, "incarnation", &next.to_string())?;
    meta::forget(&transaction, COPY)?;
    Ok(transaction.commit()?)
}

/// The name of the store, which is given once. Its copies have the same.
pub(super) fn identify(connection: &Connection) -> Result<String, StoreError> {
    if let Some(name) = Tables(connection).meta(STORE)? {
        return Ok(name);
    }
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Failed(error.to_string()))?;
    let name = format!("{:016x}", u64::from_le_bytes(bytes));
    meta::set(connection, STORE, &name)?;
    Ok(name)
}

/// Notes which boot of the machine this is. Answers whether it is the boot that was noted before.
pub(super) fn note_boot(connection: &Connection) -> Result<bool, StoreError> {
    let boot = system::boot::boot_id();
    let before = Tables(connection).meta(BOOT)?;
    meta::set(connection, BOOT, &boot)?;
    Ok(!boot.is_empty() && before.as_deref() == Some(boot.as_str()))
}
