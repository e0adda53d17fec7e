//! The table of the steps of attempts.

use super::{Tables, jobs, run, test_names};
use crate::decide::coordinator::record::{BuildId, JobKey, StepKey, StepRow};
use crate::keep::store::sqlite::columns::{
    id, json, maybe_json, maybe_time, maybe_word, read_id, read_json, read_maybe_time, read_word,
};
use rusqlite::{Row, Transaction, params};

const COLUMNS: &str =
    "build, idx, attempt, step, name, state, outcome, exit, started, finished, log_size, log_hash, tests";

impl Tables<'_> {
    /// Returns the steps of all attempts of a build, in the order of its plan.
    pub(crate) fn steps(self, build: BuildId) -> rusqlite::Result<Vec<StepRow>> {
        let sql = format!("select {COLUMNS} from steps where build = ?1 order by idx, attempt, step");
        self.0.prepare_cached(&sql)?.query_map([id(build.0)], read)?.collect()
    }

    pub(crate) fn steps_of(self, job: JobKey, attempt: u16) -> rusqlite::Result<Vec<StepRow>> {
        let sql = format!("select {COLUMNS} from steps where build = ?1 and idx = ?2 and attempt = ?3 order by step");
        self.0.prepare_cached(&sql)?.query_map(params![id(job.build.0), job.index, attempt], read)?.collect()
    }
}

/// Writes a step. If the new row has no start, the stored one stays. A worker reports the start only once, and a restarted
/// master learns only the end.
pub(crate) fn write(to: &Transaction<'_>, row: &StepRow) -> rusqlite::Result<()> {
    let sql = "insert into steps (build, idx, attempt, step, name, state, outcome, exit, started, finished, log_size, \
               log_hash, tests) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) \
               on conflict (build, idx, attempt, step) do update set state = excluded.state, \
               outcome = excluded.outcome, exit = excluded.exit, started = coalesce(excluded.started, started), \
               finished = excluded.finished, log_size = excluded.log_size, log_hash = excluded.log_hash, \
               tests = excluded.tests";
    let values = params![
        id(row.key.job.build.0),
        row.key.job.index,
        row.key.attempt,
        row.key.step,
        row.name,
        row.state.word(),
        row.outcome.map(|outcome| outcome.word()),
        json(&row.exit),
        maybe_time(row.started),
        maybe_time(row.finished),
        id(row.log_size),
        row.log_hash,
        row.tests.as_ref().map_or_else(String::new, json),
    ];
    run(to, sql, values)?;
    let has_list = row.tests.as_ref().is_some_and(|tests| !tests.list.is_empty());
    if has_list { test_names::note_unread(to, row.key.job) } else { Ok(()) }
}

/// Deletes at most `most` rows of a removed build, and returns how many.
pub(crate) fn sweep(to: &Transaction<'_>, build: u64, most: u32) -> rusqlite::Result<usize> {
    let sql = "delete from steps where (build, idx, attempt, step) in \
               (select build, idx, attempt, step from steps where build = ?1 limit ?2)";
    to.prepare_cached(sql)?.execute(params![id(build), most])
}

fn read(row: &Row<'_>) -> rusqlite::Result<StepRow> {
    Ok(StepRow {
        key: StepKey { job: jobs::read_key(row)?, attempt: row.get(2)?, step: row.get(3)? },
        name: row.get(4)?,
        state: read_word(row, 5)?,
        outcome: maybe_word(row, 6)?,
        exit: read_json(row, 7)?,
        started: read_maybe_time(row, 8)?,
        finished: read_maybe_time(row, 9)?,
        log_size: read_id(row, 10)?,
        log_hash: row.get(11)?,
        tests: maybe_json(row, 12)?,
    })
}
