//! The table of crons: the entries of pipelines that start builds by the clock, each with its next firing.

use super::{Tables, run};
use crate::decide::coordinator::record::{CronKey, CronRow};
use crate::keep::store::sqlite::columns::{json, maybe_time, read_json, read_maybe_time};
use rusqlite::{Row, Transaction, params};

const COLUMNS: &str = "project, ref, name, next, cron";

impl Tables<'_> {
    pub(crate) fn crons(self) -> rusqlite::Result<Vec<CronRow>> {
        self.all(&format!("select {COLUMNS} from crons"), read)
    }
}

pub(crate) fn write(to: &Transaction<'_>, row: &CronRow) -> rusqlite::Result<()> {
    let sql = "insert or replace into crons (project, ref, name, next, cron) values (?1, ?2, ?3, ?4, ?5)";
    let CronKey { project, ref_name, name } = &row.key;
    run(to, sql, params![project, ref_name, name, maybe_time(row.next), json(&row.cron)])
}

pub(crate) fn forget(to: &Transaction<'_>, key: &CronKey) -> rusqlite::Result<()> {
    let sql = "delete from crons where project = ?1 and ref = ?2 and name = ?3";
    run(to, sql, params![key.project, key.ref_name, key.name])
}

fn read(row: &Row<'_>) -> rusqlite::Result<CronRow> {
    let key = CronKey { project: row.get(0)?, ref_name: row.get(1)?, name: row.get(2)? };
    Ok(CronRow { key, next: read_maybe_time(row, 3)?, cron: read_json(row, 4)? })
}
