//! The tables of test runs: the newest runs of each lane, and a summary of the runs before them.

use super::{Tables, run, test_names};
use crate::decide::coordinator::record::{BuildId, JobKey};
use crate::decide::test_history::{DURATIONS_KEPT, EarlierRuns, RUNS_KEPT, RunOrder};
use crate::keep::store::sqlite::columns::{id, json, read_id, read_json};
use crate::keep::store::test_rows::{TESTS_MAX, TestLane, TestRunRow};
use rusqlite::types::Type;
use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use std::io;

const COLUMNS: &str =
    "project, ref, job, ref_update, number, build, idx, tree, is_whole, is_together, verdicts, durations";
/// The compression level of zstd. A fast level suffices, because most verdicts of a run are alike.
const LEVEL: i32 = 3;

/// A run without its verdicts and durations, which take most of its space.
#[derive(Clone, Debug)]
pub(crate) struct RunHead {
    id: i64,
    pub(crate) lane: TestLane,
    pub(crate) tree: String,
    pub(crate) is_together: bool,
}

impl Tables<'_> {
    /// Returns the kept runs of a lane, the newest first, at most `limit`.
    pub(crate) fn test_runs(self, lane: &TestLane, limit: usize) -> rusqlite::Result<Vec<TestRunRow>> {
        let sql = format!(
            "select {COLUMNS} from test_runs where project = ?1 and ref = ?2 and job = ?3 \
             order by ref_update desc, number desc limit ?4"
        );
        let values = params![lane.project, lane.ref_name, lane.job, id(limit as u64)];
        self.0.prepare_cached(&sql)?.query_map(values, read)?.collect()
    }

    /// Returns the kept runs of a lane whose builds have lower numbers than `number`, the newest first. They have no durations.
    pub(crate) fn test_runs_before(self, lane: &TestLane, number: u32) -> rusqlite::Result<Vec<TestRunRow>> {
        let columns = COLUMNS.replace("durations", "null");
        let sql = format!(
            "select {columns} from test_runs where project = ?1 and ref = ?2 and job = ?3 and number < ?4 \
             order by ref_update desc, number desc"
        );
        let values = params![lane.project, lane.ref_name, lane.job, number];
        self.0.prepare_cached(&sql)?.query_map(values, read)?.collect()
    }

    /// Returns the newest runs of a project in the order of their builds, the newest first.
    pub(crate) fn newest_run_heads(self, project: &str, limit: usize) -> rusqlite::Result<Vec<RunHead>> {
        let sql = "select rowid, project, ref, job, tree, is_together from test_runs \
                   where project = ?1 order by build desc limit ?2";
        let read = |row: &Row<'_>| {
            let lane = TestLane { project: row.get(1)?, ref_name: row.get(2)?, job: row.get(3)? };
            Ok(RunHead { id: row.get(0)?, lane, tree: row.get(4)?, is_together: row.get(5)? })
        };
        self.0.prepare_cached(sql)?.query_map(params![project, id(limit as u64)], read)?.collect()
    }

    /// Returns the verdict of each test in a run, by the test's number. It is empty if the run was removed meanwhile.
    pub(crate) fn run_verdicts(self, run: &RunHead) -> rusqlite::Result<Vec<u8>> {
        let sql = "select verdicts from test_runs where rowid = ?1";
        let found = self.0.prepare_cached(sql)?.query_row([run.id], |row| unpacked(row, 0)).optional()?;
        Ok(found.unwrap_or_default())
    }

    /// Returns the summary of the runs of a lane that are no longer kept.
    pub(crate) fn earlier_tests(self, lane: &TestLane) -> rusqlite::Result<EarlierRuns> {
        let sql = "select earlier from test_lanes where project = ?1 and ref = ?2 and job = ?3";
        let values = params![lane.project, lane.ref_name, lane.job];
        let found = self.0.prepare_cached(sql)?.query_row(values, |row| read_json(row, 0)).optional()?;
        Ok(found.unwrap_or_default())
    }

    /// Returns the jobs of a ref that have runs, in their order.
    pub(crate) fn tested_jobs(self, project: &str, ref_name: &str) -> rusqlite::Result<Vec<String>> {
        let sql = "select distinct job from test_runs where project = ?1 and ref = ?2 order by job";
        self.0.prepare_cached(sql)?.query_map([project, ref_name], |row| row.get(0))?.collect()
    }
}

