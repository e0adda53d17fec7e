//! The table of lanes: one row for the results of the same job of the same ref.

use super::{Tables, run};
use crate::decide::coordinator::lane::{Lane, LaneResult};
use crate::keep::store::sqlite::columns::{json, read_json};
use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use std::collections::BTreeMap;

/// The key of a lane: its project, ref and job.
pub(crate) type LaneKey<'a> = (&'a str, &'a str, &'a str);

impl Tables<'_> {
    pub(crate) fn lane(self, (project, ref_name, job): LaneKey<'_>) -> rusqlite::Result<Option<Lane>> {
        let sql = "select lane from lanes where project = ?1 and ref = ?2 and job = ?3";
        let values = params![project, ref_name, job];
        self.0.prepare_cached(sql)?.query_row(values, |row| read_json(row, 0)).optional()
    }

    /// Returns all lanes of a ref, including those that its newest plan no longer has.
    pub(crate) fn lanes(self, project: &str, ref_name: &str) -> rusqlite::Result<BTreeMap<String, Lane>> {
        let read = |row: &Row<'_>| Ok((row.get(0)?, read_json(row, 1)?));
        let sql = "select job, lane from lanes where project = ?1 and ref = ?2";
        self.0.prepare_cached(sql)?.query_map(params![project, ref_name], read)?.collect()
    }
}

/// Adds one result to a lane.
pub(crate) fn add(to: &Transaction<'_>, key: LaneKey<'_>, result: &LaneResult) -> rusqlite::Result<()> {
    let mut lane = Tables(to).lane(key)?.unwrap_or_default();
    lane.add(result.clone());
    write(to, key, &lane)
}

pub(crate) fn write(to: &Transaction<'_>, key: LaneKey<'_>, lane: &Lane) -> rusqlite::Result<()> {
    let sql = "insert or replace into lanes (project, ref, job, lane) values (?1, ?2, ?3, ?4)";
    run(to, sql, params![key.0, key.1, key.2, json(lane)])
}

/// Removes the lanes of a ref name, because a new ref was created with this name and these lanes belong to an earlier one.
pub(crate) fn remove(to: &Transaction<'_>, project: &str, ref_name: &str) -> rusqlite::Result<()> {
    run(to, "delete from lanes where project = ?1 and ref = ?2", params![project, ref_name])
}

/// Removes the lanes of a ref if its last build was removed from history.
pub(crate) fn remove_unbuilt(to: &Transaction<'_>, project: &str, ref_name: &str) -> rusqlite::Result<()> {
    let sql = "delete from lanes where project = ?1 and ref = ?2 \
               and not exists (select 1 from builds where project = ?1 and ref = ?2)";
    run(to, sql, params![project, ref_name])
}
