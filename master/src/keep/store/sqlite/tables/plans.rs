//! The table of the plans of builds.

use super::{Tables, run};
use crate::decide::coordinator::record::{BuildId, StoredPlan};
use crate::keep::store::sqlite::columns::{id, json};
use rusqlite::{OptionalExtension as _, Transaction, params};
use schema::values::Plan;

impl Tables<'_> {
    /// Returns the plan of a build; `None` means that it has none. A plan that this version cannot read is not an error of the
    /// store.
    pub(crate) fn plan(self, build: BuildId) -> rusqlite::Result<StoredPlan> {
        let mut statement = self.0.prepare_cached("select plan from plans where build = ?1")?;
        let text: Option<String> = statement.query_row([id(build.0)], |row| row.get(0)).optional()?;
        Ok(text.map(|text| Plan::parse(&text)).transpose())
    }

    /// Returns the plan of a build for showing it; `None` also if this version cannot read it.
    pub(crate) fn readable_plan(self, build: BuildId) -> rusqlite::Result<Option<Plan>> {
        Ok(self.plan(build)?.unwrap_or_default())
    }
}

pub(crate) fn write(to: &Transaction<'_>, build: BuildId, plan: &Plan) -> rusqlite::Result<()> {
    run(to, "insert or replace into plans (build, plan) values (?1, ?2)", params![id(build.0), json(plan)])
}

/// Deletes at most `most` rows of a removed build, and returns how many.
pub(crate) fn sweep(to: &Transaction<'_>, build: u64, most: u32) -> rusqlite::Result<usize> {
    let sql = "delete from plans where build in (select build from plans where build = ?1 limit ?2)";
    to.prepare_cached(sql)?.execute(params![id(build), most])
}