/// Adds a run to its lane and marks its job as read. If retention has removed the build meanwhile, the run is left out, because
/// nothing would sweep it.
pub(crate) fn add(to: &Transaction<'_>, row: &TestRunRow) -> rusqlite::Result<()> {
    if Tables(to).is_kept(row.key.build.0)? {
        keep(to, row)?;
    }
    test_names::note_read(to, row.key)
}

/// Adds a run to its lane, in any order, and removes runs and durations that are then too old.
fn keep(to: &Transaction<'_>, row: &TestRunRow) -> rusqlite::Result<()> {
    if row.order <= Tables(to).earlier_tests(&row.lane)?.until {
        return Ok(());
    }
    write(to, row)?;
    if let Some(oldest) = beyond(to, &row.lane, RUNS_KEPT)? {
        let verdicts = verdicts_of(to, &row.lane, oldest)?;
        fold(to, &row.lane, oldest, &verdicts)?;
    }
    let Some(order) = beyond(to, &row.lane, DURATIONS_KEPT)? else { return Ok(()) };
    let sql = "update test_runs set durations = null where project = ?1 and ref = ?2 and job = ?3 \
               and (ref_update, number) <= (?4, ?5) and durations is not null";
    run(to, sql, params![row.lane.project, row.lane.ref_name, row.lane.job, order.0, order.1])
}

fn write(to: &Transaction<'_>, row: &TestRunRow) -> rusqlite::Result<()> {
    let sql = format!(
        "insert or replace into test_runs ({COLUMNS}, has_mixed) \
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"
    );
    let values = params![
        row.lane.project,
        row.lane.ref_name,
        row.lane.job,
        row.order.0,
        row.order.1,
        id(row.key.build.0),
        row.key.index,
        row.tree,
        row.is_whole,
        row.is_together,
        packed(&row.verdicts)?,
        packed(&row.durations)?,
        row.has_mixed(),
    ];
    run(to, &sql, values)
}

