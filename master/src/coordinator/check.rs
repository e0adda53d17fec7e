//! What must hold after every move, and the state as text: for tests and operators.

use super::Coordinator;
use super::model::{LeaseState, Timer};
use super::overdue::is_ours_to_end;
use super::record::JobKey;
use schema::values::State;
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
            let timed = self.timers.contains(&(lease.until, Timer::Lease(token)));
            assert!(timed || lease.state == LeaseState::Lapsed, "{token:?} has no deadline");
            match lease.overdue.at() {
                Some(at) => assert!(self.timers.contains(&(at, Timer::Overdue(token))), "{token:?} is not timed"),
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

    /// The state, one line a thing, in a fixed order.
    pub fn dump(&self) -> String {
        let mut out = String::new();
        for build in self.builds.values() {
            let row = &build.row;
            let _ = writeln!(out, "build {}/{} {}", row.project, row.number, row.state);
            for job in &build.jobs {
                let outcome = job.row.outcome.map(|outcome| format!(" {outcome}")).unwrap_or_default();
                let _ = writeln!(out, "  job {} {}{outcome} attempt {}", job.row.name, job.row.state, job.row.attempt);
            }
        }
        for (id, session) in self.sessions.iter() {
            let waits = if session.waiting.is_some() { " waits" } else { "" };
            let _ = writeln!(out, "session {} of {}{waits}", id.0, session.worker);
        }
        for (token, lease) in self.leases.iter() {
            let _ = writeln!(out, "{token:?} {:?} until {}", lease.state, lease.until.0);
        }
        out
    }

    fn check_job(&self, key: JobKey) {
        let job = self.job(key);
        let lease = job.lease.map(|token| self.leases.get(token).expect("a job's lease exists").state);
        let queued = self.queue.contains(key);
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
