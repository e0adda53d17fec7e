//! Decides which builds and which logs retention removes. It is pure, and knows no store and no clock.

use crate::config::Retain;
use crate::decide::coordinator::record::BuildId;
use crate::keep::store::{AgeingPage, Logged};
use schema::values::{Time, TimeSpan};
use std::collections::BTreeSet;
use std::time::Duration;

/// The least age of an ended build that may go. Before that its last logs may still be open, and people read it.
pub const GRACE: Duration = Duration::from_secs(3600);

/// Returns the builds of a page that go. Each has finished, is older than the newest builds that its project keeps, and is not the tip of
/// an existing ref. No build that stays refers to it. A page has the newest builds first, so whatever refers to a build is decided before
/// it.
pub fn builds_to_go(now: Time, page: &AgeingPage) -> Vec<BuildId> {
    let mut going = BTreeSet::new();
    for build in &page.candidates {
        let may = has_aged(now, build.finished) && build.number < page.kept_from && !build.is_tip;
        if may && build.carriers.iter().all(|carrier| going.contains(carrier)) {
            going.insert(build.id);
        }
    }
    going.into_iter().collect()
}

/// Returns the builds whose logs go, each with the limit that removes them, and the rest of `total`. `page` has the oldest builds with
/// logs first. `total` counts the bytes of all logs.
pub fn logs_to_go(now: Time, retain: &Retain, mut total: u64, page: &[Logged]) -> (Vec<(BuildId, String)>, u64) {
    let mut going = Vec::new();
    for logged in page.iter().filter(|logged| has_aged(now, logged.finished)) {
        let age = logged.finished.map_or(Duration::ZERO, |finished| now.since(finished));
        let reason = if age > retain.logs {
            format!("`limits.retain.logs` keeps them for {}", TimeSpan(retain.logs).written())
        } else if total > retain.log_bytes_total {
            format!("`limits.retain.log_bytes_total` keeps {} bytes of logs in all", retain.log_bytes_total)
        } else {
            continue;
        };
        total = total.saturating_sub(logged.bytes);
        going.push((logged.build, reason));
    }
    (going, total)
}

/// Whether logs of builds younger than those of `page` may go. Such a build was made later than those, and no build ends before it was
/// made.
pub fn more_logs(now: Time, retain: &Retain, left: u64, page: &[Logged]) -> bool {
    let youngest = page.last().is_some_and(|logged| now.since(logged.created) > retain.logs);
    youngest || !page.is_empty() && left > retain.log_bytes_total
}

fn has_aged(now: Time, finished: Option<Time>) -> bool {
    finished.is_some_and(|finished| now.since(finished) > GRACE)
}
