//! The tables of refs as they were last seen, and of how the repository of each project was followed until then.

use super::{Tables, lanes, run};
use crate::decide::coordinator::record::{FollowedRow, Head, HeadRow};
use crate::keep::store::sqlite::columns::{id, json, maybe_time, read_id, read_json, read_maybe_time};
use rusqlite::{OptionalExtension as _, Row, Transaction, params};

const COLUMNS: &str = "project, ref, revision, told, gone, ref_update, ref_since";
const FOLLOWED: &str = "project, address, scopes, looked_in";

impl Tables<'_> {
    pub(crate) fn heads(self) -> rusqlite::Result<Vec<HeadRow>> {
        self.all(&format!("select {COLUMNS} from heads"), read)
    }

    pub(crate) fn followed(self) -> rusqlite::Result<Vec<FollowedRow>> {
        self.all(&format!("select {FOLLOWED} from followed"), read_followed)
    }

    pub(crate) fn ref_exists(self, project: &str, ref_name: &str) -> rusqlite::Result<bool> {
        let sql = "select 1 from heads where project = ?1 and ref = ?2 and gone is null";
        self.0.prepare_cached(sql)?.exists([project, ref_name])
    }

    /// Returns the update with which the ref was created. Earlier builds belong to a deleted ref of the same name.
    pub(crate) fn ref_since(self, project: &str, ref_name: &str) -> rusqlite::Result<u32> {
        let sql = "select ref_since from heads where project = ?1 and ref = ?2";
        let since = self.0.prepare_cached(sql)?.query_row(params![project, ref_name], |row| row.get(0)).optional()?;
        Ok(since.unwrap_or_default())
    }
}

/// Writes a ref. If the ref is a new one, the lanes of an earlier ref of its name are deleted.
pub(crate) fn write(to: &Transaction<'_>, row: &HeadRow) -> rusqlite::Result<()> {
    let (project, ref_name, head) = (&row.project, &row.ref_name, &row.head);
    if head.since > Tables(to).ref_since(project, ref_name)? {
        lanes::remove(to, project, ref_name)?;
    }
    let sql = "insert or replace into heads (project, ref, revision, told, gone, ref_update, ref_since) \
               values (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let gone = maybe_time(head.gone);
    run(to, sql, params![project, ref_name, head.revision, head.is_told, gone, head.update, head.since])
}

pub(crate) fn forget(to: &Transaction<'_>, project: &str, ref_name: &str) -> rusqlite::Result<()> {
    run(to, "delete from heads where project = ?1 and ref = ?2", params![project, ref_name])
}

pub(crate) fn write_followed(to: &Transaction<'_>, row: &FollowedRow) -> rusqlite::Result<()> {
    let sql = "insert or replace into followed (project, address, scopes, looked_in) values (?1, ?2, ?3, ?4)";
    run(to, sql, params![row.project, row.address, json(&row.scopes), id(row.looked_in)])
}

fn read(row: &Row<'_>) -> rusqlite::Result<HeadRow> {
    let (revision, is_told, gone) = (row.get(2)?, row.get(3)?, read_maybe_time(row, 4)?);
    let head = Head { revision, is_told, gone, update: row.get(5)?, since: row.get(6)? };
    Ok(HeadRow { project: row.get(0)?, ref_name: row.get(1)?, head })
}

fn read_followed(row: &Row<'_>) -> rusqlite::Result<FollowedRow> {
    Ok(FollowedRow {
        project: row.get(0)?,
        address: row.get(1)?,
        scopes: read_json(row, 2)?,
        looked_in: read_id(row, 3)?,
    })
}
