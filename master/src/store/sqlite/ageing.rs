//! What retention must know before it decides, by index alone and a page at a time. Decides nothing.

use super::row::{self, id, read_id};
use crate::coordinator::record::BuildId;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use schema::values::Time;
use std::collections::BTreeMap;

/// How far back a ref's last build with jobs is looked for: further than planning looks for it.
const LOOKED_THROUGH: u32 = 500;

const KEPT_FROM: &str = "select number from builds indexed by builds_number \
                         where project = ?1 order by number desc limit 1 offset ?2";
const CANDIDATES: &str = "select id, number, ref, state, finished from builds indexed by builds_number \
                          where project = ?1 and number < ?2 order by number desc limit ?3";
const TIPS: &str = "select number, state = 'finished' and job_count > 0 from builds indexed by builds_ref \
                    where project = ?1 and ref = ?2 order by number desc limit ?3";
const CARRIERS: &str = "select distinct j.build from jobs as j indexed by jobs_carried \
                        cross join builds as b on b.id = j.build \
                        where j.carried_from = ?2 and j.carried_from > 0 and b.project = ?1";
const LOGGED: &str = "select distinct build from logs where build > ?1 \
                      and not exists (select 1 from removals as r where r.build = logs.build) order by build limit ?2";

/// What is said of a build that was removed.
pub const NOT_KEPT: &str = "the build is no longer kept";

/// Where a look through all builds stands: at the builds of a project with smaller numbers, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub project: String,
    pub before: u32,
}

/// What decides whether a build may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub id: BuildId,
    pub number: u32,
    /// None: it is not finished.
    pub finished: Option<Time>,
    /// Its ref exists, and it is the ref's newest build, or the last that is finished and had jobs.
    pub is_tip: bool,
    /// Builds that refer to jobs of it.
    pub carriers: Vec<BuildId>,
}

/// Builds of one project, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The number from which on builds are kept for being new.
    pub kept_from: u32,
    pub candidates: Vec<Candidate>,
    /// None: that was all.
    pub next: Option<Place>,
}

/// A build whose logs are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    pub build: BuildId,
    /// Of all its logs.
    pub bytes: u64,
    pub created: Time,
    /// None: it is not finished.
    pub finished: Option<Time>,
}

/// The next builds beyond the newest `kept` of their project, from `from` on; none: from the beginning.
pub fn candidates(store: &Connection, from: Option<Place>, kept: u32, limit: u32) -> rusqlite::Result<Page> {
    let before = store.unchecked_transaction()?;
    let mut place = match from {
        Some(place) => Some(place),
        None => project_after(&before, "")?,
    };
    while let Some(Place { project, before: number }) = place {
        let kept_from = kept_from(&before, &project, kept)?;
        let candidates = of_project(&before, &project, kept_from.min(number), limit)?;
        let next = match candidates.last() {
            Some(last) if candidates.len() >= limit as usize => Some(Place { project, before: last.number }),
            Some(_) | None => project_after(&before, &project)?,
        };
        if !candidates.is_empty() || next.is_none() {
            return Ok(Page { kept_from, candidates, next });
        }
        place = next;
    }
    Ok(Page::default())
}

/// The next builds with logs, the oldest first.
pub fn logged(store: &Connection, after: BuildId, limit: u32) -> rusqlite::Result<Vec<Logged>> {
    let mut statement = store.prepare_cached(LOGGED)?;
    let found = statement.query_map(params![id(after.0), limit], |row| read_id(row, 0))?;
    found.map(|build| logged_build(store, build?)).filter_map(Result::transpose).collect()
}

/// Bytes of all logs.
pub fn log_bytes(store: &Connection) -> rusqlite::Result<u64> {
    row::counter(store, "log-bytes")
}

/// Builds of which rows or files are left that shall go, the oldest first.
pub fn unswept(store: &Connection, limit: u32) -> rusqlite::Result<Vec<BuildId>> {
    let sql = "select build from removals indexed by removals_open where swept = 0 order by build limit ?1";
    store.prepare_cached(sql)?.query_map([limit], |row| read_id(row, 0).map(BuildId))?.collect()
}

/// Why a build's logs cannot be read any more; none: they can.
pub fn removed(store: &Connection, build: BuildId) -> rusqlite::Result<Option<String>> {
    let sql = "select b.project, b.number, r.reason from builds as b left join removals as r on r.build = b.id \
               where b.id = ?1";
    let read = |row: &Row<'_>| {
        let (project, number): (String, u32) = (row.get(0)?, row.get(1)?);
        let reason: Option<String> = row.get(2)?;
        Ok(reason.map(|reason| format!("the logs of {project}/{number} were removed by retention: {reason}")))
    };
    let found = store.prepare_cached(sql)?.query_row([id(build.0)], read).optional()?;
    Ok(found.unwrap_or_else(|| Some(NOT_KEPT.to_owned())))
}

