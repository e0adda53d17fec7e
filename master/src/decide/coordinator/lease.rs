//! The effects of leases on builds: an attempt begins, reports, ends, or is lost.

use super::Coordinator;
use super::model::Effect;
use super::record::JobKey;
use crate::decide::builds::{AfterLoss, OpenAttempt, after_loss, reason_with_limit};
use crate::decide::placement::{Accepted, Fault, Lease, LeaseState, LeaseToken, Renewed};
use schema::limits::REASON;
use schema::values::{Fact, Outcome, Refusal, RefusalCode, State, Time};
use std::time::Duration;

impl Coordinator {
    /// Begins the attempt with a full term from now. A worker may repeat the call, because it counts the term from its last call.
    pub fn accept(&mut self, now: Time, token: LeaseToken) -> Result<(), Refusal> {
        let job = self.placement.lease(token).ok_or_else(stale)?.owner;
        let limits = self.limits(job);
        match self.placement.accept(self.ahead.steady(now), token, limits).ok_or_else(stale)? {
            Accepted::Again(renewed) => self.note_renewed(renewed),
            Accepted::Begun(next) => {
                self.begin_attempt(now, job);
                self.make_offer(now, next);
            }
        }
        Ok(())
    }

    /// Takes an offer back, because the `take` that it answered was dropped.
    pub fn give_back(&mut self, now: Time, token: LeaseToken) {
        self.take_back(now, token, Fault::Declined, "the offer was not accepted");
    }

    /// Gives each of these leases a full term from now, and returns the terms. A term is `None` if its lease is over or has not begun,
    /// or if it belongs to another worker.
    pub fn renew(&mut self, now: Time, worker: &str, tokens: &[LeaseToken]) -> Vec<Option<Duration>> {
        let renewed = tokens.iter().map(|token| {
            let renewed = self.placement.renew(self.ahead.steady(now), worker, *token)?;
            self.note_renewed(renewed);
            Some(renewed.term)
        });
        renewed.collect()
    }

    /// Ends the attempt as its worker reports. After an infrastructure error, the job is queued again if its plan allows that.
    pub fn complete(&mut self, now: Time, token: LeaseToken, outcome: Outcome, reason: &str) -> Result<(), Refusal> {
        self.hear(now, token)?;
        if outcome == Outcome::Skipped {
            return Err(Refusal::new(RefusalCode::Invalid, "an attempt that has begun cannot end as skipped"));
        }
        let job = self.begun(token)?.owner;
        let had = self.attempt(job).map_or(Duration::ZERO, |attempt| now.since(attempt.row.started));
        let reason = &reason_with_limit(self.job_plan(job), self.terms.job_timeout, had, outcome, reason);
        match self.after_loss_of(job) {
            AfterLoss::Cancelled(why) => {
                self.end_attempt(now, token, outcome, &why);
                self.finish_job(now, job, Outcome::Cancelled, &why);
            }
            AfterLoss::Again if outcome == Outcome::Errored => {
                let lease = self.end_attempt(now, token, outcome, reason);
                self.note_lost(now, job, reason);
                let times = u32::from(self.job(job).row.lost);
                lease.iter().for_each(|lease| self.placement.pass_over(self.ahead.steady(now), lease, times));
                self.requeue(now, job);
            }
            AfterLoss::Again | AfterLoss::SideEffects | AfterLoss::Spent => {
                self.end_attempt(now, token, outcome, reason);
                self.finish_job(now, job, outcome, reason);
            }
        }
        Ok(())
    }

    /// Whether this lease is an offer that nobody has accepted yet. Such a lease gives no access, and nothing is written under it.
    pub fn is_offered(&self, token: LeaseToken) -> bool {
        self.placement.lease(token).is_some_and(|lease| lease.state == LeaseState::Offered)
    }

    /// Refuses a lease that is over as stale, and a lease that was not accepted yet as a conflict. All code that needs to know whether
    /// a lease is alive calls this.
    pub fn check_lease(&self, token: LeaseToken) -> Result<(), Refusal> {
        self.begun(token).map(|_| ())
    }

