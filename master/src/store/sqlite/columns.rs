//! Rows of the database to rows of `coordinator::record`, and small values both ways.

use crate::coordinator::record::{
    AttemptRow, BuildId, BuildRow, FollowedRow, GrantId, GrantRow, Head, HeadRow, JobKey, JobRow, LeaseToken, SealRow,
    StepKey, StepRow, WorkerRow,
};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use schema::sturdy_ref::Fingerprint;
use schema::values::{Event, GrantKind, Time};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

pub(super) const BUILD: &str = "id, project, number, state, outcome, stamp, cause, trust, created, started, finished, \
                                subject, author, diagnosis, job_count, by_grant, ref_update";
pub(super) const JOB: &str = "build, idx, name, state, outcome, reason, attempt, lost, queued, started, finished, \
                              worker, platform, carried_from";
pub(super) const ATTEMPT: &str = "build, idx, number, token, by_grant, worker, started, finished, outcome, reason, isolation, placed, term, \
     home";
pub(super) const STEP: &str =
    "build, idx, attempt, step, name, state, outcome, exit, started, finished, log_size, log_hash";
pub(super) const WORKER: &str =
    "name, by_grant, draining, held, forgotten, last_heard, description, steered_by, steered";
pub(super) const GRANT: &str =
    "id, parent, kind, name, what, created, expires, revoked, reason, join_hash, token_hash, holder, browser";

/// A value as JSON text.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("our own structs are JSON")
}

/// An enum's word, without the quotes that JSON has.
pub(super) fn word(value: &impl Serialize) -> String {
    json(value).trim_matches('"').to_owned()
}

pub(super) fn read_json<T: DeserializeOwned>(row: &Row<'_>, index: usize) -> rusqlite::Result<T> {
    parse(index, &row.get::<_, String>(index)?)
}

