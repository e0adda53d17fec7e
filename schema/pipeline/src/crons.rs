//! Reads the table `[trigger.cron]`. The values of its entries are read by [`super::cron`].

use super::cron::{CronEntry, CronMistake, CronTimes, UTC};
use super::limits::CRONS_MAX;
use super::{axis, entry, keys};
use toml_file::{At, Table, Value};

/// Returns the entries of `[trigger.cron]`, in the order of the file.
pub(super) fn read(trigger: &Table<'_>) -> Vec<CronEntry> {
    let Some(table) = trigger.get("cron").and_then(|value| value.table("[trigger.cron]")) else { return Vec::new() };
    let named = table.named();
    if named.len() > CRONS_MAX {
        let message = format!("[trigger.cron] has {} entries, but only {CRONS_MAX} are allowed", named.len());
        table.page().error(table.span(), message, "", "one entry may name several times: at = \"0 3,15 * * *\"");
        return Vec::new();
    }
    named.into_iter().filter_map(|(name, value)| read_entry(&name, &value)).collect()
}

fn read_entry(name: &At<&str>, value: &Value<'_>) -> Option<CronEntry> {
    let table = value.table(format!("[trigger.cron.{}]", name.value))?;
    axis::check_name(table.page(), name, "a cron");
    let mut read = CronEntry { name: name.value.to_owned(), tz: UTC.to_owned(), ..CronEntry::default() };
    entry::read(&table, keys::CRON, &mut read);
    table.close(&[]);
    if read.at.is_empty() && table.page().is_clean() {
        table.page().error(name.span.clone(), format!("{} lacks `at`", table.place()), "", "at = \"0 3 * * *\"");
    }
    if let (Some(value), Err(CronMistake::Never)) = (table.get("at"), CronTimes::new(&read.at, &read.tz)) {
        value.refuse(
            "names a time that never comes",
            "",
            "no year has such a day; write the day before the month: \"0 3 28 2 *\"",
        );
    }
    Some(read)
}
