//! The tables of reporters: how far each has read the events, and which notices it sent about each lane.

use super::{Tables, run};
use crate::decide::coordinator::record::{ReporterRow, ToldRow, Transition};
use crate::keep::store::sqlite::columns::{id, json, read_id, read_time, read_word, time};
use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use schema::values::Cursor;

/// The number of notices that are kept for each lane.
const TOLD: u32 = 64;
// a build that no longer exists, or that belongs to no update, counts with its own number
const TOLD_OF: &str = "select t.reporter, t.project, t.ref, t.job, t.turn, t.revision, t.build, t.notice, t.time, \
                       coalesce(nullif(b.ref_update, 0), t.build) from told as t \
                       left join builds as b on b.project = t.project and b.number = t.build \
                       where t.reporter = ?1 and t.project = ?2 and t.ref = ?3 order by t.time";

impl Tables<'_> {
    pub(crate) fn reporter(self, name: &str) -> rusqlite::Result<Option<ReporterRow>> {
        let sql = "select name, incarnation, after, born from reporters where name = ?1";
        self.0.prepare_cached(sql)?.query_row([name], read).optional()
    }

    pub(crate) fn failing_told_refs(self, reporter: &str, project: &str) -> rusqlite::Result<Vec<String>> {
        let sql = "select distinct ref from told where reporter = ?1 and project = ?2 and turn = ?3";
        let turn = Transition::NewlyFailing.word();
        self.0.prepare_cached(sql)?.query_map(params![reporter, project, turn], |row| row.get(0))?.collect()
    }

    pub(crate) fn reporter_names(self) -> rusqlite::Result<Vec<String>> {
        self.0.prepare_cached("select name from reporters order by name")?.query_map([], |row| row.get(0))?.collect()
    }

    /// Returns the notices that a reporter sent about the lanes of a branch, in the order of time, each with the update of its
    /// build.
    pub(crate) fn told(self, reporter: &str, project: &str, ref_name: &str) -> rusqlite::Result<Vec<(ToldRow, u32)>> {
        let read = |row: &Row<'_>| Ok((read_told(row)?, row.get(9)?));
        self.0.prepare_cached(TOLD_OF)?.query_map(params![reporter, project, ref_name], read)?.collect()
    }
}

pub(crate) fn write(to: &Transaction<'_>, row: &ReporterRow) -> rusqlite::Result<()> {
    let sql = "insert or replace into reporters (name, incarnation, after, born) values (?1, ?2, ?3, ?4)";
    run(to, sql, params![row.name, id(row.cursor.incarnation), id(row.cursor.after), time(row.born)])
}

pub(crate) fn write_told(to: &Transaction<'_>, row: &ToldRow) -> rusqlite::Result<()> {
    let sql = "insert or replace into told (reporter, project, ref, job, turn, revision, build, notice, time) \
               values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let lane = (&row.reporter, &row.project, &row.ref_name, &row.job);
    let what = (row.turn.word(), &row.revision, row.build, &row.notice, time(row.time));
    run(to, sql, params![lane.0, lane.1, lane.2, lane.3, what.0, what.1, what.2, what.3, what.4])?;
    let sql = "delete from told where reporter = ?1 and project = ?2 and ref = ?3 and job = ?4 and time < \
               (select min(time) from (select time from told where reporter = ?1 and project = ?2 and ref = ?3 \
               and job = ?4 order by time desc limit ?5))";
    run(to, sql, params![lane.0, lane.1, lane.2, lane.3, TOLD])
}

pub(crate) fn forget_others(to: &Transaction<'_>, names: &[String]) -> rusqlite::Result<()> {
    let names = json(&names);
    run(to, "delete from reporters where name not in (select value from json_each(?1))", params![names])?;
    run(to, "delete from told where reporter not in (select value from json_each(?1))", params![names])
}

fn read(row: &Row<'_>) -> rusqlite::Result<ReporterRow> {
    let cursor = Cursor { incarnation: read_id(row, 1)?, after: read_id(row, 2)? };
    Ok(ReporterRow { name: row.get(0)?, cursor, born: read_time(row, 3)? })
}

fn read_told(row: &Row<'_>) -> rusqlite::Result<ToldRow> {
    Ok(ToldRow {
        reporter: row.get(0)?,
        project: row.get(1)?,
        ref_name: row.get(2)?,
        job: row.get(3)?,
        turn: read_word(row, 4)?,
        revision: row.get(5)?,
        build: row.get(6)?,
        notice: row.get(7)?,
        time: read_time(row, 8)?,
    })
}
