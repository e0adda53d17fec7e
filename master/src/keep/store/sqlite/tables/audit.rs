//! The audit table. The BLAKE3 of each row covers the row before it, and the last hash is also kept apart. So a missing or
//! altered row is detected. The chain has no key: it detects accidents and careless edits, but not somebody who rewrites all of
//! it.

use super::{Tables, meta, run};
use crate::keep::store::StoreError;
use crate::keep::store::sqlite::columns::{id, read_id, read_time, time};
use data_encoding::HEXLOWER;
use rusqlite::{OptionalExtension as _, Transaction, params};
use schema::values::Time;

/// The row of `meta` that has the newest row's hash.
const END: &str = "audit";

pub(crate) fn append(to: &Transaction<'_>, at: Time, by: u64, text: &str) -> rusqlite::Result<()> {
    let last: Option<(u64, [u8; 32])> = to
        .prepare_cached("select sequence, hash from audit order by sequence desc limit 1")?
        .query_row([], |row| Ok((read_id(row, 0)?, row.get(1)?)))
        .optional()?;
    let (sequence, before) = last.unwrap_or_default();
    let hash = link(&before, sequence + 1, at, by, text);
    let sql = "insert into audit (sequence, time, by_grant, text, hash) values (?1, ?2, ?3, ?4, ?5)";
    run(to, sql, params![id(sequence + 1), time(at), id(by), text, hash])?;
    meta::set(to, END, &HEXLOWER.encode(&hash))
}

impl Tables<'_> {
    pub(crate) fn verify_audit(self) -> Result<u64, StoreError> {
        let mut statement =
            self.0.prepare("select sequence, time, by_grant, text, hash from audit order by sequence")?;
        let mut rows = statement.query([])?;
        let mut before = [0; 32];
        let mut count = 0;
        while let Some(row) = rows.next()? {
            count += 1;
            let (sequence, at, by) = (read_id(row, 0)?, read_time(row, 1)?, read_id(row, 2)?);
            let (text, hash): (String, [u8; 32]) = (row.get(3)?, row.get(4)?);
            if sequence != count || hash != link(&before, sequence, at, by, &text) {
                return Err(StoreError::Corrupt(format!("the audit chain breaks at row {count}")));
            }
            before = hash;
        }
        let end = if count == 0 { None } else { Some(HEXLOWER.encode(&before)) };
        if self.meta(END)? != end {
            return Err(StoreError::Corrupt(format!("the audit chain ends at row {count}, but it had more rows")));
        }
        Ok(count)
    }
}

fn link(before: &[u8; 32], sequence: u64, at: Time, by: u64, text: &str) -> [u8; 32] {
    let mut hash = blake3::Hasher::new();
    hash.update(before);
    for number in [sequence, at.0, by, text.len() as u64] {
        hash.update(&number.to_le_bytes());
    }
    hash.update(text.as_bytes());
    *hash.finalize().as_bytes()
}
