//! Converts values to columns and back: JSON, words, times and ids.

use rusqlite::Row;
use rusqlite::types::Type;
use schema::values::Time;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Returns a value as JSON text.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("our own structs are JSON")
}

/// Returns the word of an enum's variant, without the quotes that JSON has.
pub(super) fn word(value: &impl Serialize) -> String {
    json(value).trim_matches('"').to_owned()
}

pub(super) fn read_json<T: DeserializeOwned>(row: &Row<'_>, index: usize) -> rusqlite::Result<T> {
    parse(index, &row.get::<_, String>(index)?)
}

/// Reads a JSON column in which an empty text means no value.
pub(super) fn maybe_json<T: DeserializeOwned>(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<T>> {
    let text: String = row.get(index)?;
    (!text.is_empty()).then(|| parse(index, &text)).transpose()
}

pub(super) fn read_word<T: DeserializeOwned>(row: &Row<'_>, index: usize) -> rusqlite::Result<T> {
    parse(index, &format!("\"{}\"", row.get::<_, String>(index)?))
}

pub(super) fn maybe_word<T: DeserializeOwned>(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<T>> {
    let word: Option<String> = row.get(index)?;
    word.map(|word| parse(index, &format!("\"{word}\""))).transpose()
}

fn parse<T: DeserializeOwned>(index: usize, text: &str) -> rusqlite::Result<T> {
    let wrong = |error| rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(error));
    serde_json::from_str(text).map_err(wrong)
}

pub(super) fn time(time: Time) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

pub(super) fn maybe_time(at: Option<Time>) -> Option<i64> {
    at.map(time)
}

pub(super) fn read_time(row: &Row<'_>, index: usize) -> rusqlite::Result<Time> {
    Ok(Time(u64::try_from(row.get::<_, i64>(index)?).unwrap_or(0)))
}

pub(super) fn read_maybe_time(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<Time>> {
    let time: Option<i64> = row.get(index)?;
    Ok(time.map(|time| Time(u64::try_from(time).unwrap_or(0))))
}

/// Converts an id for SQLite. Its integers end at 2^63, which no id reaches.
pub(super) fn id(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}

pub(super) fn read_id(row: &Row<'_>, index: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(index)?).unwrap_or(0))
}
