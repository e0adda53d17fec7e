//! The table of the workers that the master knows, connected or not.

use super::{Tables, run};
use crate::decide::coordinator::record::{GrantId, WorkerRow};
use crate::keep::store::sqlite::columns::{id, json, maybe_time, read_id, read_json, read_maybe_time, read_time, time};
use rusqlite::{Row, Transaction, params};

const COLUMNS: &str = "name, by_grant, draining, held, forgotten, last_heard, description, steered_by, steered";

impl Tables<'_> {
    pub(crate) fn workers(self) -> rusqlite::Result<Vec<WorkerRow>> {
        self.all(&format!("select {COLUMNS} from workers"), read)
    }
}

pub(crate) fn write(to: &Transaction<'_>, row: &WorkerRow) -> rusqlite::Result<()> {
    let sql = "insert or replace into workers (name, by_grant, draining, held, forgotten, last_heard, description, \
               steered_by, steered) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let values = params![
        row.name,
        id(row.grant.0),
        row.draining,
        row.held,
        row.forgotten,
        time(row.last_heard),
        json(&row.description),
        id(row.steered_by.0),
        maybe_time(row.steered),
    ];
    run(to, sql, values)
}

fn read(row: &Row<'_>) -> rusqlite::Result<WorkerRow> {
    Ok(WorkerRow {
        name: row.get(0)?,
        grant: GrantId(read_id(row, 1)?),
        draining: row.get(2)?,
        held: row.get(3)?,
        forgotten: row.get(4)?,
        last_heard: read_time(row, 5)?,
        description: read_json(row, 6)?,
        steered_by: GrantId(read_id(row, 7)?),
        steered: read_maybe_time(row, 8)?,
    })
}
