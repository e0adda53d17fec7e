//! Translates between builds and placement: jobs become tickets, and decisions of placement become rows, events and effects.

use super::Coordinator;
use super::Terms;
use super::model::Effect;
use super::placed::Placed;
use super::record::{AttemptRow, JobKey};
use crate::decide::builds::OpenAttempt;
use crate::decide::placement::{
    Class, Decision, Fault, Lease, LeaseToken, Need, Offer, PlacementTerms, SessionId, Ticket,
};
use crate::decide::records::DEFAULT_POOL;
use schema::values::{Assignment, JobPlan, Outcome, PLAN_VERSION, Resources, State, TierName, Time, Want};
use std::collections::BTreeSet;

impl Need {
    /// The needs of this job, which may run in these pools.
    pub(crate) fn of(job: &JobPlan, pools: BTreeSet<String>) -> Need {
        let want = job.want.iter().map(|want| Want::read(want)).collect();
        Need { on: job.on.clone(), want, pools, isolation: job.isolation.clone(), room: job.room() }
    }
}

/// The part of the master file that placement uses.
pub(super) fn placement_terms(terms: &Terms) -> PlacementTerms {
    PlacementTerms { offer: terms.offer, pools: terms.pools.clone() }
}

impl Coordinator {
    /// Notes that a `take` of the worker waits, and that these resources are free.
    pub fn worker_ready(&mut self, now: Time, session: SessionId, free: Resources) {
        if let Some(connection) = self.connections.get_mut(&session) {
            connection.machine.lack.clear();
        }
        let offer = self.placement.take(self.ahead.steady(now), session, free);
        self.make_offer(now, offer);
    }

    /// Notes that the worker's `take` was dropped.
    pub fn worker_unready(&mut self, session: SessionId) {
        self.placement.unready(session);
    }

    /// The number of waiting jobs per connected worker, whether or not these workers can take them.
    pub fn share(&self) -> usize {
        let gauges = self.placement.gauges();
        gauges.waiting / gauges.sessions.max(1)
    }

    /// Puts a job into the queue. If no worker may take the job, ends it.
    pub(super) fn enqueue(&mut self, now: Time, job: JobKey) {
        if let Some(why) = self.try_enqueue(now, job) {
            self.finish_job(now, job, Outcome::Errored, &why);
        }
    }

    /// Puts a job into the queue. A job of a project that is held back enters it once the project is released. If no worker may take
    /// the job, returns the reason. The job then stays out, and the caller ends it.
    pub(super) fn try_enqueue(&mut self, now: Time, job: JobKey) -> Option<String> {
        if self.holds(job.build) {
            return None;
        }
        let refused = self.builds[&job.build].refused(job.index);
        if refused.is_none() {
            let ticket = self.ticket(now, job);
            let offer = self.placement.enqueue(self.ahead.steady(now), ticket);
            self.make_offer(now, offer);
        }
        refused
    }

    fn ticket(&self, now: Time, job: JobKey) -> Ticket<JobKey> {
        Ticket {
            owner: job,
            need: self.need_of(job),
            class: Class::Normal,
            priority: self.job_plan(job).priority,
            // If the wall clock was set back since the job was queued, the time must not lie in the future.
            queued: self.ahead.steady(self.job(job).row.queued.map_or(now, |queued| queued.min(now))),
            term: self.terms.lease,
        }
    }

    /// The needs that the job would have if it were queued now.
    pub(super) fn need_of(&self, job: JobKey) -> Need {
        Need::of(self.job_plan(job), self.pools_of(&self.builds[&job.build].row.project))
    }

    /// Carries out a decision that placement made because a timer was due.
    pub(super) fn follow(&mut self, now: Time, decision: Decision<JobKey>) {
        match decision {
            Decision::Offer(offer) => self.make_offer(now, Some(offer)),
            Decision::WentBack(token, lease) => {
                self.requeue_offer(now, token, &lease, "the offer was not accepted in time");
            }
            Decision::Lapsed(token) => self.lapse(now, token),
            Decision::Outstayed(token) => self.end_cancelled(now, token),
            Decision::Overdue(token) => self.end_overdue(now, token),
        }
    }

