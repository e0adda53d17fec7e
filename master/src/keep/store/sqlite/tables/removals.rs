//! The table of builds that retention removed, or whose logs it removed.

use super::{Tables, run};
use crate::decide::coordinator::record::BuildId;
use crate::keep::store::NOT_KEPT;
use crate::keep::store::sqlite::columns::{id, read_id};
use rusqlite::{OptionalExtension as _, Row, Transaction, params};

impl Tables<'_> {
    pub(crate) fn unswept(self, limit: u32) -> rusqlite::Result<Vec<BuildId>> {
        let sql = "select build from removals indexed by removals_open where swept = 0 order by build limit ?1";
        self.0.prepare_cached(sql)?.query_map([limit], |row| read_id(row, 0).map(BuildId))?.collect()
    }

    pub(crate) fn logs_removed(self, build: BuildId) -> rusqlite::Result<Option<String>> {
        let sql = "select b.project, b.number, r.reason from builds as b left join removals as r on r.build = b.id \
                   where b.id = ?1";
        let read = |row: &Row<'_>| {
            let (project, number): (String, u32) = (row.get(0)?, row.get(1)?);
            let reason: Option<String> = row.get(2)?;
            Ok(reason.map(|reason| format!("the logs of {project}/{number} were removed by retention: {reason}")))
        };
        let found = self.0.prepare_cached(sql)?.query_row([id(build.0)], read).optional()?;
        Ok(found.unwrap_or_else(|| Some(NOT_KEPT.to_owned())))
    }
}

/// Notes that a build was removed. Its rows and files wait to be swept, even if its logs were removed earlier.
pub(crate) fn add_build(to: &Transaction<'_>, build: u64) -> rusqlite::Result<()> {
    run(to, "insert or replace into removals (build, reason, swept) values (?1, '', 0)", [id(build)])
}

/// Notes that the logs of a build were removed, and why. The first reason stays.
pub(crate) fn add_logs(to: &Transaction<'_>, build: u64, reason: &str) -> rusqlite::Result<()> {
    run(to, "insert or ignore into removals (build, reason, swept) values (?1, ?2, 0)", params![id(build), reason])
}

/// Notes that nothing of a build is left to sweep. The row of a removed build is deleted; the row of a kept build stays for its
/// reason. Returns how many rows changed.
pub(crate) fn end(to: &Transaction<'_>, build: u64, is_gone: bool) -> rusqlite::Result<usize> {
    let sql = if is_gone {
        "delete from removals where build = ?1"
    } else {
        "update removals set swept = 1 where build = ?1"
    };
    to.prepare_cached(sql)?.execute([id(build)])
}
