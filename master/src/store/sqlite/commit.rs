//! Writes batches of records, each in one transaction.

use super::row::{self, id, json, maybe_time, time, word};
use super::{CommitError, audit, lanes, reporters};
use crate::coordinator::record::{
    AttemptRow, BuildId, BuildRow, FollowedRow, GrantRow, HeadRow, JobRow, Record, RequestRow, SealRow, StepRow,
    WorkerRow,
};
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Transaction, params};
use schema::values::{Change, Event, Time};
use std::collections::{BTreeMap, BTreeSet};

/// Answers are kept for so long, and so many of them (`common.capnp`).
const REQUESTS_KEPT_MS: i64 = 7 * 24 * 3600 * 1000;
const REQUESTS_KEPT: i64 = 100_000;
/// Old answers deleted with each that is written.
const REQUESTS_SWEPT: u32 = 8;
/// With less than this left, in bytes, an I/O error is taken for a full disk.
const ROOM_MIN: u64 = 1 << 20;

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("event {found} was to follow event {last}: the sequence would have a gap")]
    Gap { last: u64, found: u64 },
}

pub(super) fn commit(connection: &mut Connection, batch: Vec<Record>) -> Result<(), CommitError> {
    match write(connection, &batch) {
        Ok(()) => Ok(()),
        Err(Failure::Sqlite(error)) if is_full(connection, &error) => Err(CommitError::Full(batch)),
        Err(failure) => Err(CommitError::Failed(failure.to_string())),
    }
}

fn write(connection: &mut Connection, batch: &[Record]) -> Result<(), Failure> {
    let transaction = connection.transaction()?;
    for record in latest(batch) {
        write_record(&transaction, record)?;
    }
    write_counters(&transaction, batch)?;
    sweep_requests(&transaction, batch)?;
    Ok(transaction.commit()?)
}

/// What a batch comes to: of rows that it has more than once, whole each time, only the last.
fn latest(batch: &[Record]) -> impl Iterator<Item = &Record> {
    let mut seen = BTreeSet::new();
    let mut kept: Vec<&Record> =
        batch.iter().rev().filter(|record| row_of(record).is_none_or(|row| seen.insert(row))).collect();
    kept.reverse();
    kept.into_iter()
}

/// Build, job, attempt and step, as far as a row is of one.
type RowKey = (BuildId, Option<u32>, Option<u16>, Option<u16>);

/// Which row a record is; none where each is written.
fn row_of(record: &Record) -> Option<RowKey> {
    match record {
        Record::Build(row) => Some((row.id, None, None, None)),
        Record::Job(row) => Some((row.key.build, Some(row.key.index), None, None)),
        Record::Attempt(row) => Some((row.job.build, Some(row.job.index), Some(row.number), None)),
        Record::Step(row) => {
            Some((row.key.job.build, Some(row.key.job.index), Some(row.key.attempt), Some(row.key.step)))
        }
        Record::Plan { .. }
        | Record::Seal(_)
        | Record::Head(_)
        | Record::Lane { .. }
        | Record::HeadForgotten { .. }
        | Record::Followed(_)
        | Record::Change { .. }
        | Record::Grant(_)
        | Record::GrantForgotten(_)
        | Record::Worker(_)
        | Record::Request(_)
        | Record::Event(_)
        | Record::Reporter(_)
        | Record::Told(_)
        | Record::Reporters(_)
        | Record::Audit { .. } => None,
    }
}

/// SQLite says "full" where a write met the end of the disk, but "I/O error" where the shared index of the WAL could not
/// grow or a sync met it (`unixShmMap`, `unixSync`). Any other I/O error ends the process: what a failed sync left behind
/// is not known.
pub(super) fn is_full(connection: &Connection, error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => true,
        Some(ErrorCode::SystemIoFailure) => connection.path().is_some_and(has_no_room),
        Some(_) | None => false,
    }
}

fn has_no_room(path: &str) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < ROOM_MIN)
}

/// Notes the highest ids and numbers of the batch, so that none is used again after its row was deleted.
fn write_counters(to: &Transaction<'_>, batch: &[Record]) -> Result<(), Failure> {
    let (mut build, mut grant) = (0, 0);
    let (mut events, mut numbers) = (Vec::new(), BTreeMap::<&str, u32>::new());
    for record in batch {
        if let Record::Build(row) = record {
            build = build.max(row.id.0);
            let number = numbers.entry(&row.project).or_default();
            *number = row.number.max(*number);
        } else if let Record::Grant(row) = record {
            grant = grant.max(row.id.0);
        } else if let Record::Event(event) = record {
            events.push(event.sequence);
        }
    }
    let event = match events.is_empty() {
        true => 0,
        false => follow(row::counter(to, "event")?, &events)?,
    };
    for (name, value) in
        [("build", build), ("grant", grant), ("event", event)].into_iter().filter(|(_, value)| *value > 0)
    {
        let sql = "update counters set value = ?2 where name = ?1 and value < ?2";
        run(to, sql, params![name, id(value)])?;
    }
    for (project, number) in numbers {
        let sql = "insert into numbers (project, number) values (?1, ?2) \
                   on conflict (project) do update set number = excluded.number where excluded.number > number";
        run(to, sql, params![project, number])?;
    }
    Ok(())
}

