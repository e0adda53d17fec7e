//! The life of a lease: offered, accepted, renewed; lapsed, resumed; completed, lost or fenced.

use super::Coordinator;
use super::builds::{AfterLoss, after_loss};
use super::model::{Effect, Lease, LeaseState, Timer};
use super::placed::Opening;
use super::record::{JobKey, LeaseToken};
use super::rest::Fault;
use schema::limits::REASON;
use schema::values::{Fact, Outcome, Refusal, RefusalCode, State, Time};
use std::time::Duration;

impl Coordinator {
    /// The attempt begins, with a full term from now. May be repeated: its worker counts from when it asked last.
    pub fn accept(&mut self, now: Time, token: LeaseToken) -> Result<(), Refusal> {
        let lease = self.leases.get_mut(token).ok_or_else(stale)?;
        if lease.state != LeaseState::Offered {
            self.resume(now, token);
            return Ok(());
        }
        lease.state = LeaseState::Running;
        let job = lease.job;
        let row = lease.attempt.edit(&mut self.effects, |row| row.started = now);
        let (attempt, worker, grant) = (row.number, row.worker.clone(), row.grant);
        self.set_term(now, token);
        self.set_overdue(now, token, self.time_of(job));
        let platform = self.platform_of(&worker);
        let row = self.edit_job(job, |row| {
            row.state = State::Running;
            row.attempt = attempt;
            row.worker.clone_from(&worker);
            row.platform = platform;
            row.started.get_or_insert(now);
        });
        let name = row.name.clone();
        self.begin_build(now, job.build);
        self.tell(now, job.build, Fact::JobStarted { job: name, attempt, worker });
        self.is_well(now, grant);
        Ok(())
    }

    /// The take that was answered with this offer was dropped.
    pub fn give_back(&mut self, now: Time, token: LeaseToken) {
        self.take_back(now, token, Fault::Declined, "the offer was not accepted");
    }

    /// Gives each of these leases a full term from now, and answers its length; none where it is over, or has not begun. Only
    /// its own worker may renew.
    pub fn renew(&mut self, now: Time, worker: &str, tokens: &[LeaseToken]) -> Vec<Option<Duration>> {
        let renewed = tokens.iter().map(|token| {
            let held = self.leases.get(*token).filter(|lease| lease.attempt.worker == worker)?;
            let term = Some(held.attempt.term).filter(|_| held.state != LeaseState::Offered);
            self.resume(now, *token);
            term
        });
        renewed.collect()
    }

    /// The worker may live by a longer term than its lease has: the lease gets that, for good.
    pub(super) fn lengthen(&mut self, token: LeaseToken, least: Duration) {
        if let Some(lease) = self.leases.get_mut(token).filter(|lease| lease.attempt.term < least) {
            lease.attempt.edit(&mut self.effects, |row| row.term = least);
        }
    }

    /// Ends the attempt with its worker's word. An infrastructure error is tried again where the plan allows.
    pub fn complete(&mut self, now: Time, token: LeaseToken, outcome: Outcome, reason: &str) -> Result<(), Refusal> {
        self.hear(now, token)?;
        if outcome == Outcome::Skipped {
            return Err(Refusal::new(RefusalCode::Invalid, "an attempt that has begun cannot end as skipped"));
        }
        let lease = self.leases.get(token).ok_or_else(stale)?;
        let job = lease.job;
        match self.after_loss_of(lease) {
            AfterLoss::Cancelled(why) => {
                self.end_attempt(now, token, outcome, &why);
                self.finish_job(now, job, Outcome::Cancelled, &why);
            }
            AfterLoss::Again if outcome == Outcome::Errored => {
                let worker = lease.attempt.worker.clone();
                self.end_attempt(now, token, outcome, reason);
                self.note_lost(now, job, reason);
                self.pass_over(now, job, &worker);
                self.requeue(now, job);
            }
            AfterLoss::Again | AfterLoss::SideEffects | AfterLoss::Spent => {
                self.end_attempt(now, token, outcome, reason);
                self.finish_job(now, job, outcome, reason);
            }
        }
        Ok(())
    }

    /// Whether this lease is an offer that nobody has accepted yet: it opens nothing, and nothing is written under it.
    pub fn is_offered(&self, token: LeaseToken) -> bool {
        self.leases.get(token).is_some_and(|lease| lease.state == LeaseState::Offered)
    }

