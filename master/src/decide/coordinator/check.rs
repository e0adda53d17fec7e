//! What must hold after every move, and the state as text: for tests and operators.

use super::Coordinator;
use super::model::{Build, Lease, LeaseState, Session, Timer};
use super::overdue::is_ours_to_end;
use super::record::JobKey;
use schema::values::{State, Time};
use std::fmt::Write as _;

impl Coordinator {
    /// Panics where an invariant is broken. O(n): called by tests after every move, not by the driver.
    pub fn check(&self) {
        self.queue.check();
        for (id, build) in &self.builds {
            assert!(build.row.state != State::Finished, "finished build {id:?} is kept");
            let open = build.jobs.iter().filter(|job| job.row.state != State::Finished).count();
            assert_eq!(open, build.open, "the open jobs of {id:?} are miscounted");
            assert!(build.row.state == State::Planning || open > 0, "{id:?} has nothing to do and is not finished");
            for job in &build.jobs {
                self.check_job(job.row.key);
            }
        }
        self.leases.check();
        self.sessions.check();
        for (token, lease) in self.leases.iter() {
            assert_eq!(self.job(lease.job).lease, Some(token), "{token:?} is not its job's");
            let timed = self.timers.at(&Timer::Lease(token)) == Some(lease.until);
            assert!(timed || lease.state == LeaseState::Lapsed, "{token:?} has no deadline");
            match lease.overdue.at() {
                Some(at) => assert_eq!(self.timers.at(&Timer::Overdue(token)), Some(at), "{token:?} is not timed"),
                None => assert!(!is_ours_to_end(lease), "{token:?} may run for ever"),
            }
        }
        for id in &self.ready {
            assert!(
                self.sessions.get(*id).is_some_and(|session| session.waiting.is_some()),
                "{id:?} waits for nothing"
            );
        }
        for (_, session) in self.sessions.iter() {
            let worker = &session.worker;
            let count = self.sessions.of(worker).count();
            assert_eq!(count, 1, "worker {worker} has {count} sessions");
        }
    }

    /// The state as a text for people: each open build with its jobs, then each connected worker, then the queue. Times are
    /// seconds from `now`.
    pub fn dump(&self, now: Time) -> String {
        let builds = self.builds.values().map(|build| self.dump_build(now, build));
        let sessions = self.sessions.iter().map(|(_, session)| self.dump_session(session));
        let names = self.queue.in_order(usize::MAX).into_iter().map(|key| self.dump_name(key));
        let queue = names.collect::<Vec<_>>().join(", ");
        let queue = if queue.is_empty() { queue } else { format!("queue: {queue}\n") };
        builds.chain(sessions).chain([queue]).collect()
    }

    fn dump_build(&self, now: Time, build: &Build) -> String {
        let mut out = format!("build {}/{} {}\n", build.row.project, build.row.number, build.row.state);
        for job in &build.jobs {
            let outcome = job.row.outcome.map(|outcome| format!(" {outcome}")).unwrap_or_default();
            let lease = job.lease.and_then(|token| self.leases.get(token));
            let lease = lease.map(|lease| dump_lease(now, lease)).unwrap_or_default();
            let _ = writeln!(out, "  {} {}{outcome}{lease}", job.row.name, job.row.state);
        }
        out
    }

    fn dump_session(&self, session: &Session) -> String {
        let asks = if session.waiting.is_some() { " asks" } else { "" };
        let rests = if self.takes_work(session) { "" } else { " takes no work" };
        format!("worker {}{asks}{rests}\n", session.worker)
    }

    fn dump_name(&self, key: JobKey) -> String {
        let row = &self.builds[&key.build].row;
        format!("{}/{} {}", row.project, row.number, self.job(key).row.name)
    }

    fn check_job(&self, key: JobKey) {
        let job = self.job(key);
        let lease = job.lease.map(|token| self.leases.get(token).expect("a job's lease exists").state);
        let queued = self.queue.contains(key);
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

/// What kind of lease an attempt has, of whom, and when that ends.
fn dump_lease(now: Time, lease: &Lease) -> String {
    let state = match lease.state {
        LeaseState::Offered => "to",
        LeaseState::Running => "on",
        LeaseState::Lapsed => "lapsed of",
    };
    let away = if lease.session.is_none() { " (away)" } else { "" };
    let cancelled = if lease.cancelled.is_some() { ", cancelled" } else { "" };
    let left = lease.until.0.saturating_sub(now.0) as f64 / 1_000.0;
    format!(", attempt {} {state} {}{away} for {left} s{cancelled}", lease.attempt.number, lease.attempt.worker)
}
