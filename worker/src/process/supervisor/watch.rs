//! Decides when a step must end, from its limits and the time. Has no effects.

use super::clock::Moment;
use super::order::{KillCause, Limits};

/// The limits of a running step, and the times from which they count.
#[derive(Debug)]
pub(super) struct Watch {
    limits: Limits,
    started: Moment,
    last_output: Moment,
    lease_end: Moment,
    alone_since: Option<Moment>,
}

impl Watch {
    pub(super) fn new(limits: Limits, now: Moment) -> Watch {
        let lease_end = match limits.lease_end {
            0 => now.plus(limits.lease_ms),
            end => Moment(end),
        };
        Watch { limits, started: now, last_output: now, lease_end, alone_since: None }
    }

    pub(super) fn output(&mut self, now: Moment) {
        self.last_output = now;
    }

    pub(super) fn leased_until(&mut self, end: Moment) {
        self.lease_end = end;
    }

    pub(super) fn worker_lost(&mut self, now: Moment) {
        self.alone_since.get_or_insert(now);
    }

    pub(super) fn worker_here(&mut self) {
        self.alone_since = None;
    }

    /// Returns the reason why the step must end now. `None` means that it may go on.
    pub(super) fn over(&self, now: Moment) -> Option<KillCause> {
        self.deadlines().into_iter().flatten().find(|(at, _)| *at <= now).map(|(_, cause)| cause)
    }

    /// Returns the next moment at which the step may have to end.
    pub(super) fn next(&self) -> Option<Moment> {
        self.deadlines().into_iter().flatten().map(|(at, _)| at).min()
    }

    /// Returns the time from TERM to KILL, in milliseconds. At the end of a lease it fits into the margin, because the next attempt may
    /// begin right after it.
    pub(super) fn grace_ms(&self, cause: &KillCause) -> u64 {
        let is_late = *cause == KillCause::LeaseOver;
        if is_late { self.limits.grace_ms.min(self.limits.margin_ms / 2) } else { self.limits.grace_ms }
    }

    fn deadlines(&self) -> [Option<(Moment, KillCause)>; 5] {
        let limits = &self.limits;
        let lease = Moment(self.lease_end.0.saturating_sub(limits.margin_ms));
        [
            Some((lease, KillCause::LeaseOver)),
            Some((self.started.plus(limits.attempt_ms), KillCause::AttemptTime)),
            (limits.step_ms > 0).then(|| (self.started.plus(limits.step_ms), KillCause::StepTime)),
            (limits.idle_ms > 0).then(|| (self.last_output.plus(limits.idle_ms), KillCause::Idle)),
            self.alone_since.map(|since| (since.plus(limits.orphan_ms), KillCause::Orphaned)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            step_ms: 0,
            idle_ms: 0,
            attempt_ms: 100_000,
            lease_ms: 10_000,
            lease_end: 0,
            margin_ms: 1_000,
            orphan_ms: 2_000,
            grace_ms: 3_000,
            output_max: 0,
            processes_max: 0,
            memory_max: 0,
            files_max: 0,
        }
    }

    #[test]
    fn a_lease_ends_less_its_margin_unless_renewed() {
        let mut watch = Watch::new(limits(), Moment(0));
        assert_eq!((watch.over(Moment(8_999)), watch.next()), (None, Some(Moment(9_000))));
        assert_eq!(watch.over(Moment(9_000)), Some(KillCause::LeaseOver));
        watch.leased_until(Moment(18_000));
        assert_eq!((watch.over(Moment(16_999)), watch.next()), (None, Some(Moment(17_000))));
        assert_eq!(watch.grace_ms(&KillCause::LeaseOver), 500);
        assert_eq!(watch.grace_ms(&KillCause::Idle), 3_000);
    }

    /// The time between the order and the start of its supervisor counts for the lease, even if the machine stood still meanwhile.
    #[test]
    fn an_order_that_is_taken_late_has_no_longer_lease() {
        let watch = Watch::new(Limits { lease_end: 12_000, ..limits() }, Moment(11_500));
        assert_eq!(watch.over(Moment(11_500)), Some(KillCause::LeaseOver));
        assert_eq!(Watch::new(limits(), Moment(11_500)).next(), Some(Moment(20_500)), "as a worker of 0.1.0 orders it");
    }

    #[test]
    fn silence_is_counted_from_the_last_byte() {
        let mut watch = Watch::new(Limits { idle_ms: 500, step_ms: 700, ..limits() }, Moment(0));
        watch.output(Moment(400));
        assert_eq!((watch.over(Moment(699)), watch.next()), (None, Some(Moment(700))));
        assert_eq!(watch.over(Moment(700)), Some(KillCause::StepTime));
        let mut watch = Watch::new(Limits { idle_ms: 500, ..limits() }, Moment(0));
        watch.output(Moment(400));
        assert_eq!((watch.over(Moment(899)), watch.over(Moment(900))), (None, Some(KillCause::Idle)));
    }

    #[test]
    fn an_orphan_waits_for_its_worker() {
        let mut watch = Watch::new(limits(), Moment(0));
        watch.worker_lost(Moment(100));
        watch.worker_lost(Moment(1_000));
        assert_eq!((watch.over(Moment(2_099)), watch.over(Moment(2_100))), (None, Some(KillCause::Orphaned)));
        watch.worker_here();
        assert_eq!(watch.over(Moment(2_100)), None);
    }
}
