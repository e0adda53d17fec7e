//! The time limit of work, by the master's own clock. If the worker does not end the work in time, the master does.
//!
//! A worker reports the end of a step after the step's whole log. Both may come late because of the link or the master. So each report of
//! an attempt moves the time of its end, up to a cap. A renewal of the lease does not.

use super::{Decision, Placement, PlacementTimer};
use crate::decide::matching::OwnerKey;
use crate::decide::steady::Steady;
use crate::decide::time_limits::TimeLimits;
use crate::decide::tokens::LeaseToken;
use std::time::Duration;

/// The time that work gets beyond its own, after its last report, and after its worker came back. Killing takes 13 s, and a worker
/// repeats a report within 8 s.
const MARGIN: Duration = Duration::from_secs(120);
/// If a timer is served later than this, the master itself held it back, for example on a full disk. Then it held reports back too.
const LATE: Duration = Duration::from_secs(2);
/// How often a worker that comes back gets [`MARGIN`] even beyond the cap of its work, because it could not report while it was away.
const LAST_WHILES: u8 = 3;

/// The time limit of an attempt, and when the master looks at it next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Overdue {
    /// When the timer of the attempt is due. `None` means that the attempt has not begun, or its time was over while it was not ours to
    /// end.
    at: Option<Steady>,
    given: Duration,
    /// When the master last accepted a report or bytes of a log from the attempt.
    sign: Option<Steady>,
    /// The cap: no report moves the end of the attempt beyond this time.
    cap: Steady,
    /// How often the attempt got the margin beyond the cap.
    last_whiles: u8,
}

impl Overdue {
    pub(super) fn new(now: Steady, limits: TimeLimits) -> Overdue {
        let at = now.after(limits.given.saturating_add(MARGIN));
        Overdue { at: Some(at), given: limits.given, sign: None, cap: at.after(limits.for_logs), last_whiles: 0 }
    }

    /// The time at which the timer of the attempt is due.
    pub(super) fn at(self) -> Option<Steady> {
        self.at
    }

    pub(super) fn given(self) -> Duration {
        self.given
    }

    /// Gives the attempt the margin from now, if it had less time left.
    fn prolong(&mut self, now: Steady) {
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

    /// Returns when to look again at an attempt whose timer was due. `None` means that its time is over.
    fn later(self, now: Steady) -> Option<Steady> {
        if self.at.is_some_and(|at| now.since(at) > LATE) {
            return Some(now.after(MARGIN));
        }
        let by_sign = self.sign.map(|sign| sign.after(MARGIN).min(self.cap));
        by_sign.filter(|end| *end > now)
    }
}

impl<O: OwnerKey> Placement<O> {
    /// Notes that a report of the attempt was accepted, so the attempt goes on. It must be cheap, because each write of a log calls it.
    /// The timer reads the note when it is due.
    pub fn note_sign(&mut self, now: Steady, token: LeaseToken) {
        if let Some(lease) = self.leases.get_mut(token) {
            lease.overdue.sign = Some(now);
        }
    }

    /// Notes that the master accepts reports again after a pause. Workers then repeat the reports that it refused.
    pub fn hears_again(&mut self, now: Steady) {
        let running = self.leases.iter().filter(|(_, lease)| lease.is_ours_to_end());
        let tokens: Vec<LeaseToken> = running.map(|(token, _)| token).collect();
        tokens.into_iter().for_each(|token| self.prolong(now, token));
    }

    /// Notes a sign of life of the worker. If the time of its work was over meanwhile, the work gets the margin once more.
    pub(super) fn heard_again(&mut self, now: Steady, token: LeaseToken) {
        if self.leases.get(token).is_some_and(|lease| lease.overdue.at.is_none()) {
            self.prolong(now, token);
        }
    }

    /// Gives an attempt the margin, because its worker is back or its reports were held up. In that time the worker can report its end.
    pub(super) fn prolong(&mut self, now: Steady, token: LeaseToken) {
        let Some(mut overdue) = self.leases.get(token).map(|lease| lease.overdue) else { return };
        overdue.prolong(now);
        self.watch_overdue(token, overdue);
    }

    pub(super) fn overdue_timeout(&mut self, now: Steady, token: LeaseToken) -> Option<Decision<O>> {
        let lease = self.leases.get(token)?;
        let (mut overdue, is_ours) = (lease.overdue, lease.is_ours_to_end());
        overdue.at = if is_ours { overdue.later(now) } else { None };
        self.watch_overdue(token, overdue);
        (is_ours && overdue.at.is_none()).then_some(Decision::Overdue(token))
    }

    pub(super) fn watch_overdue(&mut self, token: LeaseToken, overdue: Overdue) {
        let Some(lease) = self.leases.get_mut(token) else { return };
        lease.overdue = overdue;
        match overdue.at {
            Some(at) => self.timers.arm(PlacementTimer::Overdue(token), at),
            None => self.timers.disarm(&PlacementTimer::Overdue(token)),
        }
    }
}