    /// Offers an attempt to a worker, if placement made an offer. An offer is not recorded until the worker accepts it.
    pub(super) fn make_offer(&mut self, now: Time, offer: Option<Offer<JobKey>>) {
        let Some(mut offer) = offer else { return };
        if let Some((token, lease)) = offer.replaced.take() {
            self.end_lease(now, token, &lease, Outcome::Errored, "the lease ended and the job was placed again");
        }
        let attempt = self.new_attempt(now, &offer);
        let assignment = self.assignment(offer.owner, &attempt);
        let job = self.job_mut(offer.owner);
        job.row.edit_unrecorded(|row| row.state = State::Offered);
        job.attempt = Some(OpenAttempt::draft(attempt));
        self.effects.push_back(Effect::Offer { session: offer.session, assignment: Box::new(assignment) });
    }

    /// Takes an offer back, and queues its job again. This costs no attempt. The worker may come last for a while.
    pub(super) fn take_back(&mut self, now: Time, token: LeaseToken, fault: Fault, why: &str) {
        if let Some(lease) = self.placement.give_back(self.ahead.steady(now), token, fault) {
            self.requeue_offer(now, token, &lease, why);
        }
    }

    pub(super) fn requeue_offer(&mut self, now: Time, token: LeaseToken, lease: &Lease<JobKey>, why: &str) {
        self.drop_offer(token, lease, why);
        self.requeue(now, lease.owner);
    }

    /// Announces that an offer is over, which nobody accepted. It ends no logs, because a later attempt may have the same number.
    pub(super) fn drop_offer(&mut self, token: LeaseToken, lease: &Lease<JobKey>, why: &str) {
        self.job_mut(lease.owner).attempt = None;
        self.effects.push_back(Effect::Withdraw { session: lease.session, token, begun: None, reason: why.to_owned() });
    }

    /// Whether some worker could take this job, now or later: one that is connected, or one that may come back.
    pub fn is_placeable(&self, job: JobKey) -> bool {
        self.placement.is_placeable(job, self.away())
    }

    pub(super) fn pools_of(&self, project: &str) -> BTreeSet<String> {
        let pools = self.terms.projects.get(project).map(|terms| terms.pools.clone()).unwrap_or_default();
        if pools.is_empty() { BTreeSet::from([DEFAULT_POOL.to_owned()]) } else { pools }
    }

    fn new_attempt(&self, now: Time, offer: &Offer<JobKey>) -> AttemptRow {
        let connection = &self.connections[&offer.session];
        let worker = connection.worker.clone();
        AttemptRow {
            job: offer.owner,
            number: self.job(offer.owner).row.attempt + 1,
            token: offer.token,
            grant: connection.grant,
            started: now,
            finished: None,
            outcome: None,
            reason: String::new(),
            isolation: self.tier_in_force(offer),
            placed: Some(Placed::new(offer.choice, &connection.freed)),
            term: offer.term,
            home: connection.home.clone(),
            worker,
        }
    }

    /// The isolation tier in which the worker runs the job. `None` means that the worker is of a version that does not report it.
    fn tier_in_force(&self, offer: &Offer<JobKey>) -> Option<TierName> {
        let session = self.placement.session(offer.session)?;
        let ability = session.ability();
        let need = self.need_of(offer.owner);
        let tier = ability.tiers(&need, self.placement.pools()).find(|tier| tier.is_met_by(ability.probes))?;
        tier.in_force(&self.workers.get(&session.worker)?.description)
    }

    fn assignment(&self, job: JobKey, attempt: &AttemptRow) -> Assignment {
        let build = &self.builds[&job.build];
        let mut plan = self.job_plan(job).clone();
        let limit = u64::try_from(self.terms.job_timeout.as_millis()).unwrap_or(u64::MAX);
        plan.timeout_ms = plan.timeout_ms.min(limit);
        plan.always_timeout_ms = plan.always_timeout_ms.min(limit);
        plan.env.push(("GUILD_CAUSE".to_owned(), build.row.cause.kind().to_owned()));
        let ref_name = build.row.stamp.sources.first().map(|source| source.ref_name.as_str()).unwrap_or_default();
        Assignment {
            token: attempt.token.0,
            project: build.row.project.clone(),
            build: build.row.number,
            attempt: attempt.number,
            lane: format!("{}/{}/{}", build.row.project, build.row.cause.place(ref_name), plan.name),
            job: plan,
            stamp: build.row.stamp.clone(),
            trust: build.row.trust,
            term_ms: u64::try_from(attempt.term.as_millis()).unwrap_or(u64::MAX),
            plan_version: PLAN_VERSION,
            isolation: attempt.isolation.clone(),
        }
    }
}
