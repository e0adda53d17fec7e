//! Looks for damage of the database: pages that are torn, rows that no index has, and values that are not valid.
//!
//! SQLite looks at a page only when it needs it, and serves what it finds. So a store whose other pages are damaged goes on for
//! weeks, and every backup is damaged too.

use super::executor::let_pages_go;
use super::tables::Tables;
use crate::keep::store::StoreError;
use rusqlite::{Connection, ErrorCode};

/// What a person reads of a damaged store. More helps nobody, because what mends it is a backup.
const TOLD_MAX: usize = 3;

impl Tables<'_> {
    /// The tables, which are looked at one by one.
    pub(crate) fn names(self) -> rusqlite::Result<Vec<String>> {
        self.all("select name from sqlite_schema where type = 'table' order by name", |row| row.get(0))
    }

    /// What is wrong with a table and its indexes; `None` means that nothing is. Costs a read of all its pages.
    pub(crate) fn damage_of(self, table: &str) -> Result<Option<String>, StoreError> {
        damage(self.0, &format!("pragma quick_check('{}')", table.replace('\'', "''")))
    }
}

/// Refuses a damaged store. Reads all of it.
pub(super) fn refuse(connection: &Connection) -> Result<(), StoreError> {
    match damage(connection, "pragma quick_check")? {
        Some(what) => Err(StoreError::Damaged(what)),
        None => Ok(()),
    }
}

fn damage(connection: &Connection, check: &str) -> Result<Option<String>, StoreError> {
    let found = seen(lines(connection, check));
    // the check read every page, and the next reader needs few of them
    let_pages_go(connection)?;
    found
}

/// What a check that ended like this has seen. A disk that does not read a page is damage as well.
fn seen(checked: rusqlite::Result<Vec<String>>) -> Result<Option<String>, StoreError> {
    match checked {
        Ok(lines) if lines == ["ok"] => Ok(None),
        Ok(lines) => Ok(Some(lines.join("; "))),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) => {
            Ok(Some(format!("the disk does not read it ({error})")))
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

/// What an error says of damage; `None` means that it says nothing of that.
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

    /// A relative of F5: a store that the disk does not read is not sound, and one that is busy is not damaged.
    #[test]
    fn what_the_disk_does_not_read_is_damaged() {
        for code in [ffi::SQLITE_IOERR, ffi::SQLITE_IOERR_READ, ffi::SQLITE_IOERR_SHORT_READ] {
            let seen = seen(failure(code)).unwrap().unwrap();
            assert!(seen.starts_with("the disk does not read it (") && seen.contains("I/O"), "{seen}");
        }
        assert!(seen(failure(ffi::SQLITE_CORRUPT)).unwrap().is_some());
        assert!(matches!(seen(failure(ffi::SQLITE_BUSY)), Err(StoreError::Failed(_))));
        assert_eq!(seen(Ok(vec!["ok".to_owned()])).unwrap(), None);
    }
}
