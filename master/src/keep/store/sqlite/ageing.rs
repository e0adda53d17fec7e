//! The reads that retention makes before it decides, each by an index and a page at a time. They decide nothing.

use super::columns::{read_id, read_maybe_time};
use super::tables::Tables;
use crate::decide::coordinator::record::BuildId;
use crate::keep::store::{AgeingCursor, AgeingPage, LoggedPage, RemovalCandidate};
use rusqlite::{OptionalExtension as _, params};
use std::collections::BTreeMap;

/// The number of newest builds of a ref that are searched for the last one that finished and had jobs. Planning searches fewer.
const LOOKED_THROUGH: u32 = 500;

const KEPT_FROM: &str = "select number from builds indexed by builds_number \
                         where project = ?1 order by number desc limit 1 offset ?2";
const CANDIDATES: &str = "select id, number, ref, state, finished from builds indexed by builds_number \
                          where project = ?1 and number < ?2 order by number desc limit ?3";
const TIPS: &str = "select number, state = 'finished' and job_count > 0 from builds indexed by builds_ref \
                    where project = ?1 and ref = ?2 order by number desc limit ?3";

impl Tables<'_> {
    pub(crate) fn removal_candidates(
        self,
        from: Option<AgeingCursor>,
        kept: u32,
        limit: u32,
    ) -> rusqlite::Result<AgeingPage> {
        let mut place = match from {
            Some(place) => Some(place),
            None => self.ageing_after("")?,
        };
        while let Some(AgeingCursor { project, before: number }) = place {
            let kept_from = self.kept_from(&project, kept)?;
            let candidates = self.of_project(&project, kept_from.min(number), limit)?;
            let next = match candidates.last() {
                Some(last) if candidates.len() >= limit as usize => Some(AgeingCursor { project, before: last.number }),
                Some(_) | None => self.ageing_after(&project)?,
            };
            if !candidates.is_empty() || next.is_none() {
                return Ok(AgeingPage { kept_from, candidates, next });
            }
            place = next;
        }
        Ok(AgeingPage::default())
    }

    pub(crate) fn logged(self, after: BuildId, limit: u32) -> rusqlite::Result<LoggedPage> {
        Ok(LoggedPage { builds: self.logged_builds(after, limit)?, total: self.log_bytes()? })
    }

    fn ageing_after(self, project: &str) -> rusqlite::Result<Option<AgeingCursor>> {
        let next = self.project_after(project)?;
        Ok(next.map(|project| AgeingCursor { project, before: u32::MAX }))
    }

    /// Returns the lowest number among the newest `kept` builds of a project; 0 if it has fewer builds.
    fn kept_from(self, project: &str, kept: u32) -> rusqlite::Result<u32> {
        let mut statement = self.0.prepare_cached(KEPT_FROM)?;
        let found = statement.query_row(params![project, kept.saturating_sub(1)], |row| row.get(0)).optional()?;
        Ok(found.unwrap_or(0))
    }

    fn of_project(self, project: &str, before: u32, limit: u32) -> rusqlite::Result<Vec<RemovalCandidate>> {
        let mut tips = BTreeMap::new();
        let mut statement = self.0.prepare_cached(CANDIDATES)?;
        let mut rows = statement.query(params![project, before, limit])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let (number, ref_name, state): (u32, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
            let finished = read_maybe_time(row, 4)?.filter(|_| state == "finished");
            if !tips.contains_key(&ref_name) {
                tips.insert(ref_name.clone(), self.tips_of(project, &ref_name)?);
            }
            let is_tip = tips.get(&ref_name).is_some_and(|tips| tips.contains(&Some(number)));
            let carriers = self.carriers(project, number)?;
            found.push(RemovalCandidate { id: BuildId(read_id(row, 0)?), number, finished, is_tip, carriers });
        }
        Ok(found)
    }

    /// Returns the newest build of a ref that exists, and the last one that finished and had jobs.
    fn tips_of(self, project: &str, ref_name: &str) -> rusqlite::Result<[Option<u32>; 2]> {
        if !self.ref_exists(project, ref_name)? {
            return Ok([None, None]);
        }
        let mut statement = self.0.prepare_cached(TIPS)?;
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keep::store::sqlite::migrate::migrate;
    use crate::keep::store::sqlite::tables::jobs::CARRIERS;
    use crate::keep::store::sqlite::tables::logs::LOGGED;
    use crate::keep::store::sqlite::tests::steps_of;
    use rusqlite::Connection;

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
