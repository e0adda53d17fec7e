//! Looks for damage in the database: torn pages, rows that are missing in an index, and invalid values.
//!
//! SQLite checks a page only when it needs the page, and serves what it finds. So a store with damage in other pages goes on
//! for weeks, and every backup is damaged too.

use super::tables::Tables;
use crate::keep::store::StoreError;
use rusqlite::{Connection, ErrorCode};

/// The number of lines about damage that are reported. More would not help, because only a backup mends the store.
const TOLD_MAX: usize = 3;

impl Tables<'_> {
    /// Returns the names of all tables, which are checked one by one.
    pub(crate) fn names(self) -> rusqlite::Result<Vec<String>> {
        self.all("select name from sqlite_schema where type = 'table' order by name", |row| row.get(0))
    }

    /// Returns what is wrong with a table and its indexes; `None` means that nothing is. Reads all its pages.
    pub(crate) fn damage_of(self, table: &str) -> Result<Option<String>, StoreError> {
        damage(self.0, &format!("pragma quick_check('{}')", table.replace('\'', "''")))
    }
}

/// Refuses a damaged store. It reads the whole store.
pub(super) fn refuse(connection: &Connection) -> Result<(), StoreError> {
    match damage(connection, "pragma quick_check")? {
        Some(what) => Err(StoreError::Damaged(what)),
        None => Ok(()),
    }
}

fn damage(connection: &Connection, check: &str) -> Result<Option<String>, StoreError> {
    seen(lines(connection, check))
}

/// Returns the damage that a check found. It counts as damage if the disk cannot read a page.
fn seen(checked: rusqlite::Result<Vec<String>>) -> Result<Option<String>, StoreError> {
    match checked {
        Ok(lines) if lines == ["ok"] => Ok(None),
        Ok(lines) => Ok(Some(lines.join("; "))),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) => {
            Ok(Some(format!("the disk cannot read it ({error})")))
        }
        Err(error) => told_by(&error).map(Some).ok_or_else(|| error.into()),
    }
}

fn lines(connection: &Connection, check: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(check)?;
    let mut found = Vec::new();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()?.filter(|_| found.len() < TOLD_MAX) {
        found.push(row.get::<_, String>(0)?.replace('\n', " "));
    }
    Ok(found)
}

/// Returns the text of an error if it reports damage; `None` means that it is another error.
pub(super) fn told_by(error: &rusqlite::Error) -> Option<String> {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Some(error.to_string()),
        Some(_) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;

    fn failure(code: i32) -> rusqlite::Result<Vec<String>> {
        Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
    }

    /// A case like F5: a store that the disk cannot read is damaged, and a busy one is not.
    #[test]
    fn what_the_disk_does_not_read_is_damaged() {
        for code in [ffi::SQLITE_IOERR, ffi::SQLITE_IOERR_READ, ffi::SQLITE_IOERR_SHORT_READ] {
            let seen = seen(failure(code)).unwrap().unwrap();
            assert!(seen.starts_with("the disk cannot read it (") && seen.contains("I/O"), "{seen}");
        }
        assert!(seen(failure(ffi::SQLITE_CORRUPT)).unwrap().is_some());
        assert!(matches!(seen(failure(ffi::SQLITE_BUSY)), Err(StoreError::Failed(_))));
        assert_eq!(seen(Ok(vec!["ok".to_owned()])).unwrap(), None);
    }
}
