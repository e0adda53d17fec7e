//! The table of claims: who looks after which red lane.

use super::{Tables, run};
use crate::decide::coordinator::record::{ClaimKey, ClaimRow};
use crate::keep::store::sqlite::columns::{json, read_json};
use rusqlite::{Row, Transaction, params};

impl Tables<'_> {
    pub(crate) fn claims(self) -> rusqlite::Result<Vec<ClaimRow>> {
        self.all("select project, ref, job, claim from claims", read)
    }
}

pub(crate) fn write(to: &Transaction<'_>, row: &ClaimRow) -> rusqlite::Result<()> {
    let sql = "insert or replace into claims (project, ref, job, claim) values (?1, ?2, ?3, ?4)";
    let ClaimKey { project, ref_name, job } = &row.key;
    run(to, sql, params![project, ref_name, job, json(&row.claim)])
}

pub(crate) fn forget(to: &Transaction<'_>, key: &ClaimKey) -> rusqlite::Result<()> {
    let sql = "delete from claims where project = ?1 and ref = ?2 and job = ?3";
    run(to, sql, params![key.project, key.ref_name, key.job])
}

fn read(row: &Row<'_>) -> rusqlite::Result<ClaimRow> {
    let key = ClaimKey { project: row.get(0)?, ref_name: row.get(1)?, job: row.get(2)? };
    Ok(ClaimRow { key, claim: read_json(row, 3)? })
}