/// Returns the newest run of a lane that has at least `kept` newer ones.
fn beyond(to: &Transaction<'_>, lane: &TestLane, kept: usize) -> rusqlite::Result<Option<RunOrder>> {
    let sql = "select ref_update, number from test_runs where project = ?1 and ref = ?2 and job = ?3 \
               order by ref_update desc, number desc limit 1 offset ?4";
    let values = params![lane.project, lane.ref_name, lane.job, id(kept as u64)];
    to.prepare_cached(sql)?.query_row(values, |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

fn verdicts_of(to: &Transaction<'_>, lane: &TestLane, order: RunOrder) -> rusqlite::Result<Vec<u8>> {
    let sql = "select verdicts from test_runs where project = ?1 and ref = ?2 and job = ?3 and ref_update = ?4 and number = ?5";
    let values = params![lane.project, lane.ref_name, lane.job, order.0, order.1];
    to.prepare_cached(sql)?.query_row(values, |row| unpacked(row, 0))
}

/// Removes the oldest run of a lane, and adds its results to the summary.
fn fold(to: &Transaction<'_>, lane: &TestLane, order: RunOrder, verdicts: &[u8]) -> rusqlite::Result<()> {
    let mut earlier = Tables(to).earlier_tests(lane)?;
    earlier.add(order, verdicts);
    let sql = "insert or replace into test_lanes (project, ref, job, earlier) values (?1, ?2, ?3, ?4)";
    run(to, sql, params![lane.project, lane.ref_name, lane.job, json(&earlier)])?;
    let sql = "delete from test_runs where project = ?1 and ref = ?2 and job = ?3 and ref_update = ?4 and number = ?5";
    run(to, sql, params![lane.project, lane.ref_name, lane.job, order.0, order.1])
}

/// Removes the summaries of a ref if its last build was removed: see [`super::lanes::remove_unbuilt`].
pub(crate) fn remove_unbuilt(to: &Transaction<'_>, project: &str, ref_name: &str) -> rusqlite::Result<()> {
    let sql = "delete from test_lanes where project = ?1 and ref = ?2 \
               and not exists (select 1 from builds where project = ?1 and ref = ?2)";
    run(to, sql, params![project, ref_name])
}

/// Deletes at most `most` runs of a removed build, and returns how many.
pub(crate) fn sweep(to: &Transaction<'_>, build: u64, most: u32) -> rusqlite::Result<usize> {
    let sql = format!("select {COLUMNS} from test_runs where build = ?1 limit ?2");
    let gone: Vec<TestRunRow> =
        to.prepare_cached(&sql)?.query_map(params![id(build), most], read)?.collect::<rusqlite::Result<_>>()?;
    for row in &gone {
        if is_oldest(to, row)? && Tables(to).has_builds(&row.lane)? {
            fold(to, &row.lane, row.order, &row.verdicts)?;
        } else {
            run(to, "delete from test_runs where build = ?1 and idx = ?2", params![id(build), row.key.index])?;
        }
    }
    Ok(gone.len())
}

fn is_oldest(to: &Transaction<'_>, row: &TestRunRow) -> rusqlite::Result<bool> {
    let sql = "select not exists (select 1 from test_runs where project = ?1 and ref = ?2 and job = ?3 \
               and (ref_update, number) < (?4, ?5))";
    let values = params![row.lane.project, row.lane.ref_name, row.lane.job, row.order.0, row.order.1];
    to.prepare_cached(sql)?.query_row(values, |row| row.get(0))
}

impl Tables<'_> {
    fn has_builds(self, lane: &TestLane) -> rusqlite::Result<bool> {
        let sql = "select exists (select 1 from builds where project = ?1 and ref = ?2)";
        self.0.prepare_cached(sql)?.query_row([&lane.project, &lane.ref_name], |row| row.get(0))
    }
}

fn packed(bytes: &[u8]) -> rusqlite::Result<Vec<u8>> {
    let failed = |error| rusqlite::Error::ToSqlConversionFailure(Box::new(error));
    zstd::bulk::compress(bytes, LEVEL).map_err(failed)
}

fn unpacked(row: &Row<'_>, index: usize) -> rusqlite::Result<Vec<u8>> {
    let Some(bytes) = row.get::<_, Option<Vec<u8>>>(index)? else { return Ok(Vec::new()) };
    let wrong = |error| rusqlite::Error::FromSqlConversionFailure(index, Type::Blob, Box::new(error));
    unpacked_bytes(&bytes).map_err(wrong)
}

/// Decompresses a frame. It allocates the size that the frame gives, because most projects have far fewer tests than they may
/// have.
fn unpacked_bytes(packed: &[u8]) -> io::Result<Vec<u8>> {
    let most = TESTS_MAX as usize;
    let said = zstd::zstd_safe::get_frame_content_size(packed).ok().flatten();
    let size = said.and_then(|size| usize::try_from(size).ok()).unwrap_or(most);
    zstd::bulk::decompress(packed, size.min(most))
}

fn read(row: &Row<'_>) -> rusqlite::Result<TestRunRow> {
    Ok(TestRunRow {
        lane: TestLane { project: row.get(0)?, ref_name: row.get(1)?, job: row.get(2)? },
        order: (row.get(3)?, row.get(4)?),
        key: JobKey { build: BuildId(read_id(row, 5)?), index: row.get(6)? },
        tree: row.get(7)?,
        is_whole: row.get(8)?,
        is_together: row.get(9)?,
        verdicts: unpacked(row, 10)?,
        durations: unpacked(row, 11)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_takes_the_room_of_its_tests() {
        let verdicts = vec![1; 1_000];
        let back = unpacked_bytes(&packed(&verdicts).unwrap()).unwrap();
        assert_eq!(back, verdicts);
        assert!(back.capacity() <= 4_096, "it took {} bytes", back.capacity());
        assert!(unpacked_bytes(&packed(&[]).unwrap()).unwrap().is_empty());
        let most = vec![1; TESTS_MAX as usize];
        assert_eq!(unpacked_bytes(&packed(&most).unwrap()).unwrap(), most);
    }

    #[test]
    fn a_damaged_row_takes_no_more_than_the_most_tests_do() {
        let larger = packed(&vec![1; TESTS_MAX as usize + 1]).unwrap();
        assert!(unpacked_bytes(&larger).is_err());
        assert!(unpacked_bytes(b"no frame").is_err());
    }
}
