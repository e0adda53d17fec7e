//! The tables, with one file for each table or small family of tables. A file has the columns, the reader of rows, the reads,
//! and the functions that write and remove rows.
//!
//! Reads are methods of [`Tables`]. Writes are functions on a transaction, called with the name of their file: `builds::write`.

pub(crate) mod attempts;
pub(crate) mod audit;
pub(crate) mod blobs;
pub(crate) mod builds;
pub(crate) mod changes;
pub(crate) mod claims;
pub(crate) mod counters;
pub(crate) mod crons;
pub(crate) mod events;
pub(crate) mod grants;
pub(crate) mod heads;
pub(crate) mod jobs;
pub(crate) mod lanes;
pub(crate) mod logs;
pub(crate) mod meta;
pub(crate) mod plans;
pub(crate) mod removals;
pub(crate) mod reporters;
pub(crate) mod requests;
pub(crate) mod steps;
pub(crate) mod test_names;
pub(crate) mod test_runs;
pub(crate) mod workers;

use rusqlite::{Connection, Params, Row};

/// The tables as one connection sees them. Its methods are the reads; [`crate::keep::store::Reading`] says what they return.
#[derive(Clone, Copy)]
pub(crate) struct Tables<'a>(pub(crate) &'a Connection);

impl Tables<'_> {
    /// Returns all rows of a statement. It is meant for statements that run only when the store is opened, so the statement is
    /// not cached.
    pub(in crate::keep::store::sqlite) fn all<T>(
        self,
        sql: &str,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.0.prepare(sql)?.query_map([], read)?.collect()
    }
}

/// Runs a statement, and keeps it prepared.
fn run(to: &Connection, sql: &str, values: impl Params) -> rusqlite::Result<()> {
    to.prepare_cached(sql)?.execute(values)?;
    Ok(())
}
