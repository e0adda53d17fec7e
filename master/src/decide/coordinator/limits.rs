//! How long jobs may take, by their plans and by the terms of the master file.

use super::Coordinator;
use super::record::JobKey;
use crate::decide::placement::TimeLimits;
use crate::decide::steady::Steady;
use schema::values::Time;
use std::time::Duration;

impl Coordinator {
    /// How long an attempt of this job may take if it begins now.
    pub(super) fn limits(&self, job: JobKey) -> TimeLimits {
        self.limits_within(job, self.terms.job_timeout)
    }

    /// The limits of an attempt that began before a restart. They are the widest possible, because the terms may have allowed more
    /// then.
    pub(super) fn limits_at_most(&self, job: JobKey) -> TimeLimits {
        self.limits_within(job, Duration::MAX)
    }

    /// When an attempt of this job that is cancelled now must have ended.
    pub(super) fn cancel_deadline(&self, now: Time, job: JobKey) -> Steady {
        self.cancel_within(now, job, self.terms.job_timeout)
    }

    fn limits_within(&self, job: JobKey, limit: Duration) -> TimeLimits {
        let plan = self.job_plan(job);
        let own = match plan.timeout_ms {
            0 => self.terms.job_timeout,
            given => Duration::from_millis(given).min(limit),
        };
        let bytes = (plan.steps.len() as u64).saturating_mul(self.terms.log_bytes);
        TimeLimits::of(own.saturating_add(self.cleanup(job, limit)), bytes)
    }

    /// Like `cancel_deadline`, but with up to `limit` for cleanup, because the terms before a restart may have allowed more.
    pub(super) fn cancel_within(&self, now: Time, job: JobKey, limit: Duration) -> Steady {
        self.ahead.steady(now).after(self.terms.cancel.saturating_add(self.cleanup(job, limit)))
    }

    /// The time that the job's `always` steps have, at most `limit`.
    fn cleanup(&self, job: JobKey, limit: Duration) -> Duration {
        Duration::from_millis(self.job_plan(job).cleanup_ms().unwrap_or_default()).min(limit)
    }
}
