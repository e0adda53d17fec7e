//! Troubles of this worker's machine that a person should mend, although the worker goes on. The part of the worker that finds a
//! trouble notes it here, and the session takes it from here and tells the master.

use std::collections::BTreeMap;
use tokio::sync::{Notify, watch};

/// What a trouble is about. There is at most one trouble for each topic.
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
    /// Told if something failed that may be a trouble, so that somebody looks now.
    pub(crate) look: Notify,
}

impl Troubles {
    /// Notes how it stands with one topic. `None` means that there is no trouble with it.
    pub(crate) fn note(&self, topic: Topic, what: Option<String>) {
        self.found.send_if_modified(|found| {
            let before = match &what {
                Some(what) => found.insert(topic, what.clone()),
                None => found.remove(&topic),
            };
            let is_news = before != what;
            if is_news && let Some(what) = &what {
                tracing::warn!(%what, "somebody should see to this machine");
            }
            is_news
        });
    }

    /// The trouble with one topic.
    pub(crate) fn about(&self, topic: Topic) -> Option<String> {
        self.found.borrow().get(&topic).cloned()
    }

    /// All that are there, and each change of them.
    pub(crate) fn changes(&self) -> watch::Receiver<BTreeMap<Topic, String>> {
        self.found.subscribe()
    }
}
