//! Troubles of this worker's machine that a person should mend, although the worker goes on. A part of the worker that finds a trouble
//! notes it here. The session reads it here and tells the master.

use std::collections::BTreeMap;
use tokio::sync::{Notify, watch};

/// The subject of a trouble. There is at most one trouble for each topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    /// A disk that cannot be written.
    Disk,
    /// Files that cannot be removed.
    Trash,
}

/// The troubles of a worker, each as a sentence.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    found: watch::Sender<BTreeMap<Topic, String>>,
    /// Notified if something failed that may be a trouble, so that the disks are checked now.
    pub(crate) look: Notify,
}

impl Troubles {
    /// Notes the present trouble with one topic. `None` means that there is none.
    pub(crate) fn note(&self, topic: Topic, what: Option<String>) {
        self.found.send_if_modified(|found| {
            let before = match &what {
                Some(what) => found.insert(topic, what.clone()),
                None => found.remove(&topic),
            };
            let is_news = before != what;
            if is_news && let Some(what) = &what {
                tracing::warn!(%what, "a person should mend this on the worker's machine");
            }
            is_news
        });
    }

    /// Returns the present trouble with one topic.
    pub(crate) fn about(&self, topic: Topic) -> Option<String> {
        self.found.borrow().get(&topic).cloned()
    }

    /// Returns a receiver for all present troubles and their changes.
    pub(crate) fn changes(&self) -> watch::Receiver<BTreeMap<Topic, String>> {
        self.found.subscribe()
    }
}