    /// Returns the job and the attempt number of a lease. `None` means that the attempt has not begun, or that it is over.
    pub fn lease_job(&self, token: LeaseToken) -> Option<(JobKey, u16)> {
        let lease = self.begun(token).ok()?;
        Some((lease.owner, self.attempt(lease.owner)?.row.number))
    }

    /// Returns the lease, if its attempt has begun and is not over.
    pub(super) fn begun(&self, token: LeaseToken) -> Result<&Lease<JobKey>, Refusal> {
        let lease = self.placement.lease(token).ok_or_else(stale)?;
        if lease.state == LeaseState::Offered { Err(not_accepted()) } else { Ok(lease) }
    }

    /// The attempt of a job that has a lease.
    pub(super) fn attempt(&self, job: JobKey) -> Option<&OpenAttempt> {
        self.find_job(job)?.attempt.as_ref()
    }

    /// Ends a cancelled attempt that did not end in time.
    pub(super) fn end_cancelled(&mut self, now: Time, token: LeaseToken) {
        let Some(job) = self.placement.lease(token).map(|lease| lease.owner) else { return };
        let cancelled = self.attempt(job).and_then(OpenAttempt::cancelled).map(str::to_owned);
        if let Some(why) = cancelled {
            self.withdraw(now, token, Outcome::Cancelled, &why);
            self.finish_job(now, job, Outcome::Cancelled, &why);
        }
    }

    pub(super) fn end_overdue(&mut self, now: Time, token: LeaseToken) {
        let Some(lease) = self.placement.lease(token) else { return };
        let (job, worker, given) = (lease.owner, &lease.worker, lease.given().as_secs());
        let why = format!("the job's time was over: {given} s had passed, and worker {worker} did not end it");
        self.withdraw(now, token, Outcome::Failed, &why);
        self.finish_job(now, job, Outcome::Failed, &why);
    }

    /// Notes that bytes of a log were accepted, which shows that the attempt goes on. This has no other effect at once.
    pub fn log_grew(&mut self, now: Time, token: LeaseToken) {
        self.placement.note_sign(self.ahead.steady(now), token);
    }

    /// Notes that the master accepts reports again after a pause. Workers then repeat the reports that it refused.
    pub fn hears_again(&mut self, now: Time) {
        self.placement.hears_again(self.ahead.steady(now));
    }

    /// Notes that the worker still runs the attempt of a renewed lease. If the lease had lapsed, the attempt no longer counts as lost.
    pub(super) fn note_renewed(&mut self, renewed: Renewed<JobKey>) {
        if renewed.had_lapsed {
            self.edit_job(renewed.owner, |row| {
                row.state = State::Running;
                row.lost -= 1;
            });
        }
    }

    /// Gives up a lease, because its worker is gone for good or came back without the attempt.
    pub(super) fn lose(&mut self, now: Time, token: LeaseToken, why: &str) {
        let Some(lease) = self.placement.lease(token) else { return };
        let job = lease.owner;
        match lease.state {
            LeaseState::Offered => self.take_back(now, token, Fault::Broke, why),
            LeaseState::Running => {
                let follows = self.after_loss_of(job);
                self.withdraw(now, token, Outcome::Errored, why);
                self.note_lost(now, job, why);
                self.go_on_after_loss(now, job, follows, why);
            }
            LeaseState::Lapsed => self.withdraw(now, token, Outcome::Errored, why),
        }
    }

    /// Handles a lease whose term is over. The job may be placed again, and until then the old holder may resume the lease.
    pub(super) fn lapse(&mut self, now: Time, token: LeaseToken) {
        let Some(lease) = self.placement.lease(token) else { return };
        let (job, why) = (lease.owner, format!("the lease of {} ended without a sign of life", lease.worker));
        let follows = self.after_loss_of(job);
        match &follows {
            AfterLoss::Cancelled(why) => self.withdraw(now, token, Outcome::Cancelled, why),
            AfterLoss::Again => self.note_lost(now, job, &why),
            AfterLoss::SideEffects | AfterLoss::Spent => {
                self.withdraw(now, token, Outcome::Errored, &why);
                self.note_lost(now, job, &why);
            }
        }
        self.go_on_after_loss(now, job, follows, &why);
    }

