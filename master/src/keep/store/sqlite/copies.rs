//! Makes copies of the store. Opening a copy begins a new incarnation. Log files are not copied here but by the caller.

use super::tables::{Tables, meta};
use crate::keep::store::StoreError;
use rusqlite::Connection;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// The row that marks a copy until a master opens it.
const COPY: &str = "copy";
/// The row with the random name of the store.
const STORE: &str = "store";
/// The row with the boot of the machine in which the store was used last.
const BOOT: &str = "boot";

/// Makes a copy that another master may open.
pub(super) fn write(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    copy(connection, &path.to_string_lossy())?;
    mark_as_copy(&Connection::open(path)?)
}

/// Makes the next master begin another incarnation.
pub(super) fn mark_as_copy(connection: &Connection) -> Result<(), StoreError> {
    meta::set(connection, COPY, "1")?;
    // files beside the copy are not trusted, because they were copied while they grew
    Ok(meta::set(connection, BOOT, "")?)
}

pub(super) fn copy(connection: &Connection, target: &str) -> Result<(), StoreError> {
    connection.execute("vacuum into ?1", [target])?;
    Ok(())
}

/// Begins a new incarnation if the store is a copy that is opened for the first time. Its number is the clock in seconds,
/// because an earlier restore of the same copy may have used the next number.
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

/// Returns the name of the store, and chooses it if there is none yet. Copies of the store keep it.
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

/// Writes the current boot of the machine. Returns whether it is the same boot as before.
pub(super) fn note_boot(connection: &Connection) -> Result<bool, StoreError> {
    let boot = system::boot::boot_id();
    let before = Tables(connection).meta(BOOT)?;
    meta::set(connection, BOOT, &boot)?;
    Ok(!boot.is_empty() && before.as_deref() == Some(boot.as_str()))
}
