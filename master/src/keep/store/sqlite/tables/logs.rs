//! The table of sealed logs: their length, their hash, and the bytes of small ones. The bytes of all logs are counted here too.

use super::{Tables, run};
use crate::decide::coordinator::record::{BuildId, JobKey, SealRow, StepKey};
use crate::keep::store::Logged;
use crate::keep::store::sqlite::columns::{id, read_id, read_maybe_time, read_time};
use rusqlite::{OptionalExtension as _, Row, Transaction, params};

/// The statement that finds the next builds with logs that were not removed.
pub(crate) const LOGGED: &str = "select distinct build from logs where build > ?1 \
                                 and not exists (select 1 from removals as r where r.build = logs.build) \
                                 order by build limit ?2";
/// The number of bytes of a log that count as one more row when rows are swept: a few pages that SQLite gives back.
const ROW_BYTES: u64 = 16 << 10;

impl Tables<'_> {
    pub(crate) fn seal(self, key: StepKey) -> rusqlite::Result<Option<SealRow>> {
        let sql = "select size, hash, bytes from logs where build = ?1 and idx = ?2 and attempt = ?3 and step = ?4";
        let values = params![id(key.job.build.0), key.job.index, key.attempt, key.step];
        self.0.prepare_cached(sql)?.query_row(values, |row| read(key, row)).optional()
    }

    /// Returns the sealed logs that are files, of builds whose logs are kept.
    pub(crate) fn sealed_logs(self) -> rusqlite::Result<Vec<SealRow>> {
        let sql = "select size, hash, bytes, build, idx, attempt, step from logs where bytes is null \
                   and not exists (select 1 from removals as r where r.build = logs.build)";
        self.all(sql, |row| {
            let job = JobKey { build: BuildId(read_id(row, 3)?), index: row.get(4)? };
            read(StepKey { job, attempt: row.get(5)?, step: row.get(6)? }, row)
        })
    }

    pub(crate) fn log_bytes(self) -> rusqlite::Result<u64> {
        self.counter("log-bytes")
    }

    /// Returns the next builds with logs, the oldest first.
    pub(crate) fn logged_builds(self, after: BuildId, limit: u32) -> rusqlite::Result<Vec<Logged>> {
        let mut statement = self.0.prepare_cached(LOGGED)?;
        let found = statement.query_map(params![id(after.0), limit], |row| read_id(row, 0))?;
        found.map(|build| self.logged_build(build?)).filter_map(Result::transpose).collect()
    }

    /// Returns the times of a build and the bytes of its logs. `None` means that the build was removed and its rows wait to be
    /// swept.
    fn logged_build(self, build: u64) -> rusqlite::Result<Option<Logged>> {
        let sql = "select created, case when state = 'finished' then finished end, \
                   (select sum(size) from logs where build = ?1) from builds where id = ?1";
        let read = |row: &Row<'_>| {
            Ok(Logged {
                build: BuildId(build),
                created: read_time(row, 0)?,
                finished: read_maybe_time(row, 1)?,
                bytes: read_id(row, 2)?,
            })
        };
        self.0.prepare_cached(sql)?.query_row([id(build)], read).optional()
    }
}

/// Writes a seal, and counts its bytes in `log-bytes`, which retention reads.
pub(crate) fn write(to: &Transaction<'_>, row: &SealRow) -> rusqlite::Result<()> {
    let sql = "update counters set value = value + ?5 - coalesce((select size from logs \
               where build = ?1 and idx = ?2 and attempt = ?3 and step = ?4), 0) where name = 'log-bytes'";
    let key = row.key;
    let (build, index) = (id(key.job.build.0), key.job.index);
    run(to, sql, params![build, index, key.attempt, key.step, id(row.size)])?;
    let sql = "insert or replace into logs (build, idx, attempt, step, size, hash, bytes) \
               values (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    run(to, sql, params![build, index, key.attempt, key.step, id(row.size), row.hash, row.bytes])
}

/// Subtracts the logs of a build from the total. It does so only once, although their rows stay for a while.
pub(crate) fn count_out(to: &Transaction<'_>, build: u64) -> rusqlite::Result<()> {
    let sql = "update counters set value = value - (select coalesce(sum(size), 0) from logs where build = ?1) \
               where name = 'log-bytes' and not exists (select 1 from removals where build = ?1)";
    run(to, sql, [id(build)])
}

/// Deletes log rows of a build until they have cost as much as `most` rows, and returns the cost. A small log lies in its row,
/// so deleting the row also frees many pages.
pub(crate) fn sweep(to: &Transaction<'_>, build: u64, most: u32) -> rusqlite::Result<usize> {
    let sql =
        "select rowid, coalesce(length(bytes), 0) from logs where build = ?1 order by idx, attempt, step limit ?2";
    let mut statement = to.prepare_cached(sql)?;
    let found = statement.query_map(params![id(build), most], |row| Ok((row.get::<_, i64>(0)?, read_id(row, 1)?)))?;
    let mut cost = 0_usize;
    for row in found.collect::<rusqlite::Result<Vec<_>>>()? {
        if cost >= most as usize {
            break;
        }
        to.prepare_cached("delete from logs where rowid = ?1")?.execute([row.0])?;
        cost = cost.saturating_add(usize::try_from(1 + row.1 / ROW_BYTES).unwrap_or(usize::MAX));
    }
    Ok(cost)
}

/// Reads a seal from the columns `size`, `hash` and `bytes`.
fn read(key: StepKey, row: &Row<'_>) -> rusqlite::Result<SealRow> {
    Ok(SealRow { key, size: read_id(row, 0)?, hash: row.get(1)?, bytes: row.get(2)? })
}
