//! Entries of `[trigger.cron]` for people, and the text about a build that one of them made.

use super::viewer_access::ViewerAccess;
use crate::decide::coordinator::record::{BuildRow, CronRow};
use schema::limits::text_bytes;
use schema::perspective_capnp::cron_view;
use schema::values::Time;
use schema::wire;

/// The bytes of an entry in a list besides its texts: its numbers and its pointers.
const FIXED_BYTES: usize = 96;

pub(super) fn cron_bytes(row: &CronRow) -> usize {
    let texts = [&row.key.name, &row.key.ref_name, &row.cron.at, &row.cron.tz, &row.cron.skipped, &row.next_shown()];
    FIXED_BYTES + texts.iter().map(|text| text_bytes(text)).sum::<usize>()
}

pub(super) fn write_cron(mut to: cron_view::Builder<'_>, row: &CronRow) {
    let time = |time: Option<Time>| time.map_or(0, wire::time);
    to.set_name(&row.key.name);
    to.set_ref(&row.key.ref_name);
    to.set_at(&row.cron.at);
    to.set_tz(&row.cron.tz);
    to.set_if_changed(row.cron.if_changed);
    to.set_next(time(row.next));
    to.set_shown(row.next_shown());
    to.set_fired(time(row.cron.fired));
    to.set_build(row.cron.build);
    to.set_skipped(&row.cron.skipped);
}

/// Returns a text that says when the entry that made a build fires next. `None` means that no entry made the build.
pub(super) fn cron_hint(access: &ViewerAccess, build: &BuildRow) -> Option<String> {
    let name = Some(build.cause.cron()).filter(|name| !name.is_empty())?;
    let ref_name = build.stamp.sources.first().map(|source| source.ref_name.as_str()).unwrap_or_default();
    let is_it = |row: &&CronRow| row.key.name == name && row.key.ref_name == ref_name;
    let next = access.state().peek(|it, _| it.crons_of(&build.project).find(is_it).map(CronRow::next_shown));
    Some(match next.as_deref() {
        None => format!("the cron `{name}` made the build; the pipeline of the branch no longer has it"),
        Some("") => format!("the cron `{name}` made the build; it does not fire again"),
        Some(next) => format!("the cron `{name}` made the build; next: {next}"),
    })
}
