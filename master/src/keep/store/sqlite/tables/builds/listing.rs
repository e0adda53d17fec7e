//! Chooses the builds of a list by index alone. The cost depends on the list, and not on how many builds there are.

use crate::decide::coordinator::record::BuildId;
use crate::keep::store::BuildFilter;
use crate::keep::store::sqlite::columns::read_id;
use crate::keep::store::sqlite::tables::Tables;
use rusqlite::{Params, params};
use schema::values::branch_or_tag;

const ALL: &str = "select id from builds order by id desc limit ?1";
// within a project, numbers and ids rise together
const OF_PROJECT: &str = "select id from builds indexed by builds_number \
                          where project = ?1 and number < ?2 order by number desc limit ?3";
const OF_REF: &str = "select id from builds indexed by builds_ref \
                      where project = ?1 and ref = ?2 and number < ?3 order by number desc limit ?4";
// the index serves a range but not `like`; `g` sorts after every hex digit
const OF_REVISION: &str = "select id, project, ref, number from builds indexed by builds_revision \
                           where revision >= ?1 and revision < ?1 || 'g' order by id desc";

/// Returns the ids of the builds that match a filter, the newest first. A short name of a ref means the branch if it was built,
/// and otherwise the tag.
pub(super) fn newest(store: Tables<'_>, filter: &BuildFilter, limit: u32) -> rusqlite::Result<Vec<BuildId>> {
    let Some(short) = filter.ref_name.as_deref().filter(|name| !name.starts_with("refs/")) else {
        return newest_of_full(store, filter, limit);
    };
    for full in branch_or_tag(short) {
        let full = BuildFilter { ref_name: Some(full), ..filter.clone() };
        // the choice between branch and tag must not depend on the page or the revision
        let any = BuildFilter { before: None, revision: None, ..full.clone() };
        if !newest_of_full(store, &any, 1)?.is_empty() {
            return newest_of_full(store, &full, limit);
        }
    }
    Ok(Vec::new())
}

/// Returns the builds that match a filter with a full name of a ref. Each form of the filter has its own statement, because
/// SQLite would choose an index by guesses about the values.
fn newest_of_full(store: Tables<'_>, filter: &BuildFilter, limit: u32) -> rusqlite::Result<Vec<BuildId>> {
    if let Some(prefix) = &filter.revision {
        return of_revision(store, filter, prefix, limit);
    }
    match projects(store, filter)? {
        None => ids(store, ALL, params![limit]),
        Some(projects) => of_projects(store, filter, &projects, limit),
    }
}

/// Returns the projects to search one by one; `None` means all projects at once.
fn projects(store: Tables<'_>, filter: &BuildFilter) -> rusqlite::Result<Option<Vec<String>>> {
    if let Some(project) = &filter.project {
        let seen = filter.allowed.as_ref().is_none_or(|allowed| allowed.contains(project));
        return Ok(Some(if seen { vec![project.clone()] } else { Vec::new() }));
    }
    if let Some(allowed) = &filter.allowed {
        return Ok(Some(allowed.clone()));
    }
    if filter.ref_name.is_none() && filter.before.is_none() {
        return Ok(None);
    }
    store.built_projects().map(Some)
}

fn of_projects(
    store: Tables<'_>,
    filter: &BuildFilter,
    projects: &[String],
    limit: u32,
) -> rusqlite::Result<Vec<BuildId>> {
    let before = filter.before.map_or(i64::MAX, i64::from);
    let mut found = Vec::new();
    for project in projects {
        found.extend(match &filter.ref_name {
            Some(ref_name) => ids(store, OF_REF, params![project, ref_name, before, limit])?,
            None => ids(store, OF_PROJECT, params![project, before, limit])?,
        });
    }
    found.sort_by(|a, b| b.cmp(a));
    found.dedup();
    found.truncate(limit as usize);
    Ok(found)
}

fn of_revision(store: Tables<'_>, filter: &BuildFilter, prefix: &str, limit: u32) -> rusqlite::Result<Vec<BuildId>> {
    let mut statement = store.0.prepare_cached(OF_REVISION)?;
    let mut rows = statement.query([prefix])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (project, ref_name, number): (String, String, u32) = (row.get(1)?, row.get(2)?, row.get(3)?);
        let wanted = filter.project.as_ref().is_none_or(|wanted| *wanted == project)
            && filter.allowed.as_ref().is_none_or(|allowed| allowed.contains(&project))
            && filter.ref_name.as_ref().is_none_or(|wanted| *wanted == ref_name)
            && filter.before.is_none_or(|before| number < before);
        if wanted {
            found.push(BuildId(read_id(row, 0)?));
        }
        if found.len() >= limit as usize {
            break;
        }
    }
    Ok(found)
}

fn ids(store: Tables<'_>, sql: &str, values: impl Params) -> rusqlite::Result<Vec<BuildId>> {
    let mut statement = store.0.prepare_cached(sql)?;
    statement.query_map(values, |row| read_id(row, 0).map(BuildId))?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keep::store::sqlite::migrate::migrate;
    use crate::keep::store::sqlite::tests::steps_of;
    use rusqlite::Connection;

    #[test]
    fn lists_are_read_from_an_index_in_its_order() {
        let mut store = Connection::open_in_memory().unwrap();
        migrate(&mut store).unwrap();
        let plans = [ALL, OF_PROJECT, OF_REF, OF_REVISION].map(|sql| steps_of(&store, sql));
        assert_eq!(
            plans,
            [
                "SCAN builds",
                "SEARCH builds USING COVERING INDEX builds_number (project=? AND number<?)",
                "SEARCH builds USING COVERING INDEX builds_ref (project=? AND ref=? AND number<?)",
                "SEARCH builds USING INDEX builds_revision (revision>? AND revision<?); USE TEMP B-TREE FOR ORDER BY",
            ]
        );
    }
}