    /// Refuses a lease that is over as stale, and one that was not accepted yet as a conflict. Whoever needs to know whether
    /// a lease is alive asks this.
    pub fn check_lease(&self, token: LeaseToken) -> Result<(), Refusal> {
        self.begun(token).map(|_| ())
    }

    /// The job and the number of the attempt that a lease is for. None: the attempt has not begun, or it is over.
    pub fn lease_job(&self, token: LeaseToken) -> Option<(JobKey, u16)> {
        self.begun(token).ok().map(|lease| (lease.job, lease.attempt.number))
    }

    /// A lease whose attempt has begun and is not over.
    pub(super) fn begun(&self, token: LeaseToken) -> Result<&Lease, Refusal> {
        let lease = self.leases.get(token).ok_or_else(stale)?;
        if lease.state == LeaseState::Offered { Err(not_accepted()) } else { Ok(lease) }
    }

    pub(super) fn lease_timeout(&mut self, now: Time, token: LeaseToken) {
        let Some(lease) = self.leases.get(token) else {
            return;
        };
        match lease.state {
            LeaseState::Offered => self.take_back(now, token, Fault::Silent, "the offer was not accepted in time"),
            LeaseState::Running => self.lapse(now, token),
            LeaseState::Lapsed => {}
        }
    }

    pub(super) fn cancel_timeout(&mut self, now: Time, token: LeaseToken) {
        let Some(lease) = self.leases.get(token) else {
            return;
        };
        let Some((_, why)) = lease.cancelled.clone() else {
            return;
        };
        let job = lease.job;
        self.withdraw(now, token, Outcome::Cancelled, &why);
        self.finish_job(now, job, Outcome::Cancelled, &why);
    }

    /// The worker still runs it: a full term from now, even where it had lapsed.
    pub(super) fn resume(&mut self, now: Time, token: LeaseToken) {
        let Some(lease) = self.leases.get_mut(token) else {
            return;
        };
        let job = lease.job;
        match lease.state {
            LeaseState::Offered => return,
            LeaseState::Running => {}
            LeaseState::Lapsed => {
                lease.state = LeaseState::Running;
                self.queue.leave(job);
                self.edit_job(job, |row| {
                    row.state = State::Running;
                    row.lost -= 1;
                });
            }
        }
        self.set_term(now, token);
        self.heard_again(now, token);
    }

    /// A worker is gone for good, or came back without this attempt.
    pub(super) fn lose(&mut self, now: Time, token: LeaseToken, why: &str) {
        let Some(lease) = self.leases.get(token) else {
            return;
        };
        let job = lease.job;
        match lease.state {
            LeaseState::Offered => self.take_back(now, token, Fault::Broke, why),
            LeaseState::Running => {
                let follows = self.after_loss_of(lease);
                self.withdraw(now, token, Outcome::Errored, why);
                self.note_lost(now, job, why);
                self.go_on_after_loss(now, job, follows, why);
            }
            LeaseState::Lapsed => self.withdraw(now, token, Outcome::Errored, why),
        }
    }

    /// The job is to be offered again: whoever held it before may no longer resume.
    pub(super) fn drop_lapsed(&mut self, now: Time, job: JobKey) {
        if let Some(token) = self.job(job).lease {
            self.withdraw(now, token, Outcome::Errored, "the lease ended and the job was placed again");
        }
    }

    /// Ends a lease from our side: fences it and tells its worker.
    pub(super) fn withdraw(&mut self, now: Time, token: LeaseToken, outcome: Outcome, why: &str) {
        let Some(lease) = self.leases.get(token) else {
            return;
        };
        let (session, begun) = (lease.session, Some((lease.job, lease.attempt.number)));
        self.end_attempt(now, token, outcome, why);
        self.effects.push_back(Effect::Withdraw { session, token, begun, reason: why.to_owned() });
    }

    /// An offer goes back: it costs no attempt, and nothing was recorded. The worker comes last for a while.
    pub(super) fn take_back(&mut self, now: Time, token: LeaseToken, fault: Fault, why: &str) {
        let Some(job) = self.leases.get(token).filter(|lease| lease.state == LeaseState::Offered).map(|it| it.job)
        else {
            return;
        };
        self.note_unaccepted(now, token, fault);
        self.drop_offer(token, why);
        self.requeue(now, job);
    }

