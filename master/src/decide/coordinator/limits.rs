//! How long jobs may take, by their plans and by the terms of the master file.

use super::Coordinator;
use super::record::JobKey;
use crate::decide::placement::TimeLimits;
use schema::values::Time;
use std::time::Duration;

/// Logs that are full may take so slow a way, in bytes in a second: that of a poor link at home.
const SLOWEST_LINK: u64 = 64 << 10;
/// Signs move the end of an attempt by so much at most, however much its logs may have.
const SIGNS_MAX: Duration = Duration::from_secs(6 * 3600);

impl Coordinator {
    /// How long an attempt of this job may take that begins now.
    pub(super) fn limits(&self, job: JobKey) -> TimeLimits {
        self.limits_within(job, self.terms.job_timeout)
    }

    /// How long an attempt may take at most that an earlier life of the master began: its terms may have allowed more.
    pub(super) fn limits_at_most(&self, job: JobKey) -> TimeLimits {
        self.limits_within(job, Duration::MAX)
    }

    /// When an attempt of this job that is cancelled now must have ended.
    pub(super) fn cancel_deadline(&self, now: Time, job: JobKey) -> Time {
        self.cancel_within(now, job, self.terms.job_timeout)
    }

    /// The same after a restart: the terms under which its worker goes on may have allowed more than those of now.
    pub(super) fn cancel_deadline_at_most(&self, now: Time, job: JobKey) -> Time {
        self.cancel_within(now, job, Duration::MAX)
    }

    fn limits_within(&self, job: JobKey, limit: Duration) -> TimeLimits {
        let plan = self.job_plan(job);
        let own = match plan.timeout_ms {
            0 => self.terms.job_timeout,
            given => Duration::from_millis(given).min(limit),
        };
        let bytes = (plan.steps.len() as u64).saturating_mul(self.terms.log_bytes);
        let for_logs = Duration::from_secs(bytes / SLOWEST_LINK).min(SIGNS_MAX);
        TimeLimits { given: own.saturating_add(self.cleanup(job, limit)), for_logs }
    }

    fn cancel_within(&self, now: Time, job: JobKey, limit: Duration) -> Time {
        now.after(self.terms.cancel.saturating_add(self.cleanup(job, limit)))
    }

    /// The time of its `always` steps.
    fn cleanup(&self, job: JobKey, limit: Duration) -> Duration {
        Duration::from_millis(self.job_plan(job).cleanup_ms().unwrap_or_default()).min(limit)
    }
}
