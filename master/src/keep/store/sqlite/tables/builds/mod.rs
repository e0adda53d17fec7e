//! The table of builds, and the lists of builds.

mod listing;

use super::{Tables, run};
use crate::decide::coordinator::record::{BuildId, BuildRow, GrantId};
use crate::keep::store::BuildFilter;
use crate::keep::store::sqlite::columns::{
    id, json, maybe_time, maybe_word, read_id, read_json, read_maybe_time, read_time, read_word, time, word,
};
use rusqlite::{OptionalExtension as _, Row, Transaction, params};

/// The columns that [`read`] reads.
pub(crate) const COLUMNS: &str = "id, project, number, state, outcome, stamp, cause, trust, created, started, finished, \
                                subject, author, diagnosis, job_count, by_grant, ref_update";
const BRANCHES: &str = "select distinct ref from (select ref from builds indexed by builds_number \
                        where project = ?1 order by number desc limit ?2)";

impl Tables<'_> {
    pub(crate) fn build(self, project: &str, number: u32) -> rusqlite::Result<Option<BuildRow>> {
        let sql = format!("select {COLUMNS} from builds where project = ?1 and number = ?2");
        self.0.prepare_cached(&sql)?.query_row(params![project, number], read).optional()
    }

    pub(crate) fn build_by_id(self, build: BuildId) -> rusqlite::Result<Option<BuildRow>> {
        let sql = format!("select {COLUMNS} from builds where id = ?1");
        self.0.prepare_cached(&sql)?.query_row([id(build.0)], read).optional()
    }

    pub(crate) fn builds(self, filter: &BuildFilter, limit: u32) -> rusqlite::Result<Vec<BuildRow>> {
        let ids = listing::newest(self, filter, limit)?;
        ids.into_iter().filter_map(|id| self.build_by_id(id).transpose()).collect()
    }

    pub(crate) fn newest_build(self, project: &str) -> rusqlite::Result<Option<BuildRow>> {
        let filter = BuildFilter { project: Some(project.to_owned()), ..BuildFilter::default() };
        Ok(self.builds(&filter, 1)?.pop())
    }

    pub(crate) fn newest_numbers(self, projects: &[String]) -> rusqlite::Result<Vec<u32>> {
        projects.iter().map(|project| Ok(self.newest_build(project)?.map_or(0, |row| row.number))).collect()
    }

    pub(crate) fn newest_of_refs(self, refs: &[(String, String)]) -> rusqlite::Result<Vec<BuildRow>> {
        let filters = refs.iter().cloned().map(|(project, ref_name)| BuildFilter {
            project: Some(project),
            ref_name: Some(ref_name),
            ..BuildFilter::default()
        });
        filters.filter_map(|filter| self.builds(&filter, 1).map(|mut found| found.pop()).transpose()).collect()
    }

    /// Returns the builds that are not finished, the oldest first.
    pub(crate) fn open_builds(self) -> rusqlite::Result<Vec<BuildRow>> {
        self.all(&format!("select {COLUMNS} from builds where state <> 'finished' order by id"), read)
    }

    pub(crate) fn recent_refs(self, project: &str, builds: u32) -> rusqlite::Result<Vec<String>> {
        self.0.prepare_cached(BRANCHES)?.query_map(params![project, builds], |row| row.get(0))?.collect()
    }

    pub(crate) fn ref_of(self, project: &str, number: u32) -> rusqlite::Result<Option<String>> {
        let sql = "select ref from builds where project = ?1 and number = ?2";
        self.0.prepare_cached(sql)?.query_row(params![project, number], |row| row.get(0)).optional()
    }

    pub(crate) fn is_kept(self, build: u64) -> rusqlite::Result<bool> {
        self.0.prepare_cached("select 1 from builds where id = ?1")?.exists([id(build)])
    }

    pub(crate) fn is_finished(self, build: u64) -> rusqlite::Result<bool> {
        self.0.prepare_cached("select 1 from builds where id = ?1 and state = 'finished'")?.exists([id(build)])
    }
}

/// Writes a build. If the row exists, it changes only the columns that tell how the build goes, because the others never
/// change.
pub(crate) fn write(to: &Transaction<'_>, row: &BuildRow) -> rusqlite::Result<()> {
    let source = row.stamp.sources.first();
    let sql = "insert into builds (id, project, number, ref, revision, state, outcome, stamp, cause, trust, created, \
               started, finished, subject, author, diagnosis, job_count, by_grant, ref_update) \
               values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19) \
               on conflict (id) do update set state = excluded.state, outcome = excluded.outcome, \
               started = excluded.started, finished = excluded.finished, subject = excluded.subject, \
               author = excluded.author, diagnosis = excluded.diagnosis, job_count = excluded.job_count, \
               ref_update = excluded.ref_update";
    let values = params![
        id(row.id.0),
        row.project,
        row.number,
        source.map(|source| source.ref_name.as_str()).unwrap_or_default(),
        source.map(|source| source.revision.as_str()).unwrap_or_default(),
        row.state.word(),
        row.outcome.map(|outcome| outcome.word()),
        json(&row.stamp),
        json(&row.cause),
        word(&row.trust),
        time(row.created),
        maybe_time(row.started),
        maybe_time(row.finished),
        row.subject,
        row.author,
        row.diagnosis,
        row.job_count,
        id(row.by.0),
        row.update,
    ];
    run(to, sql, values)
}

/// Removes a finished build. Returns its project and its ref, or `None` if there is no such finished build.
pub(crate) fn remove(to: &Transaction<'_>, build: u64) -> rusqlite::Result<Option<(String, String)>> {
    let sql = "delete from builds where id = ?1 and state = 'finished' returning project, ref";
    to.prepare_cached(sql)?.query_row([id(build)], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<BuildRow> {
    Ok(BuildRow {
        id: BuildId(read_id(row, 0)?),
        project: row.get(1)?,
        number: row.get(2)?,
        state: read_word(row, 3)?,
        outcome: maybe_word(row, 4)?,
        stamp: read_json(row, 5)?,
        cause: read_json(row, 6)?,
        trust: read_word(row, 7)?,
        created: read_time(row, 8)?,
        started: read_maybe_time(row, 9)?,
        finished: read_maybe_time(row, 10)?,
        subject: row.get(11)?,
        author: row.get(12)?,
        diagnosis: row.get(13)?,
        job_count: row.get(14)?,
        by: GrantId(read_id(row, 15)?),
        update: row.get(16)?,
    })
}