/// The last of the events, where each is the next of the one before.
fn follow(last: u64, events: &[u64]) -> Result<u64, Failure> {
    events.iter().try_fold(last, |last, found| match *found == last + 1 {
        true => Ok(*found),
        false => Err(Failure::Gap { last, found: *found }),
    })
}

fn write_record(to: &Transaction<'_>, record: &Record) -> rusqlite::Result<()> {
    match record {
        Record::Build(row) => write_build(to, row),
        Record::Plan { build, plan } => {
            let sql = "insert or replace into plans (build, plan) values (?1, ?2)";
            run(to, sql, params![id(build.0), json(plan)])
        }
        Record::Job(row) => write_job(to, row),
        Record::Attempt(row) => write_attempt(to, row),
        Record::Step(row) => write_step(to, row),
        Record::Seal(row) => write_seal(to, row),
        Record::Head(row) => write_head(to, row),
        Record::Lane { project, ref_name, job, result } => lanes::add(to, (project, ref_name, job), result),
        Record::HeadForgotten { project, ref_name } => {
            run(to, "delete from heads where project = ?1 and ref = ?2", params![project, ref_name])
        }
        Record::Followed(row) => write_followed(to, row),
        Record::Change { build, change, time } => write_change(to, build.map(|build| build.0), change, *time),
        Record::Grant(row) => write_grant(to, row),
        Record::GrantForgotten(grant) => run(to, "delete from grants where id = ?1", params![id(grant.0)]),
        Record::Worker(row) => write_worker(to, row),
        Record::Request(row) => write_request(to, row),
        Record::Event(event) => write_event(to, event),
        Record::Reporter(row) => reporters::write_reporter(to, row),
        Record::Told(row) => reporters::write_told(to, row),
        Record::Reporters(names) => reporters::forget_others(to, names),
        Record::Audit { time, by, text } => audit::append(to, *time, by.0, text),
    }
}

pub(super) fn run(to: &Transaction<'_>, sql: &str, values: impl rusqlite::Params) -> rusqlite::Result<()> {
    to.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

/// What a build is never changes; how it goes does.
fn write_build(to: &Transaction<'_>, row: &BuildRow) -> rusqlite::Result<()> {
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

fn write_job(to: &Transaction<'_>, row: &JobRow) -> rusqlite::Result<()> {
    let sql = "insert or replace into jobs (build, idx, name, state, outcome, reason, attempt, lost, queued, started, \
               finished, worker, platform, carried_from) \
               values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    let values = params![
        id(row.key.build.0),
        row.key.index,
        row.name,
        row.state.word(),
        row.outcome.map(|outcome| outcome.word()),
        row.reason,
        row.attempt,
        row.lost,
        maybe_time(row.queued),
        maybe_time(row.started),
        maybe_time(row.finished),
        row.worker,
        row.platform,
        row.carried_from,
    ];
    run(to, sql, values)
}

fn write_attempt(to: &Transaction<'_>, row: &AttemptRow) -> rusqlite::Result<()> {
    let sql = "insert or replace into attempts (build, idx, number, token, by_grant, worker, started, finished, \
               outcome, reason, isolation, placed, term, home) \
               values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    let values = params![
        id(row.job.build.0),
        row.job.index,
        row.number,
        row.token.0,
        id(row.grant.0),
        row.worker,
        time(row.started),
        maybe_time(row.finished),
        row.outcome.map(|outcome| outcome.word()),
        row.reason,
        row.isolation,
        row.placed.as_ref().map(json).unwrap_or_default(),
        id(u64::try_from(row.term.as_millis()).unwrap_or(u64::MAX)),
        row.home.as_ref().map(json).unwrap_or_default(),
    ];
    run(to, sql, values)
}

/// A step's start is told once: after a restart of the master only the end is known anew.
fn write_step(to: &Transaction<'_>, row: &StepRow) -> rusqlite::Result<()> {
    let sql = "insert into steps (build, idx, attempt, step, name, state, outcome, exit, started, finished, log_size, \
               log_hash) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
               on conflict (build, idx, attempt, step) do update set state = excluded.state, \
               outcome = excluded.outcome, exit = excluded.exit, started = coalesce(excluded.started, started), \
               finished = excluded.finished, log_size = excluded.log_size, log_hash = excluded.log_hash";
    let values = params![
        id(row.key.job.build.0),
        row.key.job.index,
        row.key.attempt,
        row.key.step,
        row.name,
        row.state.word(),
        row.outcome.map(|outcome| outcome.word()),
        json(&row.exit),
        maybe_time(row.started),
        maybe_time(row.finished),
        id(row.log_size),
        row.log_hash,
    ];
    run(to, sql, values)
}

