//! The time of a job by the master's own clock. Its worker ends it in time; where it does not, we do.
//!
//! The end of a step is told after its whole log, and both may come late for reasons of the link or of our own. So what an
//! attempt says moves its end, up to a cap. Who only renews its lease says nothing.

use super::Coordinator;
use super::model::{Lease, LeaseState, Timer};
use super::record::{JobKey, LeaseToken};
use schema::values::{Outcome, Time};
use std::time::Duration;

/// An attempt gets so long beyond its job's time, after its last sign, and after its worker came back. To be killed takes 13 s,
/// and a worker tries a report again within 8 s.
const MARGIN: Duration = Duration::from_secs(120);
/// A timer that is served so late was held back by the master itself, on a full disk for instance. Reports wait then as well.
const LATE: Duration = Duration::from_secs(2);
/// Logs that are full may take so slow a way, in bytes in a second: that of a poor link at home.
const SLOWEST_LINK: u64 = 64 << 10;
/// Signs move the end of an attempt by so much at most, however much its logs may have.
const SIGNS_MAX: Duration = Duration::from_secs(6 * 3600);
/// So often a worker that comes back gets the margin beyond the cap too: while it was away it could not say how it ended.
const LAST_WHILES: u8 = 3;

/// How an attempt stands to the end of its job's time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overdue {
    /// When its timer is due. None: it has not begun, or its time was over while it was not ours to end.
    at: Option<Time>,
    /// What the job gets, with its `always` steps.
    given: Duration,
    /// When something that it said was accepted last: a report, or bytes of a log.
    sign: Option<Time>,
    /// No sign moves its end beyond this.
    cap: Time,
    /// How often it got the margin beyond the cap.
    last_whiles: u8,
}

impl Overdue {
    fn new(now: Time, given: Duration, for_logs: Duration) -> Overdue {
        let at = now.after(given.saturating_add(MARGIN));
        Overdue { at: Some(at), given, sign: None, cap: at.after(for_logs), last_whiles: 0 }
    }

    /// When its timer is due.
    pub(super) fn at(self) -> Option<Time> {
        self.at
    }

    /// Is cheap, for each write of a log comes here: its timer looks at it when it is due.
    pub(super) fn note_sign(&mut self, now: Time) {
        self.sign = Some(now);
    }

    /// It gets the margin from now, where it had less.
    fn prolong(&mut self, now: Time) {
        let wanted = now.after(MARGIN);
        if self.at.is_some_and(|at| at >= wanted) {
            return;
        }
        let is_beyond = wanted > self.cap;
        if is_beyond && self.last_whiles == LAST_WHILES {
            self.at.get_or_insert(now);
            return;
        }
        self.last_whiles += u8::from(is_beyond);
        self.at = Some(wanted);
    }

    /// When to look at it again, at the end of its time. None: it is over.
    fn later(self, now: Time) -> Option<Time> {
        if self.at.is_some_and(|at| now.since(at) > LATE) {
            return Some(now.after(MARGIN));
        }
        let by_sign = self.sign.map(|sign| sign.after(MARGIN).min(self.cap));
        by_sign.filter(|end| *end > now)
    }
}

impl Coordinator {
    /// The attempt begins now, or is taken up after a restart, which gives it the whole time again: never less.
    pub(super) fn set_overdue(&mut self, now: Time, token: LeaseToken, given: Duration) {
        let Some(lease) = self.leases.get(token) else { return };
        let overdue = Overdue::new(now, given, self.time_of_logs(lease.job));
        self.watch_overdue(token, overdue);
    }

    /// Bytes of a log were accepted: the attempt goes on. Nothing follows from it at once.
    pub fn log_grew(&mut self, now: Time, token: LeaseToken) {
        if let Some(lease) = self.leases.get_mut(token) {
            lease.overdue.note_sign(now);
        }
    }

    /// The master takes reports again, which it could not for a while: those that it refused come again.
    pub fn hears_again(&mut self, now: Time) {
        let running = self.leases.iter().filter(|(_, lease)| is_ours_to_end(lease));
        let tokens: Vec<LeaseToken> = running.map(|(token, _)| token).collect();
        tokens.into_iter().for_each(|token| self.prolong(now, token));
    }

    /// Its worker gave a sign of life: where its time was over meanwhile, it has a last while.
    pub(super) fn heard_again(&mut self, now: Time, token: LeaseToken) {
        if self.leases.get(token).is_some_and(|lease| lease.overdue.at.is_none()) {
            self.prolong(now, token);
        }
    }

    /// Its worker is back, or its reports were held up: it gets the margin to say how it ended.
    pub(super) fn prolong(&mut self, now: Time, token: LeaseToken) {
        let Some(lease) = self.leases.get(token) else { return };
        let mut overdue = lease.overdue;
        overdue.prolong(now);
        self.watch_overdue(token, overdue);
    }

    pub(super) fn overdue_timeout(&mut self, now: Time, token: LeaseToken) {
        let Some(lease) = self.leases.get(token) else { return };
        let (mut overdue, is_ours) = (lease.overdue, is_ours_to_end(lease));
        overdue.at = if is_ours { overdue.later(now) } else { None };
        self.watch_overdue(token, overdue);
        if is_ours && overdue.at.is_none() {
            self.end_overdue(now, token);
        }
    }

    fn end_overdue(&mut self, now: Time, token: LeaseToken) {
        let Some(lease) = self.leases.get(token) else { return };
        let (job, worker, given) = (lease.job, &lease.attempt.worker, lease.overdue.given.as_secs());
        let why = format!("the job's time was over: {given} s had passed, and worker {worker} did not end it");
        self.withdraw(now, token, Outcome::Failed, &why);
        self.finish_job(now, job, Outcome::Failed, &why);
    }

    fn watch_overdue(&mut self, token: LeaseToken, overdue: Overdue) {
        let Some(lease) = self.leases.get_mut(token) else { return };
        lease.overdue = overdue;
        match overdue.at {
            Some(at) => self.timers.arm(Timer::Overdue(token), at),
            None => self.timers.disarm(&Timer::Overdue(token)),
        }
    }

    /// What a job gets in all, with its `always` steps, under the terms of now.
    pub(super) fn time_of(&self, job: JobKey) -> Duration {
        self.time_within(job, self.terms.job_timeout)
    }

    /// What an attempt got at most that an earlier life of the master began: its terms may have allowed more.
    pub(super) fn time_at_most(&self, job: JobKey) -> Duration {
        self.time_within(job, Duration::MAX)
    }

    fn time_within(&self, job: JobKey, limit: Duration) -> Duration {
        let plan = self.job_plan(job);
        let own = match plan.timeout_ms {
            0 => self.terms.job_timeout,
            given => Duration::from_millis(given).min(limit),
        };
        own.saturating_add(Duration::from_millis(plan.cleanup_ms().unwrap_or_default()).min(limit))
    }

    /// How long its logs may take on their way.
    fn time_of_logs(&self, job: JobKey) -> Duration {
        let bytes = (self.job_plan(job).steps.len() as u64).saturating_mul(self.terms.log_bytes);
        Duration::from_secs(bytes / SLOWEST_LINK).min(SIGNS_MAX)
    }
}

/// Of an attempt that was cancelled the deadline of the cancel decides. Where its worker is away its lease does, and where that
/// lapsed the next attempt.
pub(super) fn is_ours_to_end(lease: &Lease) -> bool {
    lease.session.is_some() && lease.state == LeaseState::Running && lease.cancelled.is_none()
}
