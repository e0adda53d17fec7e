//! The table of grants, which say who may do what.

use super::{Tables, run};
use crate::decide::coordinator::record::{GrantId, GrantRow};
use crate::keep::store::sqlite::columns::{
    id, json, maybe_time, read_id, read_json, read_maybe_time, read_time, read_word, time,
};
use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use schema::sturdy_ref::Fingerprint;
use schema::values::GrantKind;

const COLUMNS: &str =
    "id, parent, kind, name, what, created, expires, revoked, reason, join_hash, token_hash, holder, browser";

impl Tables<'_> {
    pub(crate) fn grant(self, grant: GrantId) -> rusqlite::Result<Option<GrantRow>> {
        let sql = format!("select {COLUMNS} from grants where id = ?1");
        self.0.prepare_cached(&sql)?.query_row([id(grant.0)], read).optional()
    }

    pub(crate) fn grants(self) -> rusqlite::Result<Vec<GrantRow>> {
        self.all(&format!("select {COLUMNS} from grants order by id"), read)
    }
}

/// Writes a grant. Its kind and its rights never change, so an existing row keeps them. A newer version may have written some
/// that this version does not know.
pub(crate) fn write(to: &Transaction<'_>, row: &GrantRow) -> rusqlite::Result<()> {
    let sql = "insert into grants (id, parent, kind, name, what, created, expires, revoked, reason, \
               join_hash, token_hash, holder, browser) \
               values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) \
               on conflict (id) do update set parent = excluded.parent, name = excluded.name, \
               created = excluded.created, expires = excluded.expires, revoked = excluded.revoked, \
               reason = excluded.reason, join_hash = excluded.join_hash, token_hash = excluded.token_hash, \
               holder = excluded.holder, browser = excluded.browser";
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

pub(crate) fn forget(to: &Transaction<'_>, grant: GrantId) -> rusqlite::Result<()> {
    run(to, "delete from grants where id = ?1", params![id(grant.0)])
}

fn read(row: &Row<'_>) -> rusqlite::Result<GrantRow> {
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
