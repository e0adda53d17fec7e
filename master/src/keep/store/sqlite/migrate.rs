//! Migrates a database by numbered steps, which `PRAGMA user_version` counts. Each step is one transaction, so the process may
//! be killed in between.

use super::old_lanes;
use super::tables::{Tables, meta};
use crate::keep::store::StoreError;
use rusqlite::Connection;

/// The text that begins a step in the file.
const MARK: &str = "-- step ";

pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    migrate_to(connection, usize::MAX)
}

/// Runs the steps up to `last` that have not run yet.
pub(super) fn migrate_to(connection: &mut Connection, last: usize) -> Result<(), StoreError> {
    let steps = steps();
    let known = u32::try_from(steps.len()).expect("steps are few");
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    if (1..known).contains(&found) {
        tracing::info!(
            from = found,
            to = known,
            "the store is being migrated: an older guild-master can no longer read it"
        );
    }
    for (number, step) in (1..).zip(&steps).take(last).skip(found as usize) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", number)?;
        if number == 1 {
            meta::set(&transaction, "incarnation", "1")?;
        }
        transaction.commit()?;
    }
    if last >= steps.len() { make_lanes(connection) } else { Ok(()) }
}

/// Makes the lanes of an old store. Code does it after the last step, because it needs the newest form of the tables.
fn make_lanes(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction()?;
    if Tables(&transaction).meta("lanes")?.is_some() {
        old_lanes::rebuild(&transaction)?;
        meta::forget(&transaction, "lanes")?;
    }
    Ok(transaction.commit()?)
}

fn steps() -> Vec<&'static str> {
    let text = include_str!("schema.sql");
    text.split(MARK).skip(1).map(|step| step.split_once('\n').map_or("", |(_, sql)| sql)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_numbered_from_one() {
        let text = include_str!("schema.sql");
        for (number, step) in (1..).zip(text.split(MARK).skip(1)) {
            assert!(step.starts_with(&format!("{number}:")), "step {number} begins with {:?}", &step[..10]);
        }
    }

    #[test]
    fn a_newer_store_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        migrate(&mut connection).unwrap();
        connection.pragma_update(None, "user_version", 1_000).unwrap();
        let refused = migrate(&mut connection).unwrap_err();
        assert!(refused.to_string().contains("upgrade guild-master"), "{refused}");
    }
}
