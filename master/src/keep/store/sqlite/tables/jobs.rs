//! The table of the jobs of builds.

use super::{Tables, run};
use crate::decide::coordinator::record::{BuildId, JobKey, JobRow};
use crate::keep::store::sqlite::columns::{id, maybe_time, maybe_word, read_id, read_maybe_time, read_word};
use rusqlite::{Row, Transaction, params};
use schema::values::TierName;

const COLUMNS: &str = "build, idx, name, state, outcome, reason, attempt, lost, queued, started, finished, \
                              worker, platform, carried_from, isolation";
/// The statement that finds the builds whose carried jobs ran in the build with this number.
pub(crate) const CARRIERS: &str = "select distinct j.build from jobs as j indexed by jobs_carried \
                                   cross join builds as b on b.id = j.build \
                                   where j.carried_from = ?2 and j.carried_from > 0 and b.project = ?1";

impl Tables<'_> {
    /// Returns the jobs of a build, in the order of its plan.
    pub(crate) fn jobs(self, build: BuildId) -> rusqlite::Result<Vec<JobRow>> {
        let sql = format!("select {COLUMNS} from jobs where build = ?1 order by idx");
        self.0.prepare_cached(&sql)?.query_map([id(build.0)], read)?.collect()
    }

    pub(crate) fn carriers(self, project: &str, number: u32) -> rusqlite::Result<Vec<BuildId>> {
        let mut statement = self.0.prepare_cached(CARRIERS)?;
        statement.query_map(params![project, number], |row| read_id(row, 0).map(BuildId))?.collect()
    }
}

pub(crate) fn write(to: &Transaction<'_>, row: &JobRow) -> rusqlite::Result<()> {
    let sql = "insert or replace into jobs (build, idx, name, state, outcome, reason, attempt, lost, queued, started, \
               finished, worker, platform, carried_from, isolation) \
               values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
    let values = params![
        id(row.key.build.0),
        row.key.index,
        row.name,
        row.state.word(),
        row.outcome.map(|outcome| outcome.word()),
        row.reason,
        row.attempt,
        row.lost,
        maybe_time(row.queued),
        maybe_time(row.started),
        maybe_time(row.finished),
        row.worker,
        row.platform,
        row.carried_from,
        row.isolation.as_ref().map_or("", TierName::word),
    ];
    run(to, sql, values)
}

/// Deletes at most `most` rows of a removed build, and returns how many.
pub(crate) fn sweep(to: &Transaction<'_>, build: u64, most: u32) -> rusqlite::Result<usize> {
    let sql = "delete from jobs where (build, idx) in (select build, idx from jobs where build = ?1 limit ?2)";
    to.prepare_cached(sql)?.execute(params![id(build), most])
}

/// Reads the key of a job from the first two columns, `build` and `idx`.
pub(crate) fn read_key(row: &Row<'_>) -> rusqlite::Result<JobKey> {
    Ok(JobKey { build: BuildId(read_id(row, 0)?), index: row.get(1)? })
}

fn read(row: &Row<'_>) -> rusqlite::Result<JobRow> {
    Ok(JobRow {
        key: read_key(row)?,
        name: row.get(2)?,
        state: read_word(row, 3)?,
        outcome: maybe_word(row, 4)?,
        reason: row.get(5)?,
        attempt: row.get(6)?,
        lost: row.get(7)?,
        queued: read_maybe_time(row, 8)?,
        started: read_maybe_time(row, 9)?,
        finished: read_maybe_time(row, 10)?,
        worker: row.get(11)?,
        platform: row.get(12)?,
        carried_from: row.get(13)?,
        isolation: TierName::read(row.get(14)?),
    })
}