/// `log-bytes` counts what all logs have, for retention.
fn write_seal(to: &Transaction<'_>, row: &SealRow) -> rusqlite::Result<()> {
    let sql = "update counters set value = value + ?5 - coalesce((select size from logs \
               where build = ?1 and idx = ?2 and attempt = ?3 and step = ?4), 0) where name = 'log-bytes'";
    let key = row.key;
    let (build, index) = (id(key.job.build.0), key.job.index);
    run(to, sql, params![build, index, key.attempt, key.step, id(row.size)])?;
    let sql = "insert or replace into logs (build, idx, attempt, step, size, hash, bytes) \
               values (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    run(to, sql, params![build, index, key.attempt, key.step, id(row.size), row.hash, row.bytes])
}

fn write_head(to: &Transaction<'_>, row: &HeadRow) -> rusqlite::Result<()> {
    let (project, ref_name, head) = (&row.project, &row.ref_name, &row.head);
    let sql = "select ref_since from heads where project = ?1 and ref = ?2";
    let since: Option<u32> =
        to.prepare_cached(sql)?.query_row(params![project, ref_name], |row| row.get(0)).optional()?;
    if head.since > since.unwrap_or_default() {
        lanes::remove(to, project, ref_name)?;
    }
    let sql = "insert or replace into heads (project, ref, revision, told, gone, ref_update, ref_since) \
               values (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let gone = maybe_time(head.gone);
    run(to, sql, params![project, ref_name, head.revision, head.is_told, gone, head.update, head.since])
}

fn write_followed(to: &Transaction<'_>, row: &FollowedRow) -> rusqlite::Result<()> {
    let sql = "insert or replace into followed (project, address, scopes, looked_in) values (?1, ?2, ?3, ?4)";
    run(to, sql, params![row.project, row.address, json(&row.scopes), id(row.looked_in)])
}

fn write_change(to: &Transaction<'_>, build: Option<u64>, change: &Change, at: Time) -> rusqlite::Result<()> {
    let sql = "insert into changes (build, project, change, time) values (?1, ?2, ?3, ?4)";
    run(to, sql, params![build.map(id), change.project, json(change), time(at)])
}

fn write_grant(to: &Transaction<'_>, row: &GrantRow) -> rusqlite::Result<()> {
    let sql = "insert or replace into grants (id, parent, kind, name, what, created, expires, revoked, reason, \
               join_hash, token_hash, holder, browser) \
               values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    let values = params![
        id(row.id.0),
        row.parent.map(|parent| id(parent.0)),
        row.kind.word(),
        row.name,
        json(&row.what),
        time(row.created),
        maybe_time(row.expires),
        maybe_time(row.revoked),
        row.reason,
        row.join_hash,
        row.token_hash,
        row.holder.map(|holder| holder.0),
        row.is_browser,
    ];
    run(to, sql, values)
}

fn write_worker(to: &Transaction<'_>, row: &WorkerRow) -> rusqlite::Result<()> {
    let sql = "insert or replace into workers (name, by_grant, draining, held, forgotten, last_heard, description, \
               steered_by, steered) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let values = params![
        row.name,
        id(row.grant.0),
        row.draining,
        row.held,
        row.forgotten,
        time(row.last_heard),
        json(&row.description),
        id(row.steered_by.0),
        maybe_time(row.steered),
    ];
    run(to, sql, values)
}

fn write_request(to: &Transaction<'_>, row: &RequestRow) -> rusqlite::Result<()> {
    let sql = "insert or replace into requests (id, by_grant, body, answer, time) values (?1, ?2, ?3, ?4, ?5)";
    run(to, sql, params![row.id.0, id(row.by.0), row.body, json(&row.answer), time(row.time)])
}

/// Forgets answers that are too old or too many, a few for each that the batch has.
fn sweep_requests(to: &Transaction<'_>, batch: &[Record]) -> rusqlite::Result<()> {
    let times = batch.iter().filter_map(|record| if let Record::Request(row) = record { Some(row.time) } else { None });
    let (count, now) = times.fold((0, Time(0)), |(count, latest), time| (count + 1, latest.max(time)));
    if count == 0 {
        return Ok(());
    }
    let most = REQUESTS_SWEPT.saturating_mul(count);
    let sql =
        "delete from requests where number in (select number from requests where time < ?1 order by time limit ?2)";
    run(to, sql, params![time(now) - REQUESTS_KEPT_MS, most])?;
    // numbers may have holes, so fewer may be kept: the coordinator remembers as many as were loaded
    let sql = "delete from requests where number in (select number from requests \
               where number <= (select max(number) from requests) - ?1 order by number limit ?2)";
    run(to, sql, params![REQUESTS_KEPT, most])
}

fn write_event(to: &Transaction<'_>, event: &Event) -> rusqlite::Result<()> {
    let sql = "insert into events (sequence, time, project, build, fact) values (?1, ?2, ?3, ?4, ?5)";
    run(to, sql, params![id(event.sequence), time(event.time), event.project, event.build, json(&event.fact)])
}
