//! The table of answers to requests. They are kept so that a repeated request gets the same answer.

use super::{Tables, run};
use crate::decide::coordinator::record::{GrantId, RequestId, RequestRow};
use crate::keep::store::sqlite::columns::{id, json, read_id, read_json, read_time, time};
use rusqlite::{Row, Transaction, params};
use schema::values::Time;

/// The time for which an answer is kept, in milliseconds: the week that `common.capnp` promises.
const KEPT_MS: i64 = 7 * 24 * 3600 * 1000;
/// The number of answers that are kept, at most, as `common.capnp` promises. The coordinator holds as many in memory.
const KEPT: i64 = 100_000;
/// The number of old answers that are deleted with each new one. It is more than one, so that their number falls after a burst.
const SWEPT: u32 = 8;

impl Tables<'_> {
    /// Returns the newest answers, the oldest of them first.
    pub(crate) fn requests(self) -> rusqlite::Result<Vec<RequestRow>> {
        let sql = format!(
            "select * from (select id, by_grant, body, answer, time, number from requests \
             order by number desc limit {KEPT}) order by number"
        );
        self.all(&sql, read)
    }
}

pub(crate) fn write(to: &Transaction<'_>, row: &RequestRow) -> rusqlite::Result<()> {
    let sql = "insert or replace into requests (id, by_grant, body, answer, time) values (?1, ?2, ?3, ?4, ?5)";
    run(to, sql, params![row.id.0, id(row.by.0), row.body, json(&row.answer), time(row.time)])
}

/// Deletes answers that are too old or too many, a few for each new answer. `now` is the time of the latest new answer.
pub(crate) fn sweep(to: &Transaction<'_>, answers: u32, now: Time) -> rusqlite::Result<()> {
    let most = SWEPT.saturating_mul(answers);
    let sql =
        "delete from requests where number in (select number from requests where time < ?1 order by time limit ?2)";
    run(to, sql, params![time(now) - KEPT_MS, most])?;
    // numbers may have gaps, so fewer answers may be kept; the coordinator remembers as many as were loaded
    let sql = "delete from requests where number in (select number from requests \
               where number <= (select max(number) from requests) - ?1 order by number limit ?2)";
    run(to, sql, params![KEPT, most])
}

fn read(row: &Row<'_>) -> rusqlite::Result<RequestRow> {
    Ok(RequestRow {
        id: RequestId(row.get(0)?),
        by: GrantId(read_id(row, 1)?),
        body: row.get(2)?,
        answer: read_json(row, 3)?,
        time: read_time(row, 4)?,
    })
}
