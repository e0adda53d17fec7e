//! Matches jobs that wait with sessions that wait.

use super::Coordinator;
use super::fit::is_able;
use super::model::{DEFAULT_POOL, Effect, Lease, LeaseState, Session, SessionId, Timer};
use super::overdue::Overdue;
use super::placed::{Because, FREE_COUNTED, Placed};
use super::queue::Need;
use super::record::{AttemptRow, JobKey, LeaseToken};
use super::rows::{Row, Steps};
use schema::values::{Assignment, Outcome, Resources, State, Time};
use schema::wire::job_bytes;
use std::collections::BTreeSet;
use std::time::Duration;

/// The largest plan of a job that is offered, in bytes as they travel. A worker reads messages of 4 MiB, and the answer to one
/// `take` holds two such plans at most, beside small ones.
const OFFER_BYTES_MAX: usize = (2 << 20) - (64 << 10);

impl Coordinator {
    /// A `take` waits, with these resources free.
    pub fn worker_ready(&mut self, now: Time, session: SessionId, free: Resources) {
        let Some(entry) = self.sessions.get_mut(session) else {
            return;
        };
        entry.waiting = Some(free);
        entry.lack.clear();
        self.ready.insert(session);
        self.place_on(now, session);
    }

    /// The `take` was dropped.
    pub fn worker_unready(&mut self, session: SessionId) {
        if let Some(entry) = self.sessions.get_mut(session) {
            entry.waiting = None;
        }
        self.ready.remove(&session);
    }

    /// How many of the jobs that wait come to each connected worker, whatever it can take.
    pub fn share(&self) -> usize {
        self.queue.len() / self.sessions.len().max(1)
    }

    /// Offers the first job that this session can take, if both wait.
    pub(super) fn place_on(&mut self, now: Time, session: SessionId) {
        let Some(entry) = self.sessions.get(session) else {
            return;
        };
        let Some(free) = entry.waiting else { return };
        // one that rests is passed over for every job: the queue need not be looked through
        if !self.takes_work(entry) || self.is_resting(entry) {
            return;
        }
        if let Some(job) = self.queue.first_for(session, &free, |job| !self.rests(job, session)) {
            let able = self.queue.able_count(job);
            let because = if able == 1 { Because::Only } else { Because::Asked };
            self.offer(now, session, job, Placed::new(because, able, 1));
        }
    }

    /// Puts a job into the queue and offers it to a session that waits and has room. One of a project that is held back comes
    /// in when that is released.
    pub(super) fn enqueue(&mut self, now: Time, job: JobKey) {
        if self.holds(job.build) {
            return;
        }
        if let Some(why) = self.too_large(job) {
            return self.finish_job(now, job, Outcome::Errored, &why);
        }
        let plan = self.job_plan(job).clone();
        let need = Need::of(&plan, &self.pools_of(&self.builds[&job.build].row.project));
        let sessions = &self.sessions;
        let terms = &self.terms.pools;
        self.queue.enter(job, need, plan.priority, |need| {
            sessions.iter().filter(|(_, session)| is_able(session, need, terms)).map(|(id, _)| id).collect()
        });
        self.offer_to_ready(now, job);
    }

    /// Why no worker could read an offer of this job. None: each can. A plan of an earlier version may be larger than those
    /// that are made now.
    fn too_large(&self, job: JobKey) -> Option<String> {
        let bytes = job_bytes(self.job_plan(job));
        (bytes > OFFER_BYTES_MAX).then(|| {
            format!(
                "its plan takes {bytes} bytes, and a worker is offered at most {OFFER_BYTES_MAX}: split the job, or \
                 shorten its commands and its environment"
            )
        })
    }

    /// Offers a job of the queue to a session that waits and has room.
    pub(super) fn offer_to_ready(&mut self, now: Time, job: JobKey) {
        let ready = self.find_ready(job);
        if let Some(session) = ready.first() {
            let able = self.queue.able_count(job);
            let because = match (able, ready.len()) {
                (1, _) => Because::Only,
                (_, 1) => Because::OnlyFree,
                (_, _) => Because::ConnectedLongest,
            };
            self.offer(now, *session, job, Placed::new(because, able, ready.len()));
        }
    }

    /// Who waits and has room, the longest connected first, and no more of them than are counted. Looks through the smaller
    /// of two sets: who waits, and who could.
    fn find_ready(&self, job: JobKey) -> Vec<SessionId> {
        let has_room = |id: &SessionId| self.has_room(*id, job);
        if self.ready.len() < self.queue.able_count(job) {
            let able = self.ready.iter().copied().filter(|id| self.queue.is_able(job, *id));
            return able.filter(has_room).take(FREE_COUNTED).collect();
        }
        self.queue.able(job).filter(|id| self.ready.contains(id)).filter(has_room).take(FREE_COUNTED).collect()
    }

