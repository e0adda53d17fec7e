//! What all parts of a worker share: made by the entry point, and used by the session, by housekeeping, and by those who ask
//! from the same machine. Knows none of them.

use crate::home;
use crate::runner::Yard;
use crate::supervisor::Moment;
use schema::identity::Identity;
use schema::sturdy_ref::SturdyRef;
use schema::values::{Description, Home};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// How long all steps together may take to end: from TERM over KILL to the word to the master.
pub(crate) const CANCEL_MAX: Duration = Duration::from_secs(8);

/// What all parts of a worker share.
pub(crate) struct Here {
    pub(crate) yard: Rc<Yard>,
    pub(crate) description: Description,
    pub(crate) identity: Identity,
    pub(crate) credential: SturdyRef,
    /// Made once per process.
    pub(crate) instance: [u8; 16],
    pub(crate) attached: watch::Sender<bool>,
    pub(crate) draining: watch::Sender<bool>,
    pub(crate) revoked: watch::Sender<Option<String>>,
    /// None: this machine does not say.
    pub(crate) home: Option<Home>,
    /// A disk has less room than the reserve: housekeeping is to begin now.
    pub(crate) short_of_room: Notify,
    /// Housekeeping is done.
    pub(crate) tidied: Notify,
    /// Bytes to keep free on the disks of the state and of the workspaces.
    pub(crate) reserve: u64,
}

impl Here {
    /// The credential was taken back: ends every step, as far as that takes no longer than it may.
    pub(crate) async fn end_all(&self) {
        let ledger = &self.yard.ledger;
        for entry in ledger.all() {
            ledger.abandon(&entry, "the worker's credential was taken back");
        }
        let ended = async {
            ledger.clear_leftovers(&self.yard.world.machine).await;
            ledger.when_all_ended().await
        };
        if timeout(CANCEL_MAX, ended).await.is_err() {
            tracing::error!(left = ledger.count(), "attempts could not be ended in time");
        }
    }

    /// The master has let this worker in: its state directory is its own, and what an earlier process left there.
    pub(crate) async fn let_in(&self) {
        if let Some(home) = &self.home
            && let Err(error) = home::note(&self.yard.state, home)
        {
            tracing::warn!(%error, "cannot note that this directory is this worker's own");
        }
        self.yard.is_ours.send_replace(true);
        self.yard.ledger.clear_leftovers(&self.yard.world.machine).await;
    }

    /// By the clock of leases.
    pub(crate) fn now(&self) -> Moment {
        self.yard.world.clock.now()
    }

    pub(crate) async fn when_revoked(&self) -> String {
        let mut revoked = self.revoked.subscribe();
        match revoked.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Why no job should be taken now: a disk is nearly full.
    pub(crate) fn lack_of_room(&self) -> Option<String> {
        let (dir, free) = self.yard.first_below(self.reserve)?;
        Some(format!("{} has {free} bytes free, less than the reserve of {}", dir.display(), self.reserve))
    }
}
