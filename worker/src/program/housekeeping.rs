//! Keeps the worker's machine in order. It removes workspaces that nobody has used for long, or for which there is no room. It also
//! removes the temporary files of attempts that no longer exist, and kills processes that lost their supervisor.

use crate::attempt::shared::AttemptShared;
use crate::attempt::troubles::Topic;
use crate::process::environment::temporary;
use crate::process::world::Machine;
use crate::worker_shared::DiskReserve;
use crate::workspace::{self, Trash};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// The time between two rounds, unless a disk runs short of room.
const EVERY: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// The ages, in days without use, from which a workspace is removed. The first one always applies. The others apply one after
/// another, as long as the disk has too little room.
const DAYS: [u32; 4] = [7, 3, 1, 0];

/// The time between two searches for processes that a killed supervisor left. The end of its step searches too, but by then the
/// kernel may not have handed those processes to this one yet.
const ORPHANS_EVERY: Duration = Duration::from_secs(10);

/// The time between two checks for troubles that only a person on the machine can mend. If a step fails because of its disk, a
/// check begins at once.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Checks again and again whether the disks can be written, and whether the trash can be emptied.
pub(crate) async fn look_at_disks(attempts: Rc<AttemptShared>) {
    loop {
        let places = [attempts.state.clone(), attempts.workspaces.clone()];
        let root = attempts.workspaces.clone();
        let machine = attempts.world.machine.clone();
        let looked = attempts.world.blocking.run(move || {
            let broken = places.iter().find_map(|place| Some(unwritable(place, &machine.write_error(place)?)));
            (broken, workspace::clear_trash(&root).ok().and_then(unremovable))
        });
        match looked.await {
            Ok((disk, trash)) => {
                attempts.troubles.note(Topic::Disk, disk);
                attempts.troubles.note(Topic::Trash, trash);
            }
            Err(error) => tracing::warn!(%error, "the disks could not be checked"),
        }
        let _ = tokio::time::timeout(LOOK_EVERY, attempts.troubles.look.notified()).await;
    }
}

fn unwritable(place: &Path, error: &io::Error) -> String {
    format!("the disk of {} cannot be written: {error}", place.display())
}

/// Returns the message about a trash that cannot be emptied, or `None` if it could be.
fn unremovable(left: Trash) -> Option<String> {
    let Trash { place, count, error } = left;
    let (trees, them) = if count == 1 { ("tree", "it") } else { ("trees", "them") };
    let error = error?;
    Some(format!(
        "the worker cannot remove {count} {trees} of files in {}, perhaps because another user owns {them}: {error}",
        place.display()
    ))
}

/// Kills processes that no supervisor watches any more, again and again.
pub(crate) async fn end_orphans(attempts: Rc<AttemptShared>) {
    loop {
        tokio::time::sleep(ORPHANS_EVERY).await;
        let machine = attempts.world.machine.clone();
        match attempts.world.blocking.run(move || machine.kill_adopted()).await {
            Ok(0) => {}
            Ok(left) => tracing::error!(left, "processes without a supervisor cannot be killed"),
            Err(error) => tracing::warn!(%error, "cannot search for processes without a supervisor"),
        }
    }
}

/// Keeps order at the start, then each hour, and at once if a disk has less room than the reserve.
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
            Err(error) => tracing::warn!(%error, "old workspaces could not be searched"),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// C62: files that a container of a step made as another user stay, and the worker reports them.
    #[test]
    fn a_trash_that_cannot_be_emptied_is_told() {
        let left = |count, error| Trash { place: PathBuf::from("/w/.trash"), count, error };
        assert_eq!(unremovable(left(0, None)), None);
        assert_eq!(unremovable(left(3, None)), None, "somebody else removes them");
        let denied = || Some(io::ErrorKind::PermissionDenied.into());
        let told = unremovable(left(22, denied())).unwrap();
        assert!(told.starts_with("the worker cannot remove 22 trees of files in /w/.trash, perhaps because"), "{told}");
        assert!(unremovable(left(1, denied())).unwrap().contains("1 tree of files in /w/.trash, perhaps"));
    }

    #[test]
    fn what_lies_in_the_trash_is_removed_and_the_rest_counted() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(workspace::clear_trash(root.path()).unwrap().count, 0, "there is none");
        std::fs::create_dir_all(root.path().join(".trash/1/x")).unwrap();
        let left = workspace::clear_trash(root.path()).unwrap();
        assert!(left.count == 0 && left.error.is_none());
    }
}
