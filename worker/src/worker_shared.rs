//! The state that the parts of a worker share. `program::run` makes it; the session and the control socket use it. Housekeeping and
//! the messages to the service manager get their parts of it. This file knows none of them.

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

/// The limit for ending all steps, from TERM over KILL to the report to the master. It is more than twice the time from TERM to KILL
/// ([`crate::config::STOP_GRACE`]). It is well below the 20 seconds after which the service manager kills the worker.
pub(crate) const CANCEL_MAX: Duration = Duration::from_secs(8);

/// The room that stays free on the disks of the state and of the workspaces. Through it, tasks that need room wake the task that
/// makes room, and that task wakes them.
pub(crate) struct DiskReserve {
    /// The room that stays free, in bytes.
    pub(crate) bytes: u64,
    /// Notified when a disk has less room than the reserve, so that housekeeping begins now.
    pub(crate) short_of_room: Notify,
    /// Notified when housekeeping has finished a round.
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
    /// A random number of this process, by which the master tells it from an earlier process of the same worker.
    pub(crate) instance: [u8; 16],
    /// Whether the worker is connected to the master, and the master has let it in.
    pub(crate) attached: watch::Sender<bool>,
    /// Whether the worker takes no more jobs.
    pub(crate) draining: watch::Sender<bool>,
    /// The reason for which the credential was taken back. `None` means that it was not.
    pub(crate) revoked: watch::Sender<Option<String>>,
    /// The home of the state directory. `None` means that this machine does not say.
    pub(crate) home: Option<Home>,
    pub(crate) reserve: Rc<DiskReserve>,
}

impl WorkerShared {
    /// Ends every step because the credential was taken back. Gives up after [`CANCEL_MAX`], with an error in the log.
    pub(crate) async fn end_all(&self) {
        let ledger = &self.shared.ledger;
        for entry in ledger.all() {
            ledger.abandon(&entry, "the worker's credential is no longer valid");
        }
        let ended = async {
            ledger.clear_leftovers(&self.shared.world.machine).await;
            ledger.when_all_ended().await
        };
        if timeout(CANCEL_MAX, ended).await.is_err() {
            tracing::error!(left = ledger.count(), "attempts could not be ended in time");
        }
    }

    /// Notes that this state directory is the worker's own, because the master has let the worker in. Then clears what an earlier
    /// process left in it.
    pub(crate) async fn let_in(&self) {
        if let Some(home) = &self.home
            && let Err(error) = home::note(&self.shared.state, home)
        {
            tracing::warn!(%error, "cannot note that this directory is this worker's own");
        }
        self.shared.is_ours.send_replace(true);
        self.shared.ledger.clear_leftovers(&self.shared.world.machine).await;
    }

    /// Returns the time by the clock of leases.
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

    /// Returns why the worker should take no job now: a disk is nearly full, or cannot be written. `None` means that there is room.
    pub(crate) fn lack_of_room(&self) -> Option<String> {
        if let Some(broken) = self.shared.troubles.about(Topic::Disk) {
            return Some(broken);
        }
        let reserve = self.reserve.bytes;
        let (dir, free) = self.shared.first_below(reserve)?;
        Some(format!("{} has {free} bytes free, less than the reserve of {reserve}", dir.display()))
    }
}
