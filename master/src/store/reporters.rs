//! Branches as reporters look at them, and what was told of them. Decides nothing.

use super::commit::run;
use super::lanes;
use super::query;
use super::row::{self, id, read_id, read_time, time};
use crate::coordinator::lane::{Lane, LaneResult, RefState};
use crate::coordinator::record::{BuildCause, BuildId, JobRow, ReporterRow, StepRow, ToldRow};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use schema::values::{Cursor, Outcome, State, Time, Trust};
use std::collections::{BTreeMap, BTreeSet};

/// Rows kept of each lane.
const TOLD: u32 = 64;

/// Builds of a branch that are looked through for unfinished ones and for broken pipelines. More are rarely unfinished at a
/// time, and what is older is settled.
const READ_MAX: u32 = 200;

const READINGS: &str = "select ref_update, number, state, outcome, job_count, revision, created, finished, trust, id, \
                        cause \
                        from builds indexed by builds_update where project = ?1 and ref = ?2 and ref_update > 0 \
                        and ref_update >= ?4 \
                        order by ref_update desc, number desc limit ?3";
// a build that is gone, or belongs to no update, stands where its number says
const TOLD_OF: &str = "select t.reporter, t.project, t.ref, t.job, t.turn, t.revision, t.build, t.notice, t.time, \
                       coalesce(nullif(b.ref_update, 0), t.build) from told as t \
                       left join builds as b on b.project = t.project and b.number = t.build \
                       where t.reporter = ?1 and t.project = ?2 and t.ref = ?3 order by t.time";
const BRANCHES: &str = "select distinct ref from (select ref from builds indexed by builds_number \
                        where project = ?1 order by number desc limit ?2)";
const REF: &str = "select ref from builds where project = ?1 and number = ?2";

/// A branch as a reporter looks at it, and what the reporter told of it: one read transaction.
#[derive(Clone, Debug, Default)]
pub struct Looked {
    pub state: RefState,
    /// What became of reading the pipeline, update by update: `succeeded` where there is a plan.
    pub pipeline: Lane,
    /// Updates that have an unfinished build, each with its unfinished jobs; none: they are not known yet.
    pub open: BTreeMap<u32, Option<BTreeSet<String>>>,
    /// The newest build that has a plan, and when it was made.
    pub planned: Option<(LaneResult, Time)>,
    /// In the order of time, each with the update of its build.
    pub told: Vec<(ToldRow, u32)>,
}

pub fn look(store: &Connection, reporter: &str, project: &str, ref_name: &str) -> rusqlite::Result<Looked> {
    let store = store.unchecked_transaction()?;
    let mut looked = Looked::default();
    for build in readings(&store, project, ref_name)? {
        if build.state != State::Finished {
            let jobs = open_jobs(&store, &build)?;
            let known = looked.open.remove(&build.update).unwrap_or_else(|| Some(BTreeSet::new()));
            let both = known.zip(jobs).map(|(known, jobs)| known.into_iter().chain(jobs).collect());
            looked.open.insert(build.update, both);
        }
        let Some(result) = build.result() else { continue };
        if result.outcome == Outcome::Succeeded {
            looked.planned = Some((result.clone(), build.created));
        }
        looked.pipeline.add(result);
    }
    let since = since(&store, project, ref_name)?;
    looked.told = told(&store, reporter, project, ref_name)?;
    looked.told.retain(|(_, update)| *update >= since);
    looked.state = lanes::state_in(&store, project, ref_name)?;
    Ok(looked)
}

/// The update with which the ref came into being: what was before is of one that was deleted.
fn since(store: &Connection, project: &str, ref_name: &str) -> rusqlite::Result<u32> {
    let sql = "select ref_since from heads where project = ?1 and ref = ?2";
    let since = store.prepare_cached(sql)?.query_row(params![project, ref_name], |row| row.get(0)).optional()?;
    Ok(since.unwrap_or_default())
}

/// None: it has no plan yet.
fn open_jobs(store: &Connection, build: &Reading) -> rusqlite::Result<Option<BTreeSet<String>>> {
    if build.job_count == 0 {
        return Ok(None);
    }
    let jobs = query::jobs(store, build.id)?.into_iter().filter(|job| job.state != State::Finished);
    Ok(Some(jobs.map(|job| job.name).collect()))
}

/// What became of reading the pipeline of a branch.
pub fn pipeline(store: &Connection, project: &str, ref_name: &str) -> rusqlite::Result<Lane> {
    let mut lane = Lane::default();
    readings(store, project, ref_name)?.iter().filter_map(Reading::result).for_each(|result| lane.add(result));
    Ok(lane)
}

/// What a build says of its pipeline.
struct Reading {
    id: BuildId,
    update: u32,
    build: u32,
    state: State,
    outcome: Option<Outcome>,
    job_count: u32,
    revision: String,
    created: Time,
    finished: Option<Time>,
    is_push: bool,
}

impl Reading {
    /// None: it was not read, or there was nothing to read.
    fn result(&self) -> Option<LaneResult> {
        // somebody may ask for a build of a branch that has no pipeline
        let is_broken = self.is_push && self.state == State::Finished && self.outcome == Some(Outcome::Failed);
        let (outcome, finished) = match self.job_count {
            0 if is_broken => (Outcome::Failed, self.finished.unwrap_or(self.created)),
            0 => return None,
            _ => (Outcome::Succeeded, self.created),
        };
        let (update, build, revision) = (self.update, self.build, self.revision.clone());
        Some(LaneResult { update, build, outcome, finished, revision })
    }
}

/// Of the newest builds of a branch that trusted sources brought; the oldest first.
fn readings(store: &Connection, project: &str, ref_name: &str) -> rusqlite::Result<Vec<Reading>> {
    let mut statement = store.prepare_cached(READINGS)?;
    let read = |row: &Row<'_>| {
        Ok((
            row::read_word::<Trust>(row, 8)?,
            Reading {
                id: BuildId(read_id(row, 9)?),
                update: row.get(0)?,
                build: row.get(1)?,
                state: row::read_word(row, 2)?,
                outcome: row::maybe_word(row, 3)?,
                job_count: row.get(4)?,
                revision: row.get(5)?,
                created: read_time(row, 6)?,
                finished: row::read_maybe_time(row, 7)?,
                is_push: row::read_json::<BuildCause>(row, 10)? == BuildCause::Change,
            },
        ))
    };
    let since = since(store, project, ref_name)?;
    let rows = statement.query_map(params![project, ref_name, READ_MAX, since], read)?;
    let rows: Vec<(Trust, Reading)> = rows.collect::<Result<_, _>>()?;
    let trusted = rows.into_iter().rev().filter(|(trust, _)| *trust == Trust::Trusted);
    Ok(trusted.map(|(_, reading)| reading).collect())
}

/// The steps of one attempt of a job, in order.
pub fn steps(store: &Connection, job: &JobRow) -> rusqlite::Result<Vec<StepRow>> {
    let all = query::steps(store, job.key.build)?;
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

/// What a reporter told of the lanes of a branch, in the order of time, each with the update of its build.
pub fn told(
    store: &Connection,
    reporter: &str,
    project: &str,
    ref_name: &str,
) -> rusqlite::Result<Vec<(ToldRow, u32)>> {
    let read = |row: &Row<'_>| Ok((read_told(row)?, row.get(9)?));
    store.prepare_cached(TOLD_OF)?.query_map(params![reporter, project, ref_name], read)?.collect()
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
