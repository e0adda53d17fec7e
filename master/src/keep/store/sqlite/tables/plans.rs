//! Plans of builds.

use super::{Tables, run};
use crate::decide::coordinator::record::BuildId;
use crate::keep::store::sqlite::columns::{id, json, read_json};
use rusqlite::{OptionalExtension as _, Transaction, params};
use schema::values::Plan;

impl Tables<'_> {
    pub(crate) fn plan(self, build: BuildId) -> rusqlite::Result<Option<Plan>> {
        let mut statement = self.0.prepare_cached("select plan from plans where build = ?1")?;
        statement.query_row([id(build.0)], |row| read_json(row, 0)).optional()
    }
}

pub(crate) fn write(to: &Transaction<'_>, build: BuildId, plan: &Plan) -> rusqlite::Result<()> {
    run(to, "insert or replace into plans (build, plan) values (?1, ?2)", params![id(build.0), json(plan)])
}

/// Deletes at most `most` rows of a build that is gone. Answers how many it deleted.
pub(crate) fn sweep(to: &Transaction<'_>, build: u64, most: u32) -> rusqlite::Result<usize> {
    let sql = "delete from plans where build in (select build from plans where build = ?1 limit ?2)";
    to.prepare_cached(sql)?.execute(params![id(build), most])
}
