//! The tables of the tests of projects, by their numbers, and of the jobs whose lists of tests are not read yet.

use super::{Tables, run};
use crate::decide::coordinator::record::{BuildId, JobKey};
use crate::keep::store::sqlite::columns::{id, read_id};
use crate::keep::store::test_rows::{TESTS_MAX, TestIdentity, TestLane, TestName, UnreadJob, UnreadTests};
use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use std::collections::BTreeMap;

impl Tables<'_> {
    /// Returns the number of each test of a project.
    pub(crate) fn test_numbers(self, project: &str) -> rusqlite::Result<BTreeMap<TestIdentity, u32>> {
        let sql = "select identity, number from tests where project = ?1";
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        self.0.prepare_cached(sql)?.query_map([project], read)?.collect()
    }

    /// Returns the file of each test of a project whose file is known.
    pub(crate) fn test_files(self, project: &str) -> rusqlite::Result<BTreeMap<TestIdentity, String>> {
        let sql = "select identity, file from tests where project = ?1 and file <> ''";
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        self.0.prepare_cached(sql)?.query_map([project], read)?.collect()
    }

    pub(crate) fn test(self, project: &str, number: u32) -> rusqlite::Result<Option<TestName>> {
        let sql = "select identity, suite, name, parameters, file from tests where project = ?1 and number = ?2";
        self.0.prepare_cached(sql)?.query_row(params![project, number], read_name).optional()
    }

    /// Returns the first job that is finished or gone, and whose lists of tests are not read yet.
    pub(crate) fn unread_tests(self) -> rusqlite::Result<Option<UnreadTests>> {
        let sql = "select u.build, u.idx from tests_unread as u left join jobs as j on j.build = u.build and j.idx = u.idx \
                   where coalesce(j.state, 'finished') = 'finished' order by u.build, u.idx limit 1";
        let read = |row: &Row<'_>| Ok(JobKey { build: BuildId(read_id(row, 0)?), index: row.get(1)? });
        let Some(key) = self.0.prepare_cached(sql)?.query_row([], read).optional()? else { return Ok(None) };
        Ok(Some(UnreadTests { key, found: self.unread_job(key)? }))
    }

    /// Whether the lists of tests of this job are not read yet.
    pub(crate) fn is_unread(self, key: JobKey) -> rusqlite::Result<bool> {
        let sql = "select exists (select 1 from tests_unread where build = ?1 and idx = ?2)";
        self.0.prepare_cached(sql)?.query_row(params![id(key.build.0), key.index], |row| row.get(0))
    }

    fn unread_job(self, key: JobKey) -> rusqlite::Result<Option<UnreadJob>> {
        let Some(build) = self.build_by_id(key.build)? else { return Ok(None) };
        let Some(row) = self.jobs(key.build)?.into_iter().find(|row| row.key == key) else { return Ok(None) };
        let source = build.stamp.sources.into_iter().next().unwrap_or_default();
        let lane = TestLane { project: build.project, ref_name: source.ref_name, job: row.name.clone() };
        Ok(Some(UnreadJob { lane, order: (build.update, build.number), revision: source.revision, row }))
    }
}

/// Notes that a step has a list of tests, so that its job is read once it has finished.
pub(crate) fn note_unread(to: &Transaction<'_>, key: JobKey) -> rusqlite::Result<()> {
    run(to, "insert or ignore into tests_unread (build, idx) values (?1, ?2)", params![id(key.build.0), key.index])
}

pub(crate) fn note_read(to: &Transaction<'_>, key: JobKey) -> rusqlite::Result<()> {
    run(to, "delete from tests_unread where build = ?1 and idx = ?2", params![id(key.build.0), key.index])
}

/// Gives numbers to new tests, as long as the project may have more, and updates the files of known tests.
pub(crate) fn add(to: &Transaction<'_>, project: &str, names: &[TestName]) -> rusqlite::Result<()> {
    let mut next = next_number(to, project)?;
    let sql = "insert or ignore into tests (project, number, identity, suite, name, parameters, file) \
               values (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let mut insert = to.prepare_cached(sql)?;
    for name in names {
        if is_moved(to, project, name)? || next >= TESTS_MAX {
            continue;
        }
        let values = params![project, next, name.identity, name.suite, name.name, name.parameters, name.file];
        next += u32::from(insert.execute(values)? > 0);
    }
    run(to, "insert or replace into test_projects (project, next) values (?1, ?2)", params![project, next])
}

/// Updates the file of a known test, and returns whether it changed. If its tool no longer reports the file, the last one
/// stays.
fn is_moved(to: &Transaction<'_>, project: &str, name: &TestName) -> rusqlite::Result<bool> {
    let sql = "update tests set file = ?3 where project = ?1 and identity = ?2 and ?3 not in ('', file)";
    Ok(to.prepare_cached(sql)?.execute(params![project, name.identity, name.file])? > 0)
}

/// Returns the number that the next new test gets. It is never the number of a kept test, even if the row of the project is
/// lost.
fn next_number(to: &Transaction<'_>, project: &str) -> rusqlite::Result<u32> {
    let sql = "select max(coalesce((select next from test_projects where project = ?1), 0), \
               coalesce((select max(number) + 1 from tests where project = ?1), 0))";
    to.prepare_cached(sql)?.query_row([project], |row| row.get(0))
}

/// Deletes at most `most` tests of a project that has no kept run any more. Returns how many.
pub(crate) fn sweep(to: &Transaction<'_>, most: u32) -> rusqlite::Result<usize> {
    if most == 0 {
        return Ok(0);
    }
    let sql = "select project from test_projects as p \
               where not exists (select 1 from test_runs as r where r.project = p.project) \
               and not exists (select 1 from tests_unread) limit 1";
    let gone: Option<String> = to.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?;
    let Some(project) = gone else { return Ok(0) };
    let sql =
        "delete from tests where (project, number) in (select project, number from tests where project = ?1 limit ?2)";
    let deleted = to.prepare_cached(sql)?.execute(params![project, most])?;
    let sql = "delete from test_projects where project = ?1 and not exists (select 1 from tests where project = ?1)";
    run(to, sql, [project])?;
    Ok(deleted)
}

fn read_name(row: &Row<'_>) -> rusqlite::Result<TestName> {
    Ok(TestName {
        identity: row.get(0)?,
        suite: row.get(1)?,
        name: row.get(2)?,
        parameters: row.get(3)?,
        file: row.get(4)?,
    })
}