    /// Ends a running or lapsed lease from the master's side: fences it, and tells its worker.
    pub(super) fn withdraw(&mut self, now: Time, token: LeaseToken, outcome: Outcome, why: &str) {
        if let Some(lease) = self.placement.complete(self.ahead.steady(now), token) {
            self.end_lease(now, token, &lease, outcome, why);
        }
    }

    /// Announces that the master ended a lease.
    pub(super) fn end_lease(
        &mut self,
        now: Time,
        token: LeaseToken,
        lease: &Lease<JobKey>,
        outcome: Outcome,
        why: &str,
    ) {
        let begun = self.attempt(lease.owner).map(|attempt| (lease.owner, attempt.row.number));
        self.close_attempt(now, lease, outcome, why);
        self.effects.push_back(Effect::Withdraw { session: lease.session, token, begun, reason: why.to_owned() });
    }

    pub(super) fn requeue(&mut self, now: Time, job: JobKey) {
        self.set_queued(now, job);
        self.enqueue(now, job);
    }

    /// Takes a call on a lease as a sign of life. If the term was over and the job was not placed again, the lease resumes.
    pub(super) fn hear(&mut self, now: Time, token: LeaseToken) -> Result<(), Refusal> {
        if self.begun(token)?.state == LeaseState::Lapsed {
            let renewed = self.placement.resume(self.ahead.steady(now), token);
            renewed.into_iter().for_each(|renewed| self.note_renewed(renewed));
        }
        Ok(())
    }

    fn begin_attempt(&mut self, now: Time, job: JobKey) {
        let (number, worker) = self.edit_attempt(job, |row| row.started = now);
        let isolation = self.attempt(job).and_then(|attempt| attempt.row.isolation.clone());
        let platform = self.platform_of(&worker);
        let row = self.edit_job(job, |row| {
            row.state = State::Running;
            row.attempt = number;
            row.worker.clone_from(&worker);
            (row.platform, row.isolation) = (platform, isolation);
            row.started.get_or_insert(now);
        });
        let name = row.name.clone();
        self.begin_build(now, job.build);
        self.tell(now, job.build, Fact::JobStarted { job: name, attempt: number, worker });
    }

    fn after_loss_of(&self, job: JobKey) -> AfterLoss {
        let cancelled = self.attempt(job).and_then(OpenAttempt::cancelled);
        after_loss(self.job_plan(job), self.job(job).row.lost, cancelled)
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

    fn end_attempt(&mut self, now: Time, token: LeaseToken, outcome: Outcome, reason: &str) -> Option<Lease<JobKey>> {
        let lease = self.placement.complete(self.ahead.steady(now), token)?;
        self.close_attempt(now, &lease, outcome, reason);
        Some(lease)
    }

    /// Closes the rows of an attempt, and notes in its session which job has made room.
    fn close_attempt(&mut self, now: Time, lease: &Lease<JobKey>, outcome: Outcome, reason: &str) {
        let freed = self.selector(lease.owner);
        if let Some(connection) = lease.session.and_then(|id| self.connections.get_mut(&id)) {
            connection.freed = freed;
        }
        let Some(OpenAttempt { row, steps }) = self.job_mut(lease.owner).attempt.take() else { return };
        steps.cut_short(&mut self.effects, now, outcome);
        row.close(&mut self.effects, |row| {
            row.finished = Some(now);
            row.outcome = Some(outcome);
            row.reason = REASON.cut(reason).into_owned();
        });
    }
}

pub(super) fn stale() -> Refusal {
    Refusal::new(RefusalCode::Stale, "the lease is over: its job was placed again, cancelled or finished")
        .help("stop the attempt and throw its results away")
}

fn not_accepted() -> Refusal {
    Refusal::new(RefusalCode::Conflict, "the lease was not accepted yet").help("call `accept` first")
}