/// Empty where there is no value.
fn maybe_json<T: DeserializeOwned>(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<T>> {
    let text: String = row.get(index)?;
    (!text.is_empty()).then(|| parse(index, &text)).transpose()
}

pub(super) fn read_word<T: DeserializeOwned>(row: &Row<'_>, index: usize) -> rusqlite::Result<T> {
    parse(index, &format!("\"{}\"", row.get::<_, String>(index)?))
}

pub(super) fn maybe_word<T: DeserializeOwned>(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<T>> {
    let word: Option<String> = row.get(index)?;
    word.map(|word| parse(index, &format!("\"{word}\""))).transpose()
}

fn parse<T: DeserializeOwned>(index: usize, text: &str) -> rusqlite::Result<T> {
    let wrong = |error| rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(error));
    serde_json::from_str(text).map_err(wrong)
}

pub(super) fn time(time: Time) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

pub(super) fn maybe_time(at: Option<Time>) -> Option<i64> {
    at.map(time)
}

pub(super) fn read_time(row: &Row<'_>, index: usize) -> rusqlite::Result<Time> {
    Ok(Time(u64::try_from(row.get::<_, i64>(index)?).unwrap_or(0)))
}

pub(super) fn read_maybe_time(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<Time>> {
    let time: Option<i64> = row.get(index)?;
    Ok(time.map(|time| Time(u64::try_from(time).unwrap_or(0))))
}

/// Ids fit: SQLite counts to 2^63.
pub(super) fn id(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}

pub(super) fn read_id(row: &Row<'_>, index: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(index)?).unwrap_or(0))
}

pub(super) fn build(row: &Row<'_>) -> rusqlite::Result<BuildRow> {
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

fn job_key(row: &Row<'_>) -> rusqlite::Result<JobKey> {
    Ok(JobKey { build: BuildId(read_id(row, 0)?), index: row.get(1)? })
}

pub(super) fn job(row: &Row<'_>) -> rusqlite::Result<JobRow> {
    Ok(JobRow {
        key: job_key(row)?,
        name: row.get(2)?,
        state: read_word(row, 3)?,
        outcome: maybe_word(row, 4)?,
        reason: row.get(5)?,
        attempt: row.get(6)?,
        lost: row.get(7)?,
        queued: read_maybe_time(row, 8)?,
        started: read_maybe_time(row, 9)?,
        finished: read_maybe_time(row, 10)?,
        worker: row.get(11)?,
        platform: row.get(12)?,
        carried_from: row.get(13)?,
    })
}

pub(super) fn attempt(row: &Row<'_>) -> rusqlite::Result<AttemptRow> {
    Ok(AttemptRow {
        job: job_key(row)?,
        number: row.get(2)?,
        token: LeaseToken(row.get(3)?),
        grant: GrantId(read_id(row, 4)?),
        worker: row.get(5)?,
        started: read_time(row, 6)?,
        finished: read_maybe_time(row, 7)?,
        outcome: maybe_word(row, 8)?,
        reason: row.get(9)?,
        isolation: row.get(10)?,
        placed: maybe_json(row, 11)?,
        term: Duration::from_millis(read_id(row, 12)?),
        home: maybe_json(row, 13)?,
    })
}

pub(super) fn step(row: &Row<'_>) -> rusqlite::Result<StepRow> {
    Ok(StepRow {
        key: StepKey { job: job_key(row)?, attempt: row.get(2)?, step: row.get(3)? },
        name: row.get(4)?,
        state: read_word(row, 5)?,
        outcome: maybe_word(row, 6)?,
        exit: read_json(row, 7)?,
        started: read_maybe_time(row, 8)?,
        finished: read_maybe_time(row, 9)?,
        log_size: read_id(row, 10)?,
        log_hash: row.get(11)?,
    })
}

/// Columns: size, hash, bytes.
pub(super) fn seal(key: StepKey, row: &Row<'_>) -> rusqlite::Result<SealRow> {
    Ok(SealRow { key, size: read_id(row, 0)?, hash: row.get(1)?, bytes: row.get(2)? })
}

pub(super) fn grant(row: &Row<'_>) -> rusqlite::Result<GrantRow> {
    let parent: Option<i64> = row.get(1)?;
    let holder: Option<[u8; 32]> = row.get(11)?;
    Ok(GrantRow {
        id: GrantId(read_id(row, 0)?),
        parent: parent.map(|parent| GrantId(u64::try_from(parent).unwrap_or(0))),
        kind: read_word::<GrantKind>(row, 2)?,
        name: row.get(3)?,
        what: read_json(row, 4)?,
        created: read_time(row, 5)?,
        expires: read_maybe_time(row, 6)?,
        revoked: read_maybe_time(row, 7)?,
        reason: row.get(8)?,
        join_hash: row.get(9)?,
        token_hash: row.get(10)?,
        holder: holder.map(Fingerprint),
        is_browser: row.get(12)?,
    })
}

pub(super) fn worker(row: &Row<'_>) -> rusqlite::Result<WorkerRow> {
    Ok(WorkerRow {
        name: row.get(0)?,
        grant: GrantId(read_id(row, 1)?),
        draining: row.get(2)?,
        held: row.get(3)?,
        forgotten: row.get(4)?,
        last_heard: read_time(row, 5)?,
        description: read_json(row, 6)?,
        steered_by: GrantId(read_id(row, 7)?),
        steered: read_maybe_time(row, 8)?,
    })
}

/// Columns: sequence, time, project, build, fact.
pub(super) fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    Ok(Event {
        sequence: read_id(row, 0)?,
        time: read_time(row, 1)?,
        project: row.get(2)?,
        build: row.get(3)?,
        fact: read_json(row, 4)?,
    })
}

/// Columns: project, ref, revision, told, gone.
pub(super) fn head(row: &Row<'_>) -> rusqlite::Result<HeadRow> {
    let (revision, is_told, gone) = (row.get(2)?, row.get(3)?, read_maybe_time(row, 4)?);
    let head = Head { revision, is_told, gone, update: row.get(5)?, since: row.get(6)? };
    Ok(HeadRow { project: row.get(0)?, ref_name: row.get(1)?, head })
}

/// Columns: project, address, scopes, looked_in.
pub(super) fn followed(row: &Row<'_>) -> rusqlite::Result<FollowedRow> {
    Ok(FollowedRow {
        project: row.get(0)?,
        address: row.get(1)?,
        scopes: read_json(row, 2)?,
        looked_in: read_id(row, 3)?,
    })
}

pub(super) fn meta(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    connection.query_row("select value from meta where name = ?1", [name], |row| row.get(0)).optional()
}

pub(super) fn set_meta(connection: &Connection, name: &str, value: &str) -> rusqlite::Result<()> {
    let sql = "insert into meta (name, value) values (?1, ?2) on conflict (name) do update set value = excluded.value";
    connection.prepare_cached(sql)?.execute(params![name, value])?;
    Ok(())
}

/// The highest id of a kind that was ever used.
pub(super) fn counter(connection: &Connection, name: &str) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached("select value from counters where name = ?1")?;
    statement.query_row([name], |row| read_id(row, 0))
}
