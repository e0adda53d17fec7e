//! The logs that cannot be written, for example because the disk fails. Their steps go on, because the workers keep the bytes
//! and try again. So nobody would notice unless the master reports it.

use crate::decide::coordinator::record::{JobKey, StepKey};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Notes for each log whether its newest write failed. The logs write it, and others read it on the same thread.
#[derive(Debug, Default)]
pub struct WriteHealth(RefCell<BTreeMap<StepKey, (Instant, String)>>);

/// The state of all logs that cannot be written at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteTrouble {
    /// How many logs cannot be written.
    pub logs: usize,
    /// How long writes have been failing, counted from the log that began to fail first.
    pub lasts: Duration,
    /// The newest error of the log that began to fail last.
    pub text: String,
}

impl WriteHealth {
    /// Returns the logs that cannot be written; `None` means that the newest write of every log succeeded.
    pub fn trouble(&self) -> Option<WriteTrouble> {
        let failing = self.0.borrow();
        let since = failing.values().map(|(since, _)| *since).min()?;
        let (_, text) = failing.values().max_by_key(|(since, _)| *since)?;
        Some(WriteTrouble { logs: failing.len(), lasts: since.elapsed(), text: text.clone() })
    }

    /// Notes that a write of a log failed. If no other log is failing, this is also logged at once.
    pub(in crate::keep) fn fails(&self, key: StepKey, why: &str) {
        let mut failing = self.0.borrow_mut();
        if failing.is_empty() {
            tracing::error!(why, "a log cannot be written: its step goes on, and its worker keeps the bytes");
        }
        let since = failing.remove(&key).map_or_else(Instant::now, |(since, _)| since);
        failing.insert(key, (since, why.to_owned()));
    }

    /// Notes that a write of a log succeeded.
    pub(in crate::keep) fn is_well(&self, key: StepKey) {
        self.end(|failing| drop(failing.remove(&key)));
    }

    /// Forgets the logs of an attempt that is over, because it no longer matters whether they can be written.
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