    /// Ends an offer that was not accepted. An attempt of the same number may follow, and its logs are its own.
    pub(super) fn drop_offer(&mut self, token: LeaseToken, why: &str) {
        let Some(lease) = self.remove_lease(token) else {
            return;
        };
        self.job_mut(lease.job).lease = None;
        self.effects.push_back(Effect::Withdraw { session: lease.session, token, begun: None, reason: why.to_owned() });
    }

    /// The term is over. The job may be placed again; until then its old holder may resume.
    fn lapse(&mut self, now: Time, token: LeaseToken) {
        let Some(lease) = self.leases.get(token) else { return };
        let job = lease.job;
        let why = format!("the lease of {} ended without a sign of life", lease.attempt.worker);
        let follows = self.after_loss_of(lease);
        match &follows {
            AfterLoss::Cancelled(why) => self.withdraw(now, token, Outcome::Cancelled, why),
            AfterLoss::Again => {
                self.leases.get_mut(token).expect("looked up above").state = LeaseState::Lapsed;
                self.note_lost(now, job, &why);
            }
            AfterLoss::SideEffects | AfterLoss::Spent => {
                self.withdraw(now, token, Outcome::Errored, &why);
                self.note_lost(now, job, &why);
            }
        }
        self.go_on_after_loss(now, job, follows, &why);
    }

    fn after_loss_of(&self, lease: &Lease) -> AfterLoss {
        let cancelled = lease.cancelled.as_ref().map(|(_, why)| why.as_str());
        after_loss(self.job_plan(lease.job), self.job(lease.job).row.lost, cancelled)
    }

    fn go_on_after_loss(&mut self, now: Time, job: JobKey, follows: AfterLoss, why: &str) {
        match follows {
            AfterLoss::Cancelled(why) => self.finish_job(now, job, Outcome::Cancelled, &why),
            AfterLoss::Again => self.requeue(now, job),
            AfterLoss::SideEffects => {
                let why = format!("{why}; not repeated, since the job has side effects");
                self.finish_job(now, job, Outcome::Errored, &why);
            }
            AfterLoss::Spent => self.finish_job(now, job, Outcome::Errored, why),
        }
    }

    fn note_lost(&mut self, now: Time, job: JobKey, why: &str) {
        let row = self.edit_job(job, |row| row.lost += 1);
        let (name, attempt, worker) = (row.name.clone(), row.attempt, row.worker.clone());
        let reason = REASON.cut(why).into_owned();
        self.tell(now, job.build, Fact::AttemptLost { job: name, attempt, worker, reason });
    }

    fn requeue(&mut self, now: Time, job: JobKey) {
        self.set_queued(now, job);
        self.enqueue(now, job);
    }

    fn end_attempt(&mut self, now: Time, token: LeaseToken, outcome: Outcome, reason: &str) {
        let Some(lease) = self.remove_lease(token) else {
            return;
        };
        self.job_mut(lease.job).lease = None;
        if let Some(session) = lease.session {
            self.note_opening(now, session, Opening::Freed(self.selector(lease.job)));
        }
        lease.steps.cut_short(&mut self.effects, now, outcome);
        lease.attempt.close(&mut self.effects, |row| {
            row.finished = Some(now);
            row.outcome = Some(outcome);
            row.reason = REASON.cut(reason).into_owned();
        });
    }

    fn remove_lease(&mut self, token: LeaseToken) -> Option<Lease> {
        let lease = self.leases.remove(token)?;
        for timer in [Timer::Lease(token), Timer::Cancel(token), Timer::Overdue(token)] {
            self.timers.disarm(&timer);
        }
        Some(lease)
    }

    /// No lease ends sooner for it: terms only grow.
    fn set_term(&mut self, now: Time, token: LeaseToken) {
        let Some(lease) = self.leases.get_mut(token) else {
            return;
        };
        lease.until = now.after(lease.attempt.term);
        self.timers.arm(Timer::Lease(token), lease.until);
    }

    /// A call on a lease is a sign of life: where its term was over, and the job not placed again, it resumes.
    pub(super) fn hear(&mut self, now: Time, token: LeaseToken) -> Result<(), Refusal> {
        if self.begun(token)?.state == LeaseState::Lapsed {
            self.resume(now, token);
        }
        Ok(())
    }
}

pub(super) fn stale() -> Refusal {
    Refusal::new(RefusalCode::Stale, "the lease is over: its job was placed again, cancelled or finished")
        .help("stop the attempt and throw its results away")
}

fn not_accepted() -> Refusal {
    Refusal::new(RefusalCode::Conflict, "the lease was not accepted yet").help("call `accept` first")
}
