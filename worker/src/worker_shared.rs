//! The state that the parts of a worker share. The entry point makes it, and the session and whoever asks from the same machine use
//! it. Housekeeping and the messages to the service manager get their parts of it. Knows none of them.

use crate::attempt::shared::AttemptShared;
use crate::attempt::troubles::Topic;
use crate::disk::home;
use crate::process::supervisor::Moment;
use schema::identity::Identity;
use schema::sturdy_ref::SturdyRef;
use schema::values::{Description, Home};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// How long all steps together may take to end: from TERM over KILL to the word to the master.
pub(crate) const CANCEL_MAX: Duration = Duration::from_secs(8);

/// The room that stays free on the disks of the state and of the workspaces. It is also the way in which those who need room and
/// those who make it wake each other.
pub(crate) struct DiskReserve {
    /// The room that stays free, in bytes.
    pub(crate) bytes: u64,
    /// Told when a disk has less room than the reserve, so that housekeeping begins now.
    pub(crate) short_of_room: Notify,
    /// Told when housekeeping is done.
    pub(crate) tidied: Notify,
}

impl DiskReserve {
    pub(crate) fn new(bytes: u64) -> Rc<DiskReserve> {
        Rc::new(DiskReserve { bytes, short_of_room: Notify::new(), tidied: Notify::new() })
    }
}

/// The state that the session and the entry point share: the identity of the worker, its state, and the state of its attempts.
pub(crate) struct WorkerShared {
    /// The state that the attempts share.
    pub(crate) shared: Rc<AttemptShared>,
    /// The description of the worker for the master.
    pub(crate) description: Description,
    /// The key by which the master knows this worker.
    pub(crate) identity: Identity,
    /// The address of the master, and the token of this worker.
    pub(crate) credential: SturdyRef,
    /// A number of this process, made once.
    pub(crate) instance: [u8; 16],
    /// Whether the master has let this worker in on a connection that is up.
    pub(crate) attached: watch::Sender<bool>,
    /// Whether no more jobs are to be taken.
    pub(crate) draining: watch::Sender<bool>,
    /// Why the credential was taken back. `None` means that it was not.
    pub(crate) revoked: watch::Sender<Option<String>>,
    /// The home of the state directory. `None` means that this machine does not say.
    pub(crate) home: Option<Home>,
    pub(crate) reserve: Rc<DiskReserve>,
}

impl WorkerShared {
    /// The credential was taken back: ends every step, as far as that takes no longer than it may.
    pub(crate) async fn end_all(&self) {
        let ledger = &self.shared.ledger;
        for entry in ledger.all() {
            ledger.abandon(&entry, "the worker's credential was taken back");
        }
        let ended = async {
            ledger.clear_leftovers(&self.shared.world.machine).await;
            ledger.when_all_ended().await
        };
        if timeout(CANCEL_MAX, ended).await.is_err() {
            tracing::error!(left = ledger.count(), "attempts could not be ended in time");
        }
    }

    /// The master has let this worker in: its state directory is its own, and what an earlier process left there.
    pub(crate) async fn let_in(&self) {
        if let Some(home) = &self.home
            && let Err(error) = home::note(&self.shared.state, home)
        {
            tracing::warn!(%error, "cannot note that this directory is this worker's own");
        }
        self.shared.is_ours.send_replace(true);
        self.shared.ledger.clear_leftovers(&self.shared.world.machine).await;
    }

    /// The time by the clock of leases.
    pub(crate) fn now(&self) -> Moment {
        self.shared.world.clock.now()
    }

    pub(crate) async fn when_revoked(&self) -> String {
        let mut revoked = self.revoked.subscribe();
        match revoked.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Why no job should be taken now: a disk is nearly full, or cannot be written.
    pub(crate) fn lack_of_room(&self) -> Option<String> {
        if let Some(broken) = self.shared.troubles.about(Topic::Disk) {
            return Some(broken);
        }
        let reserve = self.reserve.bytes;
        let (dir, free) = self.shared.first_below(reserve)?;
        Some(format!("{} has {free} bytes free, less than the reserve of {reserve}", dir.display()))
    }
}