    /// Whether some worker could take this job, now or later: one that is connected, or one that may come back.
    pub fn is_placeable(&self, job: JobKey) -> bool {
        let Some(need) = self.queue.need(job) else {
            return true;
        };
        let mut here = self.queue.able(job).filter_map(|id| self.sessions.get(id));
        here.any(|session| session.description.total.holds(&need.room))
            || self.able_and_away(need).any(|session| session.description.total.holds(&need.room))
    }

    pub(super) fn able_and_away(&self, need: &Need) -> impl Iterator<Item = Session> {
        self.away().filter(move |session| is_able(session, need, &self.terms.pools))
    }

    fn has_room(&self, id: SessionId, job: JobKey) -> bool {
        let (Some(session), Some(need)) = (self.sessions.get(id), self.queue.need(job)) else {
            return false;
        };
        self.takes_work(session) && session.waiting.is_some_and(|free| free.holds(&need.room)) && !self.rests(job, id)
    }

    pub(super) fn takes_work(&self, session: &Session) -> bool {
        let row = self.workers.get(&session.worker);
        !session.draining && row.is_none_or(|row| !row.draining && row.held.is_empty())
    }

    pub(super) fn pools_of(&self, project: &str) -> BTreeSet<String> {
        let pools = self.terms.projects.get(project).map(|terms| terms.pools.clone()).unwrap_or_default();
        if pools.is_empty() { BTreeSet::from([DEFAULT_POOL.to_owned()]) } else { pools }
    }

    /// The term of a lease in the pools that both sides share: the shortest.
    fn term(&self, session: &Session, need: &Need) -> Duration {
        let shared = session.pools.iter().filter(|pool| need.pools.contains(*pool));
        let of_pools = shared.filter_map(|pool| self.terms.pools.get(pool)?.lease);
        of_pools.min().unwrap_or(self.terms.lease)
    }

    fn offer(&mut self, now: Time, id: SessionId, job: JobKey, placed: Placed) {
        let need = self.queue.need(job).expect("an offered job waits in the queue").clone();
        self.queue.leave(job);
        self.drop_lapsed(now, job);
        let token = self.tokens.draw();
        let session = self.sessions.get(id).expect("an offer goes to a live session");
        let term = self.term(session, &need).max(session.least_term);
        let placed = placed.after(self.job(job).row.queued.unwrap_or(now), now, &session.opened);
        let attempt = AttemptRow { term, ..self.new_attempt(now, job, token, session, placed) };
        let until = now.after(self.terms.offer);
        self.worker_unready(id);
        let entry = self.job_mut(job);
        entry.row.edit_unrecorded(|row| row.state = State::Offered);
        entry.lease = Some(token);
        let assignment = self.assignment(job, &attempt);
        let lease = Lease {
            job,
            attempt: Row::draft(attempt),
            state: LeaseState::Offered,
            session: Some(id),
            until,
            steps: Steps::default(),
            cancelled: None,
            cancelled_again: false,
            overdue: Overdue::default(),
        };
        self.leases.insert(token, lease);
        self.timers.arm(Timer::Lease(token), until);
        self.effects.push_back(Effect::Offer { session: id, assignment: Box::new(assignment) });
    }

    fn new_attempt(&self, now: Time, job: JobKey, token: LeaseToken, session: &Session, placed: Placed) -> AttemptRow {
        AttemptRow {
            job,
            number: self.job(job).row.attempt + 1,
            token,
            grant: session.grant,
            worker: session.worker.clone(),
            started: now,
            finished: None,
            outcome: None,
            reason: String::new(),
            isolation: session.description.isolation.last().cloned().unwrap_or_default(),
            placed: Some(placed),
            term: Duration::ZERO,
            home: session.home.clone(),
        }
    }

    pub(super) fn assignment(&self, job: JobKey, attempt: &AttemptRow) -> Assignment {
        let build = &self.builds[&job.build];
        let mut plan = self.job_plan(job).clone();
        let limit = u64::try_from(self.terms.job_timeout.as_millis()).unwrap_or(u64::MAX);
        plan.timeout_ms = plan.timeout_ms.min(limit);
        plan.always_timeout_ms = plan.always_timeout_ms.min(limit);
        let ref_name = build.row.stamp.sources.first().map(|source| source.ref_name.as_str()).unwrap_or_default();
        Assignment {
            token: attempt.token.0,
            project: build.row.project.clone(),
            build: build.row.number,
            attempt: attempt.number,
            lane: format!("{}/{}/{}", build.row.project, ref_name, plan.name),
            job: plan,
            stamp: build.row.stamp.clone(),
            trust: build.row.trust,
            term_ms: u64::try_from(attempt.term.as_millis()).unwrap_or(u64::MAX),
        }
    }
}
