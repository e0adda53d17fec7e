//! Writes batches of records, each in one transaction.

use super::tables::{
    Tables, attempts, audit, blobs, builds, changes, claims, counters, crons, events, grants, heads, jobs, lanes, logs,
    plans, reporters, requests, steps, workers,
};
use crate::decide::coordinator::record::{BuildId, Record};
use crate::keep::store::CommitError;
use rusqlite::{Connection, ErrorCode, Transaction};
use schema::values::Time;
use std::collections::{BTreeMap, BTreeSet};

/// If the disk has fewer free bytes than this, an I/O error counts as a full disk.
const ROOM_MIN: u64 = 1 << 20;

#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("event {found} cannot follow event {last}: the sequence of events would have a gap")]
    Gap { last: u64, found: u64 },
}

pub(super) fn commit(connection: &mut Connection, batch: Vec<Record>) -> Result<(), CommitError> {
    match write(connection, &batch) {
        Ok(()) => Ok(()),
        Err(WriteError::Sqlite(error)) if is_full(connection, &error) => Err(CommitError::Full(batch)),
        Err(failure) => Err(CommitError::Failed(failure.to_string())),
    }
}

/// Returns the number of the last event of a batch; `None` means that it has no event.
pub(super) fn last_event(batch: &[Record]) -> Option<u64> {
    batch.iter().rev().find_map(|record| if let Record::Event(event) = record { Some(event.sequence) } else { None })
}

fn write(connection: &mut Connection, batch: &[Record]) -> Result<(), WriteError> {
    let transaction = connection.transaction()?;
    for record in latest(batch) {
        write_record(&transaction, record)?;
    }
    write_counters(&transaction, batch)?;
    sweep_requests(&transaction, batch)?;
    Ok(transaction.commit()?)
}

/// Returns the records of a batch that have to be written. Of the records of one build, job, attempt or step, only the last counts,
/// because each is whole.
fn latest(batch: &[Record]) -> impl Iterator<Item = &Record> {
    let mut seen = BTreeSet::new();
    let mut kept: Vec<&Record> =
        batch.iter().rev().filter(|record| row_of(record).is_none_or(|row| seen.insert(row))).collect();
    kept.reverse();
    kept.into_iter()
}

/// The key of a row: its build, and its job, attempt and step if it has them.
type RowKey = (BuildId, Option<u32>, Option<u16>, Option<u16>);

/// Returns the row that a record replaces; `None` means that every record of its kind is written.
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
        | Record::Blob(_)
        | Record::Head(_)
        | Record::Lane { .. }
        | Record::HeadForgotten { .. }
        | Record::Followed(_)
        | Record::Cron(_)
        | Record::CronForgotten(_)
        | Record::Claim(_)
        | Record::ClaimForgotten(_)
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

/// Returns whether an error means that the disk is full. SQLite says "full" if a write reached the end of the disk. It says
/// "I/O error" if a sync did, or if the shared index of the WAL could not grow (`unixShmMap`, `unixSync`). Any other I/O error
/// ends the process, because nobody knows what a failed sync left behind.
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

/// Writes the highest ids and numbers of the batch, so that none is used again after its row was deleted.
fn write_counters(to: &Transaction<'_>, batch: &[Record]) -> Result<(), WriteError> {
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
        false => follow(Tables(to).counter("event")?, &events)?,
    };
    for (name, value) in
        [("build", build), ("grant", grant), ("event", event)].into_iter().filter(|(_, value)| *value > 0)
    {
        counters::raise(to, name, value)?;
    }
    for (project, number) in numbers {
        counters::raise_number(to, project, number)?;
    }
    Ok(())
}

/// Returns the number of the last event, if the events follow `last` without a gap.
fn follow(last: u64, events: &[u64]) -> Result<u64, WriteError> {
    events.iter().try_fold(last, |last, found| match *found == last + 1 {
        true => Ok(*found),
        false => Err(WriteError::Gap { last, found: *found }),
    })
}

fn write_record(to: &Transaction<'_>, record: &Record) -> rusqlite::Result<()> {
    match record {
        Record::Build(row) => builds::write(to, row),
        Record::Plan { build, plan } => plans::write(to, *build, plan),
        Record::Job(row) => jobs::write(to, row),
        Record::Attempt(row) => attempts::write(to, row),
        Record::Step(row) => steps::write(to, row),
        Record::Seal(row) => logs::write(to, row),
        Record::Blob(row) => blobs::write(to, row),
        Record::Head(row) => heads::write(to, row),
        Record::Lane { project, ref_name, job, result } => lanes::add(to, (project, ref_name, job), result),
        Record::HeadForgotten { project, ref_name } => heads::forget(to, project, ref_name),
        Record::Followed(row) => heads::write_followed(to, row),
        Record::Cron(row) => crons::write(to, row),
        Record::CronForgotten(key) => crons::forget(to, key),
        Record::Claim(row) => claims::write(to, row),
        Record::ClaimForgotten(key) => claims::forget(to, key),
        Record::Change { build, change, time } => changes::write(to, *build, change, *time),
        Record::Grant(row) => grants::write(to, row),
        Record::GrantForgotten(grant) => grants::forget(to, *grant),
        Record::Worker(row) => workers::write(to, row),
        Record::Request(row) => requests::write(to, row),
        Record::Event(event) => events::write(to, event),
        Record::Reporter(row) => reporters::write(to, row),
        Record::Told(row) => reporters::write_told(to, row),
        Record::Reporters(names) => reporters::forget_others(to, names),
        Record::Audit { time, by, text } => audit::append(to, *time, by.0, text),
    }
}

/// Deletes old answers to requests if the batch has new ones.
fn sweep_requests(to: &Transaction<'_>, batch: &[Record]) -> rusqlite::Result<()> {
    let times = batch.iter().filter_map(|record| if let Record::Request(row) = record { Some(row.time) } else { None });
    let (count, now) = times.fold((0, Time(0)), |(count, latest), time| (count + 1, latest.max(time)));
    if count > 0 { requests::sweep(to, count, now) } else { Ok(()) }
}
