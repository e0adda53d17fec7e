//! The invariants that must hold after every call, and the state as text, for tests and operators.

use super::Coordinator;
use super::record::JobKey;
use crate::decide::builds::{Build, OpenAttempt};
use crate::decide::placement::{Lease, LeaseState, Session};
use schema::values::{State, Time};
use std::fmt::Write as _;

impl Coordinator {
    /// Panics if an invariant is broken. Because this takes O(n), only tests call it, after every move.
    pub fn check(&self) {
        self.placement.check();
        for build in self.builds.values() {
            build.check();
            for job in &build.jobs {
                self.check_job(job.row.key);
            }
        }
        for (token, lease) in self.placement.leases() {
            let attempt = self.attempt(lease.owner).map(|attempt| attempt.row.token);
            assert_eq!(attempt, Some(token), "{token:?} is not the lease that its job has");
        }
        assert!(self.connections.keys().all(|id| self.placement.session(*id).is_some()), "a connection has no session");
        assert_eq!(self.connections.len(), self.placement.sessions().count(), "a session has no connection");
    }

    /// The state as a text for people: each open build with its jobs, then each connected worker, then the queue. Times are
    /// seconds from `now`.
    pub fn dump(&self, now: Time) -> String {
        let builds = self.builds.values().map(|build| self.dump_build(now, build));
        let sessions = self.placement.sessions().map(|(_, session)| dump_session(session));
        let names = self.placement.in_order(usize::MAX).into_iter().map(|key| self.dump_name(key));
        let queue = names.collect::<Vec<_>>().join(", ");
        let queue = if queue.is_empty() { queue } else { format!("queue: {queue}\n") };
        builds.chain(sessions).chain([queue]).collect()
    }

    fn dump_build(&self, now: Time, build: &Build) -> String {
        let mut out = format!("build {}/{} {}\n", build.row.project, build.row.number, build.row.state);
        for job in &build.jobs {
            let outcome = job.row.outcome.map(|outcome| format!(" {outcome}")).unwrap_or_default();
            let lease = self.placement.lease_of(job.row.key);
            let lease = lease.and_then(|(_, lease)| Some(dump_lease(now, lease, job.attempt.as_ref()?)));
            let lease = lease.unwrap_or_default();
            let _ = writeln!(out, "  {} {}{outcome}{lease}", job.row.name, job.row.state);
        }
        out
    }

    fn dump_name(&self, key: JobKey) -> String {
        let row = &self.builds[&key.build].row;
        format!("{}/{} {}", row.project, row.number, self.job(key).row.name)
    }

    fn check_job(&self, key: JobKey) {
        let job = self.job(key);
        let lease = self.placement.lease_of(key).map(|(_, lease)| lease.state);
        assert_eq!(lease.is_some(), job.attempt.is_some(), "job {} has a lease or an attempt, not both", job.row.name);
        let queued = self.placement.need(key).is_some();
        let build = &self.builds[&key.build];
        let needs = || self.job_plan(key).needs.iter().map(|need| *need as usize);
        let may_run = || needs().all(|need| build.jobs[need].row.outcome.is_some() && !build.blocks(need));
        let is_under_way = matches!(job.row.state, State::Queued | State::Offered | State::Running);
        assert!(!is_under_way || may_run(), "job {} goes on without what it needs", job.row.name);
        match job.row.state {
            State::Planning => panic!("job {} is planning", job.row.name),
            State::Waiting | State::Finished => {
                assert!(!queued && lease.is_none(), "job {} is {} but held", job.row.name, job.row.state);
            }
            State::Queued => {
                assert_ne!(
                    queued,
                    self.holds(key.build),
                    "job {} is not in the queue, or held back and there",
                    job.row.name
                );
                assert!(
                    lease.is_none_or(|state| state == LeaseState::Lapsed),
                    "job {} is queued and leased",
                    job.row.name
                );
            }
            State::Offered => assert!(!queued && lease == Some(LeaseState::Offered), "job {}: {lease:?}", job.row.name),
            State::Running => assert!(!queued && lease == Some(LeaseState::Running), "job {}: {lease:?}", job.row.name),
        }
    }
}

fn dump_session(session: &Session) -> String {
    let asks = if session.waiting.is_some() { " asks" } else { "" };
    let rests = if session.takes_work() { "" } else { " takes no work" };
    format!("worker {}{asks}{rests}\n", session.worker)
}

/// Describes a lease: its attempt, its state, its worker, and the time that is left.
fn dump_lease(now: Time, lease: &Lease<JobKey>, attempt: &OpenAttempt) -> String {
    let state = match lease.state {
        LeaseState::Offered => "to",
        LeaseState::Running => "on",
        LeaseState::Lapsed => "lapsed of",
    };
    let away = if lease.session.is_none() { " (away)" } else { "" };
    let cancelled = if lease.ending.is_some() { ", cancelled" } else { "" };
    let left = lease.until.0.saturating_sub(now.0) as f64 / 1_000.0;
    format!(", attempt {} {state} {}{away} for {left} s{cancelled}", attempt.row.number, lease.worker)
}
