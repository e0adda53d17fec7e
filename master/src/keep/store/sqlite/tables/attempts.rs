//! The table of the attempts of jobs, each with the worker that ran it.

use super::{Tables, jobs, run};
use crate::decide::coordinator::record::{AttemptRow, BuildId, GrantId, JobKey, LeaseToken};
use crate::keep::store::sqlite::columns::{
    id, json, maybe_json, maybe_time, maybe_word, read_id, read_maybe_time, read_time, time,
};
use rusqlite::{Row, Transaction, params};
use schema::values::TierName;
use std::time::Duration;

const COLUMNS: &str = "build, idx, number, token, by_grant, worker, started, finished, outcome, reason, isolation, placed, term, \
     home";

impl Tables<'_> {
    pub(crate) fn attempts(self, job: JobKey) -> rusqlite::Result<Vec<AttemptRow>> {
        let sql = format!("select {COLUMNS} from attempts where build = ?1 and idx = ?2 order by number");
        self.0.prepare_cached(&sql)?.query_map(params![id(job.build.0), job.index], read)?.collect()
    }

    /// Returns the attempt with the highest number of each job of a build.
    pub(crate) fn latest_attempts(self, build: BuildId) -> rusqlite::Result<Vec<AttemptRow>> {
        let sql = format!(
            "select {COLUMNS} from attempts as a where build = ?1 and number = \
             (select max(number) from attempts as b where b.build = a.build and b.idx = a.idx)"
        );
        self.0.prepare_cached(&sql)?.query_map([id(build.0)], read)?.collect()
    }
}

pub(crate) fn write(to: &Transaction<'_>, row: &AttemptRow) -> rusqlite::Result<()> {
    let sql = "insert or replace into attempts (build, idx, number, token, by_grant, worker, started, finished, \
               outcome, reason, isolation, placed, term, home) \
               values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    let values = params![
        id(row.job.build.0),
        row.job.index,
        row.number,
        row.token.0,
        id(row.grant.0),
        row.worker,
        time(row.started),
        maybe_time(row.finished),
        row.outcome.map(|outcome| outcome.word()),
        row.reason,
        row.isolation.as_ref().map_or("", TierName::word),
        row.placed.as_ref().map(json).unwrap_or_default(),
        id(u64::try_from(row.term.as_millis()).unwrap_or(u64::MAX)),
        row.home.as_ref().map(json).unwrap_or_default(),
    ];
    run(to, sql, values)
}

/// Deletes at most `most` rows of a removed build, and returns how many.
pub(crate) fn sweep(to: &Transaction<'_>, build: u64, most: u32) -> rusqlite::Result<usize> {
    let sql = "delete from attempts where (build, idx, number) in \
               (select build, idx, number from attempts where build = ?1 limit ?2)";
    to.prepare_cached(sql)?.execute(params![id(build), most])
}

fn read(row: &Row<'_>) -> rusqlite::Result<AttemptRow> {
    Ok(AttemptRow {
        job: jobs::read_key(row)?,
        number: row.get(2)?,
        token: LeaseToken(row.get(3)?),
        grant: GrantId(read_id(row, 4)?),
        worker: row.get(5)?,
        started: read_time(row, 6)?,
        finished: read_maybe_time(row, 7)?,
        outcome: maybe_word(row, 8)?,
        reason: row.get(9)?,
        isolation: TierName::read(row.get(10)?),
        // this column only explains the placement, so a value that this version cannot read counts as not recorded
        placed: maybe_json(row, 11).unwrap_or_default(),
        term: Duration::from_millis(read_id(row, 12)?),
        home: maybe_json(row, 13)?,
    })
}
