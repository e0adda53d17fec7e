//! The table of events, which are ordered by their number.

use super::{Tables, run};
use crate::keep::store::sqlite::columns::{id, json, read_id, read_json, read_time, time};
use rusqlite::{Row, Transaction, params};
use schema::limits::{self, BATCH_BYTES};
use schema::values::{Event, Time};

const COLUMNS: &str = "sequence, time, project, build, fact";

impl Tables<'_> {
    pub(crate) fn events_after(self, after: u64, limit: usize) -> rusqlite::Result<Vec<Event>> {
        let sql = format!("select {COLUMNS} from events where sequence > ?1 order by sequence limit ?2");
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut statement = self.0.prepare_cached(&sql)?;
        let mut rows = statement.query(params![id(after), limit])?;
        let (mut found, mut bytes): (Vec<Event>, usize) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            let event = read(row)?;
            bytes += limits::event_bytes(&event);
            if bytes > BATCH_BYTES && !found.is_empty() {
                break;
            }
            found.push(event);
        }
        Ok(found)
    }
}

pub(crate) fn write(to: &Transaction<'_>, event: &Event) -> rusqlite::Result<()> {
    let sql = "insert into events (sequence, time, project, build, fact) values (?1, ?2, ?3, ?4, ?5)";
    run(to, sql, params![id(event.sequence), time(event.time), event.project, event.build, json(&event.fact)])
}

/// Deletes at most `most` events that are older than `before`. Returns how many.
pub(crate) fn sweep_old(to: &Transaction<'_>, before: Time, most: u32) -> rusqlite::Result<usize> {
    // events are numbered in the order of time, so only the oldest ones are looked at
    let sql = "delete from events where sequence in \
               (select sequence from (select sequence, time from events order by sequence limit ?2) where time < ?1)";
    to.prepare_cached(sql)?.execute(params![time(before), most])
}

fn read(row: &Row<'_>) -> rusqlite::Result<Event> {
    Ok(Event {
        sequence: read_id(row, 0)?,
        time: read_time(row, 1)?,
        // a store only has events of its own master
        origin: None,
        project: row.get(2)?,
        build: row.get(3)?,
        fact: read_json(row, 4)?,
    })
}
