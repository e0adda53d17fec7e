//! Keeps the worker's machine in order: workspaces that nobody used for long, or for which there is no room, are removed,
//! and so are the temporary files of attempts that are no more, and processes that lost their supervisor.

use crate::attempt::shared::AttemptShared;
use crate::process::environment::temporary;
use crate::process::world::Machine;
use crate::worker_shared::DiskReserve;
use crate::workspace;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// The time between two rounds, unless a disk runs short of room.
const EVERY: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// After how many days without use a workspace is removed. The first always counts, the others in turn while there is too little
/// room.
const DAYS: [u32; 4] = [7, 3, 1, 0];

/// The time between two looks for processes that a killed supervisor left. The end of its step looks too, but then they may not
/// have come to this process yet.
const ORPHANS_EVERY: Duration = Duration::from_secs(10);

/// Ends processes that no supervisor watches any more, again and again.
pub(crate) async fn end_orphans(attempts: Rc<AttemptShared>) {
    loop {
        tokio::time::sleep(ORPHANS_EVERY).await;
        let machine = attempts.world.machine.clone();
        match attempts.world.blocking.run(move || machine.kill_adopted()).await {
            Ok(0) => {}
            Ok(left) => tracing::error!(left, "processes without a supervisor cannot be killed"),
            Err(error) => tracing::warn!(%error, "processes without a supervisor were not looked for"),
        }
    }
}

/// Keeps order at the start, then each hour, and at once where a disk has less room than the reserve.
pub(crate) async fn keep(attempts: Rc<AttemptShared>, reserve: Rc<DiskReserve>) {
    loop {
        let root = attempts.workspaces.clone();
        let scratch = attempts.state.join("tmp");
        let live = attempts.ledger.all().iter().map(|entry| temporary(&attempts.state, &entry.token())).collect();
        let bytes = reserve.bytes;
        let machine = attempts.world.machine.clone();
        let tidied = attempts.world.blocking.run(move || {
            remove_scratch(&scratch, &live);
            expire(&*machine, &root, bytes)
        });
        match tidied.await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "old workspaces were removed"),
            Err(error) => tracing::warn!(%error, "old workspaces were not looked at"),
        }
        reserve.tidied.notify_waiters();
        let _ = tokio::time::timeout(EVERY, reserve.short_of_room.notified()).await;
    }
}

fn expire(machine: &dyn Machine, root: &Path, reserve: u64) -> u32 {
    let mut removed = 0;
    for (round, days) in DAYS.into_iter().enumerate() {
        let has_room = machine.free_bytes(root).is_none_or(|free| free >= reserve);
        if !root.exists() || round > 0 && has_room {
            break;
        }
        match workspace::expire(root, DAY * days) {
            Ok(count) => removed += count,
            Err(error) => tracing::warn!(root = %root.display(), %error, "old workspaces cannot be removed"),
        }
    }
    removed
}

fn remove_scratch(root: &Path, live: &BTreeSet<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(root) else { return };
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| !live.contains(path)) {
        if let Err(error) = workspace::remove_tree(&path) {
            tracing::warn!(path = %path.display(), %error, "temporary files cannot be removed");
        }
    }
}
