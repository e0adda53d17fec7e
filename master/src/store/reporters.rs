//! Lanes as reporters look at them: the newest builds of a branch with their jobs, and what was told of them. Decides nothing.

use super::commit::run;
use super::row::{self, id, read_id, read_time, time};
use crate::coordinator::record::{BuildId, BuildRow, Cause, JobRow, ReporterRow, StepRow, ToldRow};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use schema::values::{Cursor, Trust};
use std::collections::BTreeSet;

/// Rows kept of each lane.
const TOLD: u32 = 64;

const NEWEST: &str = "select id from builds indexed by builds_ref \
                      where project = ?1 and ref = ?2 order by number desc limit ?3";
const BRANCHES: &str = "select distinct ref from (select ref from builds indexed by builds_number \
                        where project = ?1 order by number desc limit ?2)";
const REF: &str = "select ref from builds where project = ?1 and number = ?2";

/// The newest builds of a branch.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// The newest first, with their jobs in the order of the plan; only those of trusted sources.
    pub builds: Vec<(BuildRow, Vec<JobRow>)>,
    /// The branch never had others before.
    pub is_whole: bool,
}

pub fn window(store: &Connection, project: &str, ref_name: &str, limit: u32) -> rusqlite::Result<Window> {
    let store = store.unchecked_transaction()?;
    let mut statement = store.prepare_cached(NEWEST)?;
    let ids = statement.query_map(params![project, ref_name, limit], |row| read_id(row, 0).map(BuildId))?;
    let mut builds = Vec::new();
    for id in ids {
        let id = id?;
        if let Some(build) = super::query::build_by_id(&store, id)? {
            builds.push((build, super::query::jobs(&store, id)?));
        }
    }
    let is_first = |build: &BuildRow| {
        let base = build.stamp.sources.first().map(|source| source.base.as_str());
        build.number == 1 || (build.cause == Cause::Change && base == Some(""))
    };
    let is_whole = builds.len() < limit as usize && builds.last().is_some_and(|(oldest, _)| is_first(oldest));
    builds.retain(|(build, _)| build.trust == Trust::Trusted);
    Ok(Window { builds, is_whole })
}

/// The steps of one attempt of a job, in order.
pub fn steps(store: &Connection, job: &JobRow) -> rusqlite::Result<Vec<StepRow>> {
    let all = super::query::steps(store, job.key.build)?;
    Ok(all.into_iter().filter(|step| step.key.job == job.key && step.key.attempt == job.attempt).collect())
}

/// The refs of the newest builds of a project.
pub fn recent_refs(store: &Connection, project: &str, builds: u32) -> rusqlite::Result<Vec<String>> {
    store.prepare_cached(BRANCHES)?.query_map(params![project, builds], |row| row.get(0))?.collect()
}

/// The refs of these builds, by project and number; those that are gone are left out.
pub fn refs(store: &Connection, builds: &BTreeSet<(String, u32)>) -> rusqlite::Result<BTreeSet<(String, String)>> {
    let mut statement = store.prepare_cached(REF)?;
    let mut found = BTreeSet::new();
    for (project, number) in builds {
        let name: Option<String> = statement.query_row(params![project, number], |row| row.get(0)).optional()?;
        found.extend(name.map(|name| (project.clone(), name)));
    }
    Ok(found)
}

pub fn reporter(store: &Connection, name: &str) -> rusqlite::Result<Option<ReporterRow>> {
    let sql = "select name, incarnation, after, born from reporters where name = ?1";
    store.prepare_cached(sql)?.query_row([name], read_reporter).optional()
}

pub fn reporter_names(store: &Connection) -> rusqlite::Result<Vec<String>> {
    store.prepare_cached("select name from reporters order by name")?.query_map([], |row| row.get(0))?.collect()
}

/// What a reporter told of the lanes of a branch, in the order of time.
pub fn told(store: &Connection, reporter: &str, project: &str, ref_name: &str) -> rusqlite::Result<Vec<ToldRow>> {
    let sql = "select reporter, project, ref, job, turn, revision, build, notice, time from told \
               where reporter = ?1 and project = ?2 and ref = ?3 order by time";
    store.prepare_cached(sql)?.query_map(params![reporter, project, ref_name], read_told)?.collect()
}

pub(super) fn write_reporter(to: &Transaction<'_>, row: &ReporterRow) -> rusqlite::Result<()> {
    let sql = "insert or replace into reporters (name, incarnation, after, born) values (?1, ?2, ?3, ?4)";
    run(to, sql, params![row.name, id(row.cursor.incarnation), id(row.cursor.after), time(row.born)])
}

pub(super) fn write_told(to: &Transaction<'_>, row: &ToldRow) -> rusqlite::Result<()> {
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

pub(super) fn forget_others(to: &Transaction<'_>, names: &[String]) -> rusqlite::Result<()> {
    let names = row::json(&names);
    run(to, "delete from reporters where name not in (select value from json_each(?1))", params![names])?;
    run(to, "delete from told where reporter not in (select value from json_each(?1))", params![names])
}

fn read_reporter(row: &Row<'_>) -> rusqlite::Result<ReporterRow> {
    let cursor = Cursor { incarnation: read_id(row, 1)?, after: read_id(row, 2)? };
    Ok(ReporterRow { name: row.get(0)?, cursor, born: read_time(row, 3)? })
}

fn read_told(row: &Row<'_>) -> rusqlite::Result<ToldRow> {
    Ok(ToldRow {
        reporter: row.get(0)?,
        project: row.get(1)?,
        ref_name: row.get(2)?,
        job: row.get(3)?,
        turn: row::read_word(row, 4)?,
        revision: row.get(5)?,
        build: row.get(6)?,
        notice: row.get(7)?,
        time: read_time(row, 8)?,
    })
}
