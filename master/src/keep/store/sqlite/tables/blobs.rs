//! The tables of blobs, of the references to them, and of the bytes of each project. The bytes of all blobs are counted here
//! too.

use super::{Tables, run};
use crate::decide::coordinator::record::{BlobRow, BuildId, UploadKey};
use crate::keep::blobs::{BlobHash, BlobUsage};
use crate::keep::bytes::Seal;
use crate::keep::store::sqlite::columns::{id, read_id, time};
use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use std::collections::BTreeSet;

impl Tables<'_> {
    pub(crate) fn sealed_upload(self, key: &UploadKey) -> rusqlite::Result<Option<Seal>> {
        let sql = "select b.size, b.hash from blob_refs as r join blobs as b on b.hash = r.hash \
                   where r.build = ?1 and r.idx = ?2 and r.attempt = ?3 and r.name = ?4";
        let values = params![id(key.job.build.0), key.job.index, key.attempt, key.name];
        self.0.prepare_cached(sql)?.query_row(values, read_seal).optional()
    }

    pub(crate) fn blob_of(self, build: BuildId, hash: &BlobHash) -> rusqlite::Result<Option<Seal>> {
        let sql = "select b.size, b.hash from blob_refs as r join blobs as b on b.hash = r.hash \
                   where r.build = ?1 and r.hash = ?2 and exists (select 1 from builds where id = ?1) limit 1";
        self.0.prepare_cached(sql)?.query_row(params![id(build.0), hash], read_seal).optional()
    }

    pub(crate) fn blob_usage(self, key: &UploadKey) -> rusqlite::Result<BlobUsage> {
        let of_project = "select bytes from blob_projects where project = ?1";
        let project = self.0.prepare_cached(of_project)?.query_row([&key.project], |row| read_id(row, 0)).optional()?;
        let of_attempt = "select coalesce(sum(b.size), 0), count(*) from blob_refs as r join blobs as b on b.hash = r.hash \
                          where r.build = ?1 and r.idx = ?2 and r.attempt = ?3";
        let values = params![id(key.job.build.0), key.job.index, key.attempt];
        let read = |row: &Row<'_>| Ok((read_id(row, 0)?, row.get(1)?));
        let (attempt, count) = self.0.prepare_cached(of_attempt)?.query_row(values, read)?;
        Ok(BlobUsage { total: self.blob_bytes()?, project: project.unwrap_or(0), attempt, count })
    }

    /// Returns the blobs that something refers to.
    pub(crate) fn sealed_blobs(self) -> rusqlite::Result<Vec<Seal>> {
        self.all("select size, hash from blobs where refs > 0", read_seal)
    }

    pub(crate) fn blob_bytes(self) -> rusqlite::Result<u64> {
        self.counter("blob-bytes")
    }

    pub(crate) fn unreferenced_blobs(self, limit: u32) -> rusqlite::Result<Vec<BlobHash>> {
        let sql = "select hash from blobs indexed by blobs_unreferenced where refs = 0 limit ?1";
        self.0.prepare_cached(sql)?.query_map([limit], |row| row.get(0))?.collect()
    }

    /// Returns the hashes among these that something refers to.
    pub(crate) fn referenced_blobs(self, hashes: &[BlobHash]) -> rusqlite::Result<BTreeSet<BlobHash>> {
        let mut statement = self.0.prepare_cached("select 1 from blobs where hash = ?1 and refs > 0")?;
        let mut found = BTreeSet::new();
        for hash in hashes {
            if statement.exists([hash])? {
                found.insert(*hash);
            }
        }
        Ok(found)
    }
}

/// Adds a reference, and the blob if this is its first reference. A reference that exists stays as it is.
pub(crate) fn write(to: &Transaction<'_>, row: &BlobRow) -> rusqlite::Result<()> {
    let key = &row.key;
    let is_charged = is_charged(to, &key.project, &row.hash)?;
    let sql =
        "insert or ignore into blob_refs (build, idx, attempt, name, project, hash) values (?1, ?2, ?3, ?4, ?5, ?6)";
    let values = params![id(key.job.build.0), key.job.index, key.attempt, key.name, key.project, row.hash];
    if to.prepare_cached(sql)?.execute(values)? == 0 {
        return Ok(());
    }
    if !is_charged {
        let sql = "insert into blob_projects (project, bytes) values (?1, ?2) \
                   on conflict (project) do update set bytes = bytes + excluded.bytes";
        run(to, sql, params![key.project, id(row.size)])?;
    }
    let sql = "insert or ignore into blobs (hash, size, sealed, refs) values (?1, ?2, ?3, 0)";
    if to.prepare_cached(sql)?.execute(params![row.hash, id(row.size), time(row.sealed)])? > 0 {
        run(to, "update counters set value = value + ?1 where name = 'blob-bytes'", [id(row.size)])?;
    }
    run(to, "update blobs set refs = refs + 1 where hash = ?1", [row.hash])
}

/// Deletes at most `most` references of a removed build, and returns how many. Blobs without references then wait for
/// [`forget`].
pub(crate) fn sweep(to: &Transaction<'_>, build: u64, most: u32) -> rusqlite::Result<usize> {
    let sql = "select idx, attempt, name, project, hash from blob_refs where build = ?1 limit ?2";
    let mut statement = to.prepare_cached(sql)?;
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?));
    let found: Vec<(u32, u16, String, String, BlobHash)> =
        statement.query_map(params![id(build), most], read)?.collect::<rusqlite::Result<_>>()?;
    for (index, attempt, name, project, hash) in &found {
        let sql = "delete from blob_refs where build = ?1 and idx = ?2 and attempt = ?3 and name = ?4";
        run(to, sql, params![id(build), index, attempt, name])?;
        run(to, "update blobs set refs = refs - 1 where hash = ?1", [hash])?;
        if !is_charged(to, project, hash)? {
            let sql =
                "update blob_projects set bytes = bytes - (select size from blobs where hash = ?2) where project = ?1";
            run(to, sql, params![project, hash])?;
        }
    }
    Ok(found.len())
}

/// Deletes the row of a blob whose file is gone, if nothing refers to it. Returns how many rows it deleted.
pub(crate) fn forget(to: &Transaction<'_>, hash: &BlobHash) -> rusqlite::Result<usize> {
    let sql = "update counters set value = value - coalesce((select size from blobs where hash = ?1 and refs = 0), 0) \
               where name = 'blob-bytes'";
    run(to, sql, [hash])?;
    to.prepare_cached("delete from blobs where hash = ?1 and refs = 0")?.execute([hash])
}

/// Whether this project already has a reference to the blob.
fn is_charged(to: &Transaction<'_>, project: &str, hash: &BlobHash) -> rusqlite::Result<bool> {
    let sql = "select 1 from blob_refs indexed by blob_refs_project where project = ?1 and hash = ?2";
    to.prepare_cached(sql)?.exists(params![project, hash])
}

/// Reads a seal from the columns `size` and `hash`.
fn read_seal(row: &Row<'_>) -> rusqlite::Result<Seal> {
    Ok(Seal { size: read_id(row, 0)?, hash: row.get(1)? })
}
