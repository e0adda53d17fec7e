//! Explains why a job is not placed again yet if its worker cannot be reached.

use super::Explainer;
use crate::decide::coordinator::snapshot::{LeaseView, Waits};

/// The reason as a text that follows the worker's name.
fn text(waits: Waits) -> &'static str {
    match waits {
        Waits::Answer => "was revoked, and the master has asked it whether everything it ran has ended",
        Waits::Silence => "was revoked, and did not confirm that everything it ran has ended",
        Waits::Elsewhere => "came back without it, and something of it may still run",
        Waits::Away => "is not connected, and may still run it",
    }
}

impl Explainer<'_> {
    /// Says on the job's page why the job may wait until this lease ends. `None` means that a session holds the lease, or it is not
    /// running.
    pub(super) fn waits_text(&self, lease: &LeaseView<'_>) -> Option<String> {
        let worker = &lease.attempt.worker;
        let waits = self.it.waits(lease)?;
        let way_out = match waits {
            Waits::Answer => String::new(),
            Waits::Silence | Waits::Elsewhere | Waits::Away => {
                format!("; if that machine is off, run `guild worker forget {worker} --gone` to place it again at once")
            }
        };
        let waits = text(waits);
        Some(format!("{worker} {waits}: the job is placed again at the latest when its lease ends{way_out}"))
    }

    /// Says on the worker's page why its jobs may wait until their leases end. Empty means that the worker holds all its leases.
    pub(super) fn waits_of(&self, worker: &str) -> String {
        let waits = self.it.leases_of(worker).find_map(|lease| self.it.waits(&lease)).map(text);
        let told = |waits| format!("{waits}: its jobs are placed again at the latest when their leases end");
        waits.map(told).unwrap_or_default()
    }
}
