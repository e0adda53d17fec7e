//! Reports whether the store is sound. The master itself checks it after each start and once a day.

use super::{line, rough};
use crate::keep::soundness::Soundness;
use schema::values::{Finding, Time};

const SUBJECT: &str = "store";

pub(super) fn judge(found: &Soundness, now: Time) -> Finding {
    match found {
        Soundness::Unknown => Finding::good(SUBJECT, "the master checks it for damage soon after each start"),
        Soundness::Good { at } => Finding::good(SUBJECT, format!("no damage, checked {} ago", rough(now.since(*at)))),
        Soundness::Damaged { at, what } => Finding::bad(
            SUBJECT,
            format!("damaged, seen {} ago: {}", rough(now.since(*at)), line(&what.join("; "))),
            "keep your earlier backups; stop the master, and restore the newest good one: `guild-master begin-anew`, then \
             `guild-master restore`",
        ),
    }
}
