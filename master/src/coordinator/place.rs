//! Matches jobs that wait with sessions that wait.

use super::Coordinator;
use super::model::{DEFAULT_POOL, Effect, Lease, LeaseState, Session, SessionId, Timer};
use super::queue::Need;
use super::record::{AttemptRow, JobKey};
use schema::values::{Assignment, Resources, State, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

impl Coordinator {
    /// A `take` waits, with these resources free.
    pub fn worker_ready(&mut self, now: Time, session: SessionId, free: Resources) {
        let Some(entry) = self.sessions.get_mut(session) else {
            return;
        };
        entry.waiting = Some(free);
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

    /// Offers the first job that this session can take, if both wait.
    pub(super) fn place_on(&mut self, now: Time, session: SessionId) {
        let Some(entry) = self.sessions.get(session) else {
            return;
        };
        let Some(free) = entry.waiting else { return };
        if !self.takes_work(entry) {
            return;
        }
        if let Some(job) = self.queue.first_for(session, &free) {
            self.offer(now, session, job);
        }
    }

    /// Puts a job into the queue and offers it to a session that waits and has room.
    pub(super) fn enqueue(&mut self, now: Time, job: JobKey) {
        let plan = self.job_plan(job).clone();
        let need = Need::of(&plan, &self.pools_of(&self.builds[&job.build].row.project));
        let sessions = &self.sessions;
        let terms = &self.terms.pools;
        self.queue.enter(job, need, plan.priority, |need| {
            sessions.iter().filter(|(_, session)| is_able(session, need, terms)).map(|(id, _)| id).collect()
        });
        if let Some(session) = self.find_ready(job) {
            self.offer(now, session, job);
        }
    }

    /// Looks through the smaller of two sets: who waits, and who could.
    fn find_ready(&self, job: JobKey) -> Option<SessionId> {
        if self.ready.len() < self.queue.able_count(job) {
            return self.ready.iter().copied().find(|id| self.queue.is_able(job, *id) && self.has_room(*id, job));
        }
        self.queue.able(job).find(|id| self.ready.contains(id) && self.has_room(*id, job))
    }

    /// Why a queued job has no worker, and what would change that.
    pub fn why_waiting(&self, job: JobKey) -> String {
        let Some(need) = self.queue.need(job) else {
            return String::new();
        };
        let able: Vec<&Session> = self.queue.able(job).filter_map(|id| self.sessions.get(id)).collect();
        if able.is_empty() {
            let away: Vec<String> = self.able_and_away(need).map(|session| session.worker).collect();
            return match away.as_slice() {
                [] => self.nearest_miss(need),
                [worker] => format!("worker {worker} could take it and is not connected: it is waited for"),
                [..] => format!("workers {} could take it, none is connected: they are waited for", away.join(", ")),
            };
        }
        let taking = able.iter().filter(|session| self.takes_work(session)).count();
        if taking == 0 {
            return format!(
                "all {} workers that could take it are draining or held: `guild worker resume NAME`",
                able.len()
            );
        }
        let large = able.iter().any(|session| session.description.total.holds(&need.room));
        if !large {
            return format!("no worker is large enough for {}", room(&need.room));
        }
        format!("the {taking} workers that could take it are busy")
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

    fn able_and_away(&self, need: &Need) -> impl Iterator<Item = Session> {
        self.away().filter(move |session| is_able(session, need, &self.terms.pools))
    }

    fn nearest_miss(&self, need: &Need) -> String {
        let pools = need.pools.iter().cloned().collect::<Vec<_>>().join(", ");
        let in_pools: Vec<&Session> = self
            .sessions
            .iter()
            .map(|(_, session)| session)
            .filter(|session| in_pools(session, &need.pools, &self.terms.pools))
            .collect();
        if in_pools.is_empty() {
            return format!("no worker of pool {pools} is connected: `guild grant issue --kind worker` and join one");
        }
        let on_platform: Vec<&&Session> =
            in_pools.iter().filter(|session| need.on.is_empty() || session.description.platform == need.on).collect();
        if on_platform.is_empty() {
            return format!("no connected worker of pool {pools} has platform {}", need.on);
        }
        let lacking = need.want.iter().find(|want| !on_platform.iter().any(|session| has(session, want)));
        match lacking {
            Some(want) => format!("no connected worker of pool {pools} has `{want}`"),
            None => "no single connected worker has all that it wants".to_owned(),
        }
    }

    fn has_room(&self, id: SessionId, job: JobKey) -> bool {
        let (Some(session), Some(need)) = (self.sessions.get(id), self.queue.need(job)) else {
            return false;
        };
        self.takes_work(session) && session.waiting.is_some_and(|free| free.holds(&need.room))
    }

    fn takes_work(&self, session: &Session) -> bool {
        let row = self.workers.get(&session.worker);
        !session.draining && row.is_none_or(|row| !row.draining && row.held.is_empty())
    }

    fn pools_of(&self, project: &str) -> BTreeSet<String> {
        let pools = self.terms.projects.get(project).map(|terms| terms.pools.clone()).unwrap_or_default();
        if pools.is_empty() { BTreeSet::from([DEFAULT_POOL.to_owned()]) } else { pools }
    }

    /// The term of a lease in the pools that both sides share: the shortest.
    fn term(&self, session: &Session, need: &Need) -> Duration {
        let shared = session.pools.iter().filter(|pool| need.pools.contains(*pool));
        let of_pools = shared.filter_map(|pool| self.terms.pools.get(pool)?.lease);
        of_pools.min().unwrap_or(self.terms.lease)
    }

    fn offer(&mut self, now: Time, id: SessionId, job: JobKey) {
        let need = self.queue.need(job).expect("an offered job waits in the queue").clone();
        self.queue.leave(job);
        self.drop_lapsed(now, job);
        let token = self.tokens.draw();
        let session = self.sessions.get(id).expect("an offer goes to a live session");
        let term = self.term(session, &need);
        let attempt = self.new_attempt(now, job, token, session);
        let until = now.after(self.terms.offer);
        self.worker_unready(id);
        let entry = self.job_mut(job);
        entry.row.state = State::Offered;
        entry.lease = Some(token);
        let assignment = self.assignment(job, &attempt);
        let lease = Lease {
            job,
            attempt,
            state: LeaseState::Offered,
            session: Some(id),
            until,
            term,
            steps: BTreeMap::new(),
            cancelled: None,
        };
        self.leases.insert(token, lease);
        self.timers.insert((until, Timer::Lease(token)));
        self.effects.push_back(Effect::Offer { session: id, assignment: Box::new(assignment) });
    }

    fn new_attempt(&self, now: Time, job: JobKey, token: super::record::LeaseToken, session: &Session) -> AttemptRow {
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
        }
    }

    pub(super) fn assignment(&self, job: JobKey, attempt: &AttemptRow) -> Assignment {
        let build = &self.builds[&job.build];
        let mut plan = self.job_plan(job).clone();
        let limit = u64::try_from(self.terms.job_timeout.as_millis()).unwrap_or(u64::MAX);
        plan.timeout_ms = plan.timeout_ms.min(limit);
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
        }
    }
}

/// Whether this worker could take jobs of this class when it has room.
pub(super) fn is_able(session: &Session, need: &Need, pools: &BTreeMap<String, super::model::PoolTerms>) -> bool {
    (need.on.is_empty() || session.description.platform == need.on)
        && in_pools(session, &need.pools, pools)
        && need.want.iter().all(|want| has(session, want))
}

fn in_pools(session: &Session, pools: &BTreeSet<String>, terms: &BTreeMap<String, super::model::PoolTerms>) -> bool {
    session
        .pools
        .iter()
        .filter(|pool| pools.contains(*pool))
        .any(|pool| terms.get(pool).is_none_or(|terms| terms.wants.iter().all(|want| has(session, want))))
}

/// Whether a worker has what a `want` asks for: `name`, `name=value`, `memory>=4GiB`, `cpus>=2`.
fn has(session: &Session, want: &str) -> bool {
    if let Some((name, least)) = want.split_once(">=") {
        let total = &session.description.total;
        return match name.trim() {
            "memory" => bytes(least).is_some_and(|least| total.memory >= least),
            "cpus" => least.trim().parse::<f64>().is_ok_and(|least| f64::from(total.cpus_milli) >= least * 1000.0),
            _ => false,
        };
    }
    match want.split_once('=') {
        Some((name, value)) => session.labels.get(name.trim()).is_some_and(|has| has == value.trim()),
        None => session.labels.contains_key(want.trim()),
    }
}

/// "4GiB", "512MiB", "100" in bytes.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match &text[digits..] {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(unit)
}

fn room(room: &Resources) -> String {
    format!("{} cpus and {} MiB", f64::from(room.cpus_milli) / 1000.0, room.memory >> 20)
}
