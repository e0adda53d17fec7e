//! The tables of numbers that outlive their rows, so that none is used again: the highest ids, and each project's highest build
//! number.

use super::{Tables, run};
use crate::keep::store::sqlite::columns::{id, read_id};
use rusqlite::{OptionalExtension as _, Transaction, params};

const PROJECTS: &str = "select project from numbers order by project";

impl Tables<'_> {
    /// Returns the value of a counter, such as the highest build id that was ever used.
    pub(crate) fn counter(self, name: &str) -> rusqlite::Result<u64> {
        let mut statement = self.0.prepare_cached("select value from counters where name = ?1")?;
        statement.query_row([name], |row| read_id(row, 0))
    }

    /// Returns the highest build number of each project.
    pub(crate) fn numbers(self) -> rusqlite::Result<Vec<(String, u32)>> {
        self.all("select project, number from numbers", |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// Returns the projects that ever had a build.
    pub(crate) fn built_projects(self) -> rusqlite::Result<Vec<String>> {
        self.0.prepare_cached(PROJECTS)?.query_map([], |row| row.get(0))?.collect()
    }

    /// Returns the project whose name follows another one in the order of names.
    pub(crate) fn project_after(self, project: &str) -> rusqlite::Result<Option<String>> {
        let sql = "select project from numbers where project > ?1 order by project limit 1";
        self.0.prepare_cached(sql)?.query_row([project], |row| row.get(0)).optional()
    }
}

/// Raises a counter to this value if it is lower.
pub(crate) fn raise(to: &Transaction<'_>, name: &str, value: u64) -> rusqlite::Result<()> {
    run(to, "update counters set value = ?2 where name = ?1 and value < ?2", params![name, id(value)])
}

/// Raises a project's highest build number to this number if it is lower.
pub(crate) fn raise_number(to: &Transaction<'_>, project: &str, number: u32) -> rusqlite::Result<()> {
    let sql = "insert into numbers (project, number) values (?1, ?2) \
               on conflict (project) do update set number = excluded.number where excluded.number > number";
    run(to, sql, params![project, number])
}
