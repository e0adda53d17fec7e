//! Takes out of history what retention chose, a bounded number of rows in each transaction. First a build (or its logs) is
//! gone for everybody, in a few rows; then its files are unlinked; then what is left of its rows is swept. A crash between
//! leaves what the next pass sweeps.

use super::commit::is_full;
use super::lanes;
use super::row::{id, read_id, time};
use crate::coordinator::record::BuildId;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use schema::values::Time;

/// Bytes of a log's row that cost as much as another row: a few pages to give back.
const ROW_BYTES: u64 = 16 << 10;

/// What shall go, in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removal {
    /// Whole builds, finished ones.
    pub builds: Vec<BuildId>,
    /// The logs of finished builds, and why.
    pub logs: Vec<(BuildId, String)>,
}

/// What to sweep, in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// They were removed, and none of their files is left.
    pub unlinked: Vec<BuildId>,
    /// Older events go.
    pub events_before: Time,
    /// At most so many rows.
    pub rows: u32,
}

/// Why nothing was removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    #[error("the disk is full")]
    Full,
    #[error("{0}")]
    Failed(String),
}

impl Removal {
    pub fn is_empty(&self) -> bool {
        self.builds.is_empty() && self.logs.is_empty()
    }
}

/// From here on the builds are not found, and the logs are known to be removed.
pub(super) fn remove(connection: &mut Connection, removal: &Removal) -> Result<(), RemoveError> {
    in_one(connection, |to| {
        removal.builds.iter().try_for_each(|build| remove_build(to, build.0))?;
        removal.logs.iter().try_for_each(|(build, reason)| remove_logs(to, build.0, reason))
    })
}

/// Answers how many rows went.
pub(super) fn sweep(connection: &mut Connection, sweep: &Sweep) -> Result<u32, RemoveError> {
    in_one(connection, |to| {
        let mut left = sweep.rows;
        for build in &sweep.unlinked {
            sweep_build(to, build.0, &mut left)?;
        }
        sweep_old(to, OLD_EVENTS, sweep.events_before, &mut left)?;
        sweep_old(to, OLD_CHANGES, sweep.events_before, &mut left)?;
        Ok(sweep.rows - left)
    })
}

fn in_one<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
) -> Result<T, RemoveError> {
    let done = connection.transaction().and_then(|transaction| {
        let done = work(&transaction)?;
        transaction.commit()?;
        Ok(done)
    });
    done.map_err(|error| match is_full(connection, &error) {
        true => RemoveError::Full,
        false => RemoveError::Failed(error.to_string()),
    })
}

fn remove_build(to: &Transaction<'_>, build: u64) -> rusqlite::Result<()> {
    let sql = "delete from builds where id = ?1 and state = 'finished' returning project, ref";
    let of = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
    let Some((project, ref_name)) = to.prepare_cached(sql)?.query_row([id(build)], of).optional()? else {
        return Ok(());
    };
    lanes::remove_unbuilt(to, &project, &ref_name)?;
    count_out(to, build)?;
    let sql = "insert or replace into removals (build, reason, swept) values (?1, '', 0)";
    to.prepare_cached(sql)?.execute([id(build)])?;
    Ok(())
}

fn remove_logs(to: &Transaction<'_>, build: u64, reason: &str) -> rusqlite::Result<()> {
    let sql = "select 1 from builds where id = ?1 and state = 'finished'";
    if !to.prepare_cached(sql)?.exists([id(build)])? {
        return Ok(());
    }
    count_out(to, build)?;
    let sql = "insert or ignore into removals (build, reason, swept) values (?1, ?2, 0)";
    to.prepare_cached(sql)?.execute(params![id(build), reason])?;
    Ok(())
}

/// Takes the build's logs out of their total; once, though their rows stay for a while.
fn count_out(to: &Transaction<'_>, build: u64) -> rusqlite::Result<()> {
    let sql = "update counters set value = value - (select coalesce(sum(size), 0) from logs where build = ?1) \
               where name = 'log-bytes' and not exists (select 1 from removals where build = ?1)";
    to.prepare_cached(sql)?.execute([id(build)])?;
    Ok(())
}

fn sweep_build(to: &Transaction<'_>, build: u64, left: &mut u32) -> rusqlite::Result<()> {
    sweep_logs(to, build, left)?;
    let is_gone = !to.prepare_cached("select 1 from builds where id = ?1")?.exists([id(build)])?;
    if is_gone {
        for sql in [STEPS, ATTEMPTS, JOBS, PLANS, CHANGES] {
            take(left, to.prepare_cached(sql)?.execute(params![id(build), *left])?);
        }
    }
    if *left == 0 {
        return Ok(());
    }
    let end = if is_gone {
        "delete from removals where build = ?1"
    } else {
        "update removals set swept = 1 where build = ?1"
    };
    take(left, to.prepare_cached(end)?.execute([id(build)])?);
    Ok(())
}

const STEPS: &str = "delete from steps where (build, idx, attempt, step) in \
                     (select build, idx, attempt, step from steps where build = ?1 limit ?2)";
const ATTEMPTS: &str = "delete from attempts where (build, idx, number) in \
                        (select build, idx, number from attempts where build = ?1 limit ?2)";
const JOBS: &str = "delete from jobs where (build, idx) in (select build, idx from jobs where build = ?1 limit ?2)";
const PLANS: &str = "delete from plans where build in (select build from plans where build = ?1 limit ?2)";
const CHANGES: &str = "delete from changes where id in (select id from changes where build = ?1 limit ?2)";
// in the order of their numbers, which is that of time: the oldest are looked at until one is young enough
const OLD_EVENTS: &str = "delete from events where sequence in \
                          (select sequence from (select sequence, time from events order by sequence limit ?2) where time < ?1)";
const OLD_CHANGES: &str = "delete from changes where id in (select id from changes indexed by changes_time \
                           where build is null and time < ?1 order by time limit ?2)";

/// A small log lies in its row, and many pages with it.
fn sweep_logs(to: &Transaction<'_>, build: u64, left: &mut u32) -> rusqlite::Result<()> {
    let sql =
        "select rowid, coalesce(length(bytes), 0) from logs where build = ?1 order by idx, attempt, step limit ?2";
    let mut statement = to.prepare_cached(sql)?;
    let found = statement.query_map(params![id(build), *left], |row| Ok((row.get::<_, i64>(0)?, read_id(row, 1)?)))?;
    for row in found.collect::<rusqlite::Result<Vec<_>>>()? {
        if *left == 0 {
            return Ok(());
        }
        to.prepare_cached("delete from logs where rowid = ?1")?.execute([row.0])?;
        take(left, usize::try_from(1 + row.1 / ROW_BYTES).unwrap_or(usize::MAX));
    }
    Ok(())
}

fn sweep_old(to: &Transaction<'_>, sql: &str, before: Time, left: &mut u32) -> rusqlite::Result<()> {
    take(left, to.prepare_cached(sql)?.execute(params![time(before), *left])?);
    Ok(())
}

fn take(left: &mut u32, rows: usize) {
    *left = left.saturating_sub(u32::try_from(rows).unwrap_or(u32::MAX));
}
