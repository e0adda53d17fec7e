//! Finds out why a job is in its state. It looks at all workers that could take the job, and at what keeps them from it.

use super::{Explainer, Explanation, Why};
use crate::decide::coordinator::record::{BuildId, JobKey};
use crate::decide::coordinator::snapshot::{LeaseState, Need, Session};
use schema::values::{State, TierName};
use std::borrow::Cow;

/// The most workers that are searched for one that has room and does not ask for work. If there are more, such a worker is not why a job
/// waits, and a look at each would cost too much.
const SILENT_LOOKED_AT: usize = 100;

impl Explainer<'_> {
    /// Says in one sentence for lists why a job waits, as far as that is known. Empty means that it does not wait.
    pub fn why(&self, key: JobKey) -> String {
        let Some(job) = self.it.find_job(key) else { return String::new() };
        match job.state {
            State::Queued | State::Waiting if self.it.is_held(key.build) => Some(self.why_held(key).text()),
            State::Queued => self.it.queued(key).map(|need| self.why_queued(key, need).text()),
            State::Waiting => Some(self.why_needing(key).text()),
            State::Running => self.it.lease_of(key).and_then(|lease| self.waits_text(&lease)),
            State::Planning | State::Offered | State::Finished => None,
        }
        .unwrap_or_default()
    }

    /// Explains a job of an open build in full. `None` means that the job is finished, or that there is no such job.
    pub fn explain(&self, build: BuildId, name: &str) -> Option<Explanation> {
        let open = self.it.build(build)?;
        let job = self.it.jobs(build).find(|job| job.name == name)?;
        let key = job.key;
        match job.state {
            State::Planning | State::Finished => None,
            State::Waiting | State::Queued if self.it.is_held(build) => {
                Some(Explanation::of(self.why_held(key), job.queued.or(Some(open.created))))
            }
            State::Waiting => Some(self.explain_needing(key)),
            State::Queued => Some(self.explain_queued(key)),
            State::Offered | State::Running => self.explain_leased(key),
        }
    }

    pub(super) fn why_held(&self, job: JobKey) -> Why {
        Why::Restored(self.it.project_of(job).to_owned())
    }

    /// Says why no worker has taken a queued job.
    pub(super) fn why_queued(&self, job: JobKey, need: &Need) -> Why {
        let able = || self.it.able(job);
        let mut large = able().filter(|session| session.total.holds(&need.room)).peekable();
        if large.peek().is_some() {
            return self.why_not_one_of(&large.collect::<Vec<_>>(), need);
        }
        let away: Vec<Session> = self.it.able_and_away(need).collect();
        let large = away.iter().filter(|session| session.total.holds(&need.room));
        let names: Vec<String> = large.map(|session| session.worker.clone()).collect();
        match (names.is_empty(), able().next().is_none() && away.is_empty()) {
            (false, _) => Why::Away(names),
            (true, false) => Why::Room(need.room),
            (true, true) => self.why_nobody(need),
        }
    }

    /// Says why none of these workers takes the job. They are connected, could take it, and are large enough.
    fn why_not_one_of(&self, able: &[&Session], need: &Need) -> Why {
        let taking: Vec<&Session> = able.iter().copied().filter(|session| session.takes_work()).collect();
        if taking.is_empty() {
            return self.why_stopped(able, need);
        }
        let is_silent =
            |session: &&&Session| session.waiting.is_none() && self.it.leases_of(&session.worker).next().is_none();
        let awake: Vec<&Session> =
            taking.iter().copied().filter(|session| self.it.resting(session).is_none()).collect();
        if let (true, [first, ..]) = (awake.is_empty(), taking.as_slice()) {
            let why = self.rest_text(first).unwrap_or_default();
            return Why::Resting { able: taking.len(), worker: first.worker.clone(), why };
        }
        match awake.iter().take(SILENT_LOOKED_AT).find(is_silent) {
            Some(session) => match self.it.machine_of(&session.worker).map_or("", |machine| machine.lack.as_str()) {
                "" => Why::Silent(session.worker.clone()),
                lack => Why::Unready { worker: session.worker.clone(), lack: lack.to_owned() },
            },
            None => Why::Busy(taking.len()),
        }
    }

    /// Says how these workers are stopped. All of them drain or are held.
    fn why_stopped(&self, able: &[&Session], need: &Need) -> Why {
        let has_room = |session: &&&Session| session.waiting.is_some_and(|free| free.holds(&need.room));
        let first = able.iter().filter(has_room).chain(able).find(|session| !session.draining);
        let worker = first.or(able.first()).map(|session| session.worker.clone()).unwrap_or_default();
        let how = match self.it.worker(&worker).map(|row| row.held.as_str()) {
            _ if first.is_none() => "drains by itself".to_owned(),
            Some("") | None => "is drained".to_owned(),
            Some(why) => format!("is held: {why}"),
        };
        Why::Stopped { able: able.len(), worker, how, is_ending: first.is_none() }
    }

    /// Says what all known workers lack, connected or away. None of them could take the job, whatever its size.
    fn why_nobody(&self, need: &Need) -> Why {
        let known: Vec<Cow<'_, Session>> = self.it.known().map(|(session, _)| session).collect();
        let pools = || need.pools.clone();
        let mut near: Vec<&Session> = known.iter().map(AsRef::as_ref).collect();
        near.retain(|session| session.ability().is_in(&need.pools, self.it.pools()));
        if near.is_empty() {
            return Why::Pool(pools());
        }
        near.retain(|session| session.ability().has_platform(need));
        if near.is_empty() {
            return Why::Platform { on: need.on.clone(), pools: pools() };
        }
        if let Some(want) = need.want.iter().find(|want| !near.iter().any(|session| session.ability().has(want))) {
            return Why::Label { want: want.text().to_owned(), pools: pools() };
        }
        match self.tier_of_nobody(&near, need) {
            Some(tier) => Why::Tier { tier, pools: pools() },
            None => Why::Together,
        }
    }

    /// The tier that the job needs and that none of these workers offers. `None` means that one of them does.
    fn tier_of_nobody(&self, near: &[&Session], need: &Need) -> Option<TierName> {
        let pools = self.it.pools();
        if near.iter().any(|session| session.ability().has_tier(need, pools)) {
            return None;
        }
        near.iter().find_map(|session| session.ability().tiers(need, pools).next()).map(|needed| needed.tier())
    }

    fn why_needing(&self, key: JobKey) -> Why {
        Why::Needs(self.it.open_needs(key).map(|row| row.name.clone()).collect())
    }

    fn explain_leased(&self, key: JobKey) -> Option<Explanation> {
        let lease = self.it.lease_of(key)?;
        let worker = lease.attempt.worker.clone();
        let why = if lease.state == LeaseState::Offered { Why::Offered(worker) } else { Why::Runs(worker) };
        let mut explanation = Explanation::of(why, Some(lease.attempt.started));
        explanation.hints.extend(self.waits_text(&lease));
        if let Some(why) = lease.cancelled {
            explanation.hints.push(format!("the master has asked {} to end it: {why}", lease.attempt.worker));
        }
        Some(explanation)
    }

    fn explain_queued(&self, key: JobKey) -> Explanation {
        let Some(need) = self.it.queued(key) else {
            return Explanation::of(Why::Ended(String::new()), None);
        };
        let mut told = Explanation::of(self.why_queued(key, need), self.it.job(key).queued);
        let seen = self.look_at_all(key, need);
        self.tell_workers(&mut told, &seen);
        let mine = self.position(key, need);
        told.ahead = self.ahead(&mine, &seen);
        told.remedies = self.remedies(&mine, &seen);
        told.hints = self.hints(&told.why, key, need, &seen);
        told.hints.extend(self.kept_hints(&mine, &seen));
        told.hints.extend(self.rest_hints(key));
        if let Some(lease) = self.it.lease_of(key) {
            let worker = &lease.attempt.worker;
            told.hints.push(format!("{worker} ran it and fell silent; until it is placed again, it may go on there"));
        }
        told
    }

    fn explain_needing(&self, key: JobKey) -> Explanation {
        let need = self.it.need_of(key);
        let since = self.it.build(key.build).map(|build| build.created);
        let mut told = Explanation::of(self.why_needing(key), since);
        let seen = self.look_at_all(key, &need);
        self.tell_workers(&mut told, &seen);
        let mine = self.position(key, &need);
        told.ahead = self.ahead(&mine, &seen);
        told.remedies = self.remedies_with_needs(mine, &seen);
        let open = self.it.open_needs(key).map(|row| format!("{} is {}", row.name, row.state));
        told.hints = open.collect();
        told
    }
}
