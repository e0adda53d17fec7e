//! The table of the changes of repositories, as they were reported.

use super::{Tables, run};
use crate::decide::coordinator::record::BuildId;
use crate::keep::store::sqlite::columns::{id, json, read_json, time};
use rusqlite::{OptionalExtension as _, Transaction, params};
use schema::values::{Change, Time};

impl Tables<'_> {
    /// Returns the change that made a build.
    pub(crate) fn change_of(self, build: BuildId) -> rusqlite::Result<Option<Change>> {
        let sql = "select change from changes where build = ?1 order by id limit 1";
        self.0.prepare_cached(sql)?.query_row([id(build.0)], |row| read_json(row, 0)).optional()
    }
}

pub(crate) fn write(to: &Transaction<'_>, build: Option<BuildId>, change: &Change, at: Time) -> rusqlite::Result<()> {
    let sql = "insert into changes (build, project, change, time) values (?1, ?2, ?3, ?4)";
    run(to, sql, params![build.map(|build| id(build.0)), change.project, json(change), time(at)])
}

/// Deletes at most `most` rows of a removed build, and returns how many.
pub(crate) fn sweep(to: &Transaction<'_>, build: u64, most: u32) -> rusqlite::Result<usize> {
    let sql = "delete from changes where id in (select id from changes where build = ?1 limit ?2)";
    to.prepare_cached(sql)?.execute(params![id(build), most])
}

/// Deletes at most `most` changes that made no build and are older than `before`. Returns how many.
pub(crate) fn sweep_old(to: &Transaction<'_>, before: Time, most: u32) -> rusqlite::Result<usize> {
    let sql = "delete from changes where id in (select id from changes indexed by changes_time \
               where build is null and time < ?1 order by time limit ?2)";
    to.prepare_cached(sql)?.execute(params![time(before), most])
}
