//! Jobs of workers that cannot be reached: a worker is away, came back without the job, was revoked, or is gone for good. If the master
//! learns that no process of such a job can still run, it places the job again before its lease ends. Otherwise the job waits until its
//! lease ends.

use super::Coordinator;
use super::model::Arrival;
use super::record::{Answer, AttemptRow, GrantId, LeaseToken};
use super::requests::Request;
use super::snapshot::{LeaseView, Waits};
use crate::decide::placement::LeaseState;
use schema::values::{Home, Refusal, RefusalCode, Time};
use std::collections::BTreeSet;

/// A revoked worker that the master has asked whether everything it ran has ended.
#[derive(Debug)]
pub(super) struct RevokedWorker {
    /// The leases that the session of the worker held.
    pub held: BTreeSet<LeaseToken>,
    pub home: Option<Home>,
}

impl RevokedWorker {
    fn speaks_for(&self, lease: &LeaseView<'_>) -> bool {
        self.held.contains(&lease.attempt.token) || (self.home.is_some() && lease.attempt.home == self.home)
    }
}

impl Arrival {
    /// Whether this attempt has surely ended: the worker has the same home, and no process of the attempt lives there.
    fn has_ended(&self, lease: &LeaseView<'_>) -> bool {
        let is_same = lease.attempt.home.is_some() && lease.attempt.home == self.home;
        is_same && !self.alive.contains(&lease.attempt.token)
    }
}

impl Coordinator {
    /// Removes a disconnected worker from the lists, and revokes all its grants. `gone` means that its machine is off, as the operator
    /// says. Then the jobs that it ran are placed again at once.
    pub fn forget(&mut self, now: Time, request: Request, worker: &str, gone: bool) -> Result<(), Refusal> {
        self.once(now, request, |this| {
            this.may_steer(now, request.by, worker)?;
            if this.session_of(worker).is_some() {
                return Err(Refusal::new(RefusalCode::Conflict, format!("worker {worker} is connected"))
                    .help("stop it, or revoke its grant"));
            }
            let grant = this.steer(now, request.by, worker, |row| row.forgotten = true)?;
            if gone {
                this.audit(now, request.by, format!("worker {worker}: its machine is off"));
                let held = this.placement.leases_of(worker).map(|(token, _)| token).collect();
                this.lose_all(now, held, &format!("the machine of worker {worker} is off, as an operator says"));
            }
            // A caller who may forget the worker may also revoke all grants with which it could come back, no matter who issued them.
            let others = this.grants.of_worker(worker).map(|row| row.id);
            for grant in others.chain([grant]).collect::<BTreeSet<_>>() {
                this.end_grants(now, grant, "its worker was forgotten");
            }
            Ok(Answer::Done)
        })?;
        Ok(())
    }

    /// Takes the answer of a revoked worker, which was asked whether everything it ran has ended. `ended` is true if it has. The caller
    /// may be a copy of the worker. So the answer counts only for leases that it held, or that were accepted in its home.
    pub fn revoked_answered(&mut self, now: Time, grant: GrantId, ended: bool) {
        let Some(asked) = self.answering.remove(&grant) else { return };
        if !ended || self.grants.live(now, grant).is_ok() {
            return;
        }
        let held = self.leases().filter(|lease| lease.attempt.grant == grant && lease.is_away);
        let tokens = held.filter(|lease| asked.speaks_for(lease)).map(|lease| lease.attempt.token).collect();
        self.lose_all(now, tokens, "its worker was revoked, and all that it ran has ended");
    }

    /// Gives up each lease that an attaching worker does not name, if no process of its attempt can still run.
    pub(super) fn lose_unnamed(&mut self, now: Time, worker: &str, arrival: &Arrival) {
        let unnamed = self.leases_of(worker).filter(|lease| !arrival.running.contains(&lease.attempt.token));
        let ended = unnamed.filter(|lease| lease.state == LeaseState::Offered || arrival.has_ended(lease));
        let tokens = ended.map(|lease| lease.attempt.token).collect();
        self.lose_all(now, tokens, &format!("worker {worker} came back without it"));
    }

    /// Whether an attaching worker holds jobs while the session under its name belongs to a copy that holds none.
    pub fn is_the_original(&self, worker: &str, arrival: &Arrival) -> bool {
        let Some(connection) = self.connection_of(worker) else { return false };
        let begun = || self.leases_of(worker).filter(|lease| lease.state != LeaseState::Offered);
        let is_its_own = |attempt: &AttemptRow| {
            arrival.running.contains(&attempt.token) && attempt.home.is_some() && attempt.home == arrival.home
        };
        connection.home != arrival.home
            && begun().any(|lease| is_its_own(lease.attempt))
            && !begun().any(|lease| lease.attempt.home == connection.home)
    }

    /// Returns why only the end of this lease frees its job. `None` means that a session holds the lease, or that it is not running.
    pub(super) fn waits(&self, lease: &LeaseView<'_>) -> Option<Waits> {
        if !lease.is_away || lease.state != LeaseState::Running {
            return None;
        }
        let grant = lease.attempt.grant;
        Some(match self.grants.get(grant).is_some_and(|row| row.revoked.is_some()) {
            true if self.answering.contains_key(&grant) => Waits::Answer,
            true => Waits::Silence,
            false if self.session_of(&lease.attempt.worker).is_some() => Waits::Elsewhere,
            false => Waits::Away,
        })
    }

    fn lose_all(&mut self, now: Time, tokens: Vec<LeaseToken>, why: &str) {
        for token in tokens {
            self.lose(now, token, why);
        }
    }
}
