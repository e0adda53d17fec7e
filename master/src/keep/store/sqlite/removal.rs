//! Removes from history what retention chose, a bounded number of rows in each transaction. First, a few rows hide a build, or
//! its logs, from everybody. Then its files are unlinked, and then its remaining rows are swept. If the master crashes in
//! between, the next pass sweeps the rest.

use super::commit::is_full;
use super::tables::{
    Tables, attempts, blobs, builds, changes, events, jobs, lanes, logs, plans, removals, steps, test_names, test_runs,
};
use crate::keep::store::{Removal, RemoveError, Sweep, TestPiece};
use rusqlite::{Connection, Transaction};

/// Removes builds and logs from history. From here on the builds are not found, and the logs are known to be removed.
pub(super) fn remove(connection: &mut Connection, removal: &Removal) -> Result<(), RemoveError> {
    in_one(connection, |to| {
        removal.builds.iter().try_for_each(|build| remove_build(to, build.0))?;
        removal.logs.iter().try_for_each(|(build, reason)| remove_logs(to, build.0, reason))
    })
}

/// Deletes rows in one transaction, and returns how many.
pub(super) fn sweep(connection: &mut Connection, sweep: &Sweep) -> Result<u32, RemoveError> {
    in_one(connection, |to| {
        let mut left = sweep.rows;
        for build in &sweep.unlinked {
            sweep_build(to, build.0, &mut left)?;
        }
        for hash in &sweep.unlinked_blobs {
            take(&mut left, |_| blobs::forget(to, hash))?;
        }
        take(&mut left, |most| events::sweep_old(to, sweep.events_before, most))?;
        take(&mut left, |most| changes::sweep_old(to, sweep.events_before, most))?;
        take(&mut left, |most| test_names::sweep(to, most))?;
        Ok(sweep.rows - left)
    })
}

/// A function that deletes at most this many rows of a build, and returns how many.
type SweepOfBuild = fn(&Transaction<'_>, u64, u32) -> rusqlite::Result<usize>;

const SWEEPS: [SweepOfBuild; 7] =
    [blobs::sweep, steps::sweep, attempts::sweep, jobs::sweep, plans::sweep, changes::sweep, test_runs::sweep];

/// Writes a part of a job's test results in one transaction.
pub(super) fn record_tests(connection: &mut Connection, piece: &TestPiece) -> Result<(), RemoveError> {
    in_one(connection, |to| match piece {
        TestPiece::Names { project, names } => test_names::add(to, project, names),
        TestPiece::Run(row) => test_runs::add(to, row),
        TestPiece::Nothing(key) => test_names::note_read(to, *key),
    })
}

fn in_one<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
) -> Result<T, RemoveError> {
    let done = connection.transaction().and_then(|transaction| {
        let done = work(&transaction)?;
        transaction.commit()?;
        Ok(done)
    });
    done.map_err(|error| match is_full(connection, &error) {
        true => RemoveError::Full,
        false => RemoveError::Failed(error.to_string()),
    })
}

fn remove_build(to: &Transaction<'_>, build: u64) -> rusqlite::Result<()> {
    let Some((project, ref_name)) = builds::remove(to, build)? else { return Ok(()) };
    lanes::remove_unbuilt(to, &project, &ref_name)?;
    test_runs::remove_unbuilt(to, &project, &ref_name)?;
    logs::count_out(to, build)?;
    removals::add_build(to, build)
}

fn remove_logs(to: &Transaction<'_>, build: u64, reason: &str) -> rusqlite::Result<()> {
    if !Tables(to).is_finished(build)? {
        return Ok(());
    }
    logs::count_out(to, build)?;
    removals::add_logs(to, build, reason)
}

fn sweep_build(to: &Transaction<'_>, build: u64, left: &mut u32) -> rusqlite::Result<()> {
    take(left, |most| logs::sweep(to, build, most))?;
    let is_gone = !Tables(to).is_kept(build)?;
    if is_gone {
        for sweep in SWEEPS {
            take(left, |most| sweep(to, build, most))?;
        }
    }
    if *left > 0 {
        take(left, |_| removals::end(to, build, is_gone))?;
    }
    Ok(())
}

/// Runs a sweep with the number of rows that are left, and subtracts what it deleted.
fn take(left: &mut u32, sweep: impl FnOnce(u32) -> rusqlite::Result<usize>) -> rusqlite::Result<()> {
    let rows = sweep(*left)?;
    *left = left.saturating_sub(u32::try_from(rows).unwrap_or(u32::MAX));
    Ok(())
}
