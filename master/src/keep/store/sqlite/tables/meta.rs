//! The table of single values that the store keeps about itself, by name.

use super::{Tables, run};
use crate::keep::store::StoreError;
use rusqlite::{Connection, OptionalExtension as _, params};

impl Tables<'_> {
    pub(crate) fn meta(self, name: &str) -> rusqlite::Result<Option<String>> {
        self.0.query_row("select value from meta where name = ?1", [name], |row| row.get(0)).optional()
    }

    pub(crate) fn incarnation(self) -> Result<u64, StoreError> {
        let text = self.meta("incarnation")?.unwrap_or_default();
        text.parse().map_err(|_| StoreError::Corrupt(format!("the incarnation `{text}` is not a number")))
    }
}

pub(crate) fn set(to: &Connection, name: &str, value: &str) -> rusqlite::Result<()> {
    let sql = "insert into meta (name, value) values (?1, ?2) on conflict (name) do update set value = excluded.value";
    run(to, sql, params![name, value])
}

pub(crate) fn forget(to: &Connection, name: &str) -> rusqlite::Result<()> {
    run(to, "delete from meta where name = ?1", [name])
}
