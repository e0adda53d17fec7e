//! Says which workers come last for a while, and why.

use super::Explainer;
use crate::decide::coordinator::record::JobKey;
use crate::decide::coordinator::snapshot::{Fault, Resting, Session};

impl Explainer<'_> {
    /// Names the workers that are passed over for this job alone.
    pub(super) fn rest_hints(&self, job: JobKey) -> impl Iterator<Item = String> {
        self.it.passed_over(job).map(|worker| {
            format!("{worker} failed to run it for reasons of its own, so it does not get the job for a while: look at its log")
        })
    }

    /// Says why a worker is passed over for all jobs, as a text that follows its name. `None` means that it is not passed over.
    pub(super) fn rest_text(&self, session: &Session) -> Option<String> {
        let Resting { fault, until } = self.it.resting(session)?;
        let what = match fault {
            Fault::Silent => "did not accept the last offer",
            Fault::Declined => "gave back what it was offered, again and again",
            Fault::Broke => "lost its connection when it was offered a job",
        };
        let until = until.map(|until| until.since(self.it.now).as_millis().div_ceil(1000));
        Some(match until {
            Some(seconds) => format!("{what}; it is asked again in {seconds} s"),
            None => format!("{what}; it gets one offer at a time until it accepts"),
        })
    }
}
