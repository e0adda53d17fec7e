//! What a coordinator starts from: everything that is not history.

use super::row::{self, read_id, read_json, read_time};
use super::{StoreError, query};
use crate::coordinator::record::{BuildRow, GrantId, Loaded, LoadedBuild, RequestId, RequestRow, StepRow};
use rusqlite::Connection;

/// At most so many answered requests are kept in memory (`coordinator::request`).
const REQUESTS: u32 = 100_000;

pub(super) fn load(connection: &Connection) -> Result<Loaded, StoreError> {
    Ok(Loaded {
        incarnation: incarnation(connection)?,
        builds: builds(connection)?,
        grants: all(connection, &format!("select {} from grants order by id", row::GRANT), row::grant)?,
        workers: all(connection, &format!("select {} from workers", row::WORKER), row::worker)?,
        heads: all(
            connection,
            "select project, ref, revision, told, gone, ref_update, ref_since from heads",
            row::head,
        )?,
        followed: all(connection, "select project, address, scopes, looked_in from followed", row::followed)?,
        requests: requests(connection)?,
        numbers: all(connection, "select project, number from numbers", |row| Ok((row.get(0)?, row.get(1)?)))?,
        last_build: row::counter(connection, "build")?,
        last_grant: row::counter(connection, "grant")?,
        last_event: row::counter(connection, "event")?,
    })
}

pub(super) fn incarnation(connection: &Connection) -> Result<u64, StoreError> {
    let text = row::meta(connection, "incarnation")?.unwrap_or_default();
    text.parse().map_err(|_| StoreError::Corrupt(format!("the incarnation `{text}` is no number")))
}

fn builds(connection: &Connection) -> Result<Vec<LoadedBuild>, StoreError> {
    let sql = format!("select {} from builds where state <> 'finished' order by id", row::BUILD);
    let open: Vec<BuildRow> = all(connection, &sql, row::build)?;
    let loaded = open.into_iter().map(|build| {
        let id = build.id;
        let steps = query::steps(connection, id)?;
        let attempts = query::latest_attempts(connection, id)?.into_iter().map(|attempt| {
            let is_of = |step: &&StepRow| step.key.job == attempt.job && step.key.attempt == attempt.number;
            let steps = steps.iter().filter(is_of).cloned().collect();
            (attempt, steps)
        });
        Ok((build, query::plan(connection, id)?, query::jobs(connection, id)?, attempts.collect()))
    });
    loaded.collect()
}

fn requests(connection: &Connection) -> Result<Vec<RequestRow>, StoreError> {
    let sql = format!(
        "select * from (select id, by_grant, body, answer, time, number from requests order by number desc limit {REQUESTS}) \
         order by number"
    );
    all(connection, &sql, |row| {
        Ok(RequestRow {
            id: RequestId(row.get(0)?),
            by: GrantId(read_id(row, 1)?),
            body: row.get(2)?,
            answer: read_json(row, 3)?,
            time: read_time(row, 4)?,
        })
    })
}

fn all<T>(
    connection: &Connection,
    sql: &str,
    read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    Ok(connection.prepare(sql)?.query_map([], read)?.collect::<rusqlite::Result<_>>()?)
}
