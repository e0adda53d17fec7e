//! Which logs cannot be written, as on a disk that fails. Their steps go on, and their workers keep the bytes and try again. So
//! nobody would notice, if it were not told.

use crate::decide::coordinator::record::{JobKey, StepKey};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Notes what became of the newest write of each log. The logs write it, and others read it on the same thread.
#[derive(Debug, Default)]
pub struct WriteHealth(RefCell<BTreeMap<StepKey, (Instant, String)>>);

/// Logs that cannot be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteTrouble {
    /// How many logs cannot be written.
    pub logs: usize,
    /// How long the first of these logs could not be written.
    pub lasts: Duration,
    /// What the system said of the newest.
    pub text: String,
}

impl WriteHealth {
    /// What cannot be written now; `None` means that all that was tried went well.
    pub fn trouble(&self) -> Option<WriteTrouble> {
        let failing = self.0.borrow();
        let since = failing.values().map(|(since, _)| *since).min()?;
        let (_, text) = failing.values().max_by_key(|(since, _)| *since)?;
        Some(WriteTrouble { logs: failing.len(), lasts: since.elapsed(), text: text.clone() })
    }

    /// A write of a log failed. The first of its kind is told at once.
    pub(in crate::keep) fn fails(&self, key: StepKey, why: &str) {
        let mut failing = self.0.borrow_mut();
        if failing.is_empty() {
            tracing::error!(why, "a log cannot be written: its step goes on, and its worker keeps the bytes");
        }
        let since = failing.remove(&key).map_or_else(Instant::now, |(since, _)| since);
        failing.insert(key, (since, why.to_owned()));
    }

    /// A write of a log went well.
    pub(in crate::keep) fn is_well(&self, key: StepKey) {
        self.end(|failing| drop(failing.remove(&key)));
    }

    /// An attempt is over: whether its logs can be written matters no more.
    pub(in crate::keep) fn forget(&self, job: JobKey, attempt: u16) {
        self.end(|failing| failing.retain(|key, _| (key.job, key.attempt) != (job, attempt)));
    }

    fn end(&self, change: impl FnOnce(&mut BTreeMap<StepKey, (Instant, String)>)) {
        let mut failing = self.0.borrow_mut();
        if failing.is_empty() {
            return;
        }
        change(&mut failing);
        if failing.is_empty() {
            tracing::info!("all logs can be written again");
        }
    }
}