fn project_after(store: &Connection, project: &str) -> rusqlite::Result<Option<Place>> {
    let sql = "select project from numbers where project > ?1 order by project limit 1";
    let read = |row: &Row<'_>| Ok(Place { project: row.get(0)?, before: u32::MAX });
    store.prepare_cached(sql)?.query_row([project], read).optional()
}

/// 0 where there are fewer.
fn kept_from(store: &Connection, project: &str, kept: u32) -> rusqlite::Result<u32> {
    let mut statement = store.prepare_cached(KEPT_FROM)?;
    let found = statement.query_row(params![project, kept.saturating_sub(1)], |row| row.get(0)).optional()?;
    Ok(found.unwrap_or(0))
}

fn of_project(store: &Connection, project: &str, before: u32, limit: u32) -> rusqlite::Result<Vec<Candidate>> {
    let mut tips = BTreeMap::new();
    let mut statement = store.prepare_cached(CANDIDATES)?;
    let mut rows = statement.query(params![project, before, limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (number, ref_name, state): (u32, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
        let finished = row::read_maybe_time(row, 4)?.filter(|_| state == "finished");
        if !tips.contains_key(&ref_name) {
            tips.insert(ref_name.clone(), tips_of(store, project, &ref_name)?);
        }
        let is_tip = tips.get(&ref_name).is_some_and(|tips| tips.contains(&Some(number)));
        let carriers = carriers(store, project, number)?;
        found.push(Candidate { id: BuildId(read_id(row, 0)?), number, finished, is_tip, carriers });
    }
    Ok(found)
}

/// The newest build of a ref that exists, and the last that was finished and had jobs.
fn tips_of(store: &Connection, project: &str, ref_name: &str) -> rusqlite::Result<[Option<u32>; 2]> {
    let sql = "select 1 from heads where project = ?1 and ref = ?2 and gone is null";
    if !store.prepare_cached(sql)?.exists([project, ref_name])? {
        return Ok([None, None]);
    }
    let mut statement = store.prepare_cached(TIPS)?;
    let mut rows = statement.query(params![project, ref_name, LOOKED_THROUGH])?;
    let mut newest = None;
    while let Some(row) = rows.next()? {
        let (number, had_jobs): (u32, bool) = (row.get(0)?, row.get(1)?);
        newest.get_or_insert(number);
        if had_jobs {
            return Ok([newest, Some(number)]);
        }
    }
    Ok([newest, None])
}

fn carriers(store: &Connection, project: &str, number: u32) -> rusqlite::Result<Vec<BuildId>> {
    let mut statement = store.prepare_cached(CARRIERS)?;
    statement.query_map(params![project, number], |row| read_id(row, 0).map(BuildId))?.collect()
}

/// None: the build is gone, and its rows wait to be swept.
fn logged_build(store: &Connection, build: u64) -> rusqlite::Result<Option<Logged>> {
    let sql = "select created, case when state = 'finished' then finished end, \
               (select sum(size) from logs where build = ?1) from builds where id = ?1";
    let read = |row: &Row<'_>| {
        Ok(Logged {
            build: BuildId(build),
            created: row::read_time(row, 0)?,
            finished: row::read_maybe_time(row, 1)?,
            bytes: read_id(row, 2)?,
        })
    };
    store.prepare_cached(sql)?.query_row([id(build)], read).optional()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::migrate::migrate;
    use crate::store::tests::steps_of;

    #[test]
    fn pages_are_read_from_an_index_in_its_order() {
        let mut store = Connection::open_in_memory().unwrap();
        migrate(&mut store).unwrap();
        let plans = [KEPT_FROM, CANDIDATES, TIPS, CARRIERS, LOGGED].map(|sql| steps_of(&store, sql));
        assert_eq!(
            plans,
            [
                "SEARCH builds USING COVERING INDEX builds_number (project=?)",
                "SEARCH builds USING INDEX builds_number (project=? AND number<?)",
                "SEARCH builds USING INDEX builds_ref (project=? AND ref=?)",
                "SEARCH j USING COVERING INDEX jobs_carried (carried_from=?); SEARCH b USING INTEGER PRIMARY KEY (rowid=?)",
                "SEARCH logs USING COVERING INDEX sqlite_autoindex_logs_1 (build>?); CORRELATED SCALAR SUBQUERY 1; SEARCH r \
                 USING INTEGER PRIMARY KEY (rowid=?)",
            ]
        );
    }
}
