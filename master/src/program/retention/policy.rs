//! PURE: what goes, of what was read. Knows no store and no clock.

use crate::config::Retain;
use crate::decide::coordinator::record::BuildId;
use crate::keep::store::{AgeingPage, Logged};
use schema::values::{Time, TimeSpan};
use std::collections::BTreeSet;
use std::time::Duration;

/// A build that ended less than this ago stays, whatever the limits: its last logs are closed, and people read it.
pub const GRACE: Duration = Duration::from_secs(3600);

/// The builds of a page that go. They are finished and beyond the newest of their project. None is the tip of a ref that exists,
/// and no build that stays refers to them. A page comes newest first, so what may refer to a build was decided before it.
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

/// The builds whose logs go, and after which limit; `page` has the oldest with logs first, `total` counts the bytes of all
/// logs. Also answers what is left of `total`.
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

/// Whether logs of younger builds than those of `page` may go. No build ends before it was made, and a younger one was made
/// later.
pub fn more_logs(now: Time, retain: &Retain, left: u64, page: &[Logged]) -> bool {
    let youngest = page.last().is_some_and(|logged| now.since(logged.created) > retain.logs);
    youngest || !page.is_empty() && left > retain.log_bytes_total
}

fn has_aged(now: Time, finished: Option<Time>) -> bool {
    finished.is_some_and(|finished| now.since(finished) > GRACE)
}
