//! The time of a job by the master's own clock. Its worker ends it in time; where it does not, we do.

use super::Coordinator;
use super::model::{LeaseState, Timer};
use super::record::{JobKey, LeaseToken};
use schema::values::{Outcome, Time};
use std::time::Duration;

/// Beyond the job's own time and that of its `always` steps, an attempt gets so long: to be killed takes 13 s, and the last
/// bytes of its logs may have a slow way, 256 MiB at 2 MiB/s.
const OVERDUE_MARGIN: Duration = Duration::from_secs(120);

/// How an attempt stands to the end of its job's time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Overdue {
    /// It has not begun, or its time was over while its worker was away: it may have ended in time, and cannot say so.
    #[default]
    Untimed,
    /// Ends at this time.
    At(Time),
    /// Its time was over while its worker was away.
    Away,
    /// Its worker came back after that, and has until then to say how it ended.
    Last(Time),
}

impl Overdue {
    /// When its timer is due.
    pub(super) fn at(self) -> Option<Time> {
        match self {
            Overdue::At(at) | Overdue::Last(at) => Some(at),
            Overdue::Untimed | Overdue::Away => None,
        }
    }
}

impl Coordinator {
    /// The attempt begins now, or is taken up after a restart, which gives it the whole time again: never less.
    pub(super) fn set_overdue(&mut self, now: Time, token: LeaseToken) {
        let Some(lease) = self.leases.get(token) else { return };
        let at = now.after(self.time_of(lease.job).saturating_add(OVERDUE_MARGIN));
        self.watch_overdue(token, Overdue::At(at));
    }

    /// Its worker gave a sign of life: where its time was over meanwhile, it has a last while.
    pub(super) fn heard_again(&mut self, now: Time, token: LeaseToken) {
        if self.leases.get(token).is_some_and(|lease| lease.overdue == Overdue::Away) {
            self.watch_overdue(token, Overdue::Last(now.after(OVERDUE_MARGIN)));
        }
    }

    pub(super) fn overdue_timeout(&mut self, now: Time, token: LeaseToken) {
        let Some(lease) = self.leases.get_mut(token) else { return };
        let is_away = lease.session.is_none() || lease.state == LeaseState::Lapsed;
        let is_last = matches!(lease.overdue, Overdue::Last(_));
        lease.overdue = Overdue::Away;
        // of one that was cancelled the deadline of the cancel decides, of one that lapsed the next attempt
        if lease.cancelled.is_some() || lease.state == LeaseState::Lapsed || is_away && !is_last {
            return;
        }
        let (job, worker) = (lease.job, lease.attempt.worker.clone());
        let given = self.time_of(job).as_secs();
        let why = format!("the job's time was over: {given} s had passed, and worker {worker} did not end it");
        self.withdraw(now, token, Outcome::Failed, &why);
        self.finish_job(now, job, Outcome::Failed, &why);
    }

    fn watch_overdue(&mut self, token: LeaseToken, overdue: Overdue) {
        let Some(lease) = self.leases.get_mut(token) else { return };
        let before = std::mem::replace(&mut lease.overdue, overdue);
        if let Some(at) = before.at() {
            self.timers.remove(&(at, Timer::Overdue(token)));
        }
        if let Some(at) = overdue.at() {
            self.timers.insert((at, Timer::Overdue(token)));
        }
    }

    /// What a job gets in all, with its `always` steps.
    fn time_of(&self, job: JobKey) -> Duration {
        let plan = self.job_plan(job);
        let limit = self.terms.job_timeout;
        let own = match plan.timeout_ms {
            0 => limit,
            given => Duration::from_millis(given).min(limit),
        };
        own.saturating_add(Duration::from_millis(plan.cleanup_ms().unwrap_or_default()).min(limit))
    }
}
