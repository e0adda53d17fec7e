//! Finds out why a job is where it is: looks at everybody who could take it, and at what keeps them from it. Reads only.

use super::Coordinator;
use super::fit::{self, Lack, has, has_platform, in_pools, lacks, listed};
use super::model::{LeaseState, Session};
use super::queue::Need;
use super::record::{BuildId, BuildRow, JobKey, JobRow, WorkerRow};
use super::why::{Candidate, Explanation, Standing, Why};
use schema::toml_file::nearest;
use schema::values::{JobPlan, Outcome, Selector, State, Time};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Most workers that an explanation names.
const WORKERS_SHOWN: usize = 20;
/// So many are looked at for one that has room and does not ask: with more workers that is nobody's reason to wait.
const SILENT_LOOKED_AT: usize = 100;

/// A worker that is known, connected or away, against one need.
pub(super) struct Seen<'a> {
    pub(super) session: Cow<'a, Session>,
    pub(super) lacks: Vec<Lack>,
    pub(super) standing: Standing,
}

/// What was finished before anybody asked: told from its rows alone. `plan`: the job's.
pub fn explain_past(build: &BuildRow, row: &JobRow, plan: Option<&JobPlan>) -> Explanation {
    let project = &build.project;
    let is_skipped = row.outcome == Some(Outcome::Skipped);
    let why = match row.carried_from {
        0 if is_skipped && plan.is_some_and(|plan| !plan.skipped.is_empty()) => Why::When(row.reason.clone()),
        0 if is_skipped => Why::Need(row.reason.clone()),
        0 if row.attempt > 0 => Why::Ran(row.worker.clone()),
        0 => Why::Ended(match row.reason.as_str() {
            "" => row.outcome.map_or("it has not begun", Outcome::word).to_owned(),
            reason => reason.to_owned(),
        }),
        number => Why::Carried(Selector::build(project, number).to_string()),
    };
    let mut told = Explanation::of(why, row.finished);
    if told.why.kind() == "need" {
        let again =
            format!("`guild retry {project}/{} --failed` runs again what failed, and what needs it", build.number);
        told.hints.push(again);
    }
    told
}

impl Coordinator {
    /// Why a job is not running, as far as is known, in a sentence for lists; empty where it is not waiting.
    pub fn why(&self, now: Time, key: JobKey) -> String {
        let job = self.builds.get(&key.build).and_then(|build| build.jobs.get(key.index as usize));
        match job.map(|job| job.row.state) {
            Some(State::Queued | State::Waiting) if self.holds(key.build) => Some(self.why_held(key).text()),
            Some(State::Queued) => self.queue.need(key).map(|need| self.why_queued(now, key, need).text()),
            Some(State::Waiting) => Some(self.why_needing(key).text()),
            Some(State::Running) => {
                job.and_then(|job| self.leases.get(job.lease?)).and_then(|lease| self.waits_text(lease))
            }
            Some(State::Planning | State::Offered | State::Finished) | None => None,
        }
        .unwrap_or_default()
    }

    /// All that there is to say of a job of an open build; none where it is finished, or there is no such job.
    pub fn explain(&self, now: Time, build: BuildId, name: &str) -> Option<Explanation> {
        let open = self.builds.get(&build)?;
        let job = open.jobs.iter().find(|job| job.row.name == name)?;
        let key = job.row.key;
        match job.row.state {
            State::Planning | State::Finished => None,
            State::Waiting | State::Queued if self.holds(build) => {
                Some(Explanation::of(self.why_held(key), job.row.queued.or(Some(open.row.created))))
            }
            State::Waiting => Some(self.explain_needing(now, key)),
            State::Queued => Some(self.explain_queued(now, key)),
            State::Offered | State::Running => self.explain_leased(key),
        }
    }

    pub(super) fn why_held(&self, job: JobKey) -> Why {
        Why::Restored(self.builds[&job.build].row.project.clone())
    }

    /// Why nobody has taken a queued job.
    pub(super) fn why_queued(&self, now: Time, job: JobKey, need: &Need) -> Why {
        let able = || self.queue.able(job).filter_map(|id| self.sessions.get(id));
        let mut large = able().filter(|session| session.description.total.holds(&need.room)).peekable();
        if large.peek().is_some() {
            return self.why_not_one_of(now, &large.collect::<Vec<_>>(), need);
        }
        let away: Vec<Session> = self.able_and_away(need).collect();
        let large = away.iter().filter(|session| session.description.total.holds(&need.room));
        let names: Vec<String> = large.map(|session| session.worker.clone()).collect();
        match (names.is_empty(), able().next().is_none() && away.is_empty()) {
            (false, _) => Why::Away(names),
            (true, false) => Why::Room(need.room),
            (true, true) => self.why_nobody(need),
        }
    }

    /// These are connected, could take it, and are large enough.
    fn why_not_one_of(&self, now: Time, able: &[&Session], need: &Need) -> Why {
        let has_room = |session: &&&Session| session.waiting.is_some_and(|free| free.holds(&need.room));
        let taking: Vec<&Session> = able.iter().copied().filter(|session| self.takes_work(session)).collect();
        if taking.is_empty() {
            let first = able.iter().filter(has_room).chain(able).find(|session| !session.draining);
            let worker = first.or(able.first()).map(|session| session.worker.clone()).unwrap_or_default();
            let row = self.workers.get(&worker);
            let how = match row.map(|row| row.held.as_str()) {
                _ if first.is_none() => "drains by itself".to_owned(),
                Some("") | None => "is drained".to_owned(),
                Some(why) => format!("is held: {why}"),
            };
            return Why::Stopped { able: able.len(), worker, how, is_ending: first.is_none() };
        }
        let is_silent =
            |session: &&&Session| session.waiting.is_none() && self.leases.of(&session.worker).next().is_none();
        let awake: Vec<&Session> = taking.iter().copied().filter(|session| !self.is_resting(session)).collect();
        if let (true, [first, ..]) = (awake.is_empty(), taking.as_slice()) {
            let why = self.rest_text(now, first).unwrap_or_default();
            return Why::Resting { able: taking.len(), worker: first.worker.clone(), why };
        }
        match awake.iter().take(SILENT_LOOKED_AT).find(is_silent) {
            Some(session) if !session.lack.is_empty() => {
                Why::Unready { worker: session.worker.clone(), lack: session.lack.clone() }
            }
            Some(session) => Why::Silent(session.worker.clone()),
            None => Why::Busy(taking.len()),
        }
    }

    /// No worker that is known, connected or away, could take it whatever its size: what they lack first.
    fn why_nobody(&self, need: &Need) -> Why {
        let known: Vec<Cow<'_, Session>> = self.known().map(|(session, _)| session).collect();
        let pools = || need.pools.clone();
        let mut near: Vec<&Session> = known.iter().map(AsRef::as_ref).collect();
        near.retain(|session| in_pools(session, &need.pools, &self.terms.pools));
        if near.is_empty() {
            return Why::Pool(pools());
        }
        near.retain(|session| has_platform(session, need));
        if near.is_empty() {
            return Why::Platform { on: need.on.clone(), pools: pools() };
        }
        match need.want.iter().find(|want| !near.iter().any(|session| has(session, want))) {
            Some(want) => Why::Label { want: want.clone(), pools: pools() },
            None => Why::Together,
        }
    }

    fn why_needing(&self, key: JobKey) -> Why {
        Why::Needs(self.open_needs(key).map(|row| row.name.clone()).collect())
    }

    pub(super) fn open_needs(&self, key: JobKey) -> impl Iterator<Item = &JobRow> {
        let jobs = &self.builds[&key.build].jobs;
        let needs = self.job_plan(key).needs.iter().map(|need| &jobs[*need as usize].row);
        needs.filter(|row| row.state != State::Finished)
    }

    fn explain_leased(&self, key: JobKey) -> Option<Explanation> {
        let lease = self.leases.get(self.job(key).lease?)?;
        let worker = lease.attempt.worker.clone();
        let why = if lease.state == LeaseState::Offered { Why::Offered(worker) } else { Why::Runs(worker) };
        let mut explanation = Explanation::of(why, Some(lease.attempt.started));
        explanation.hints.extend(self.waits_text(lease));
        if let Some((_, why)) = &lease.cancelled {
            explanation.hints.push(format!("it was asked to end: {why}"));
        }
        Some(explanation)
    }

    pub(super) fn explain_queued(&self, now: Time, key: JobKey) -> Explanation {
        let Some(need) = self.queue.need(key) else {
            return Explanation::of(Why::Ended(String::new()), None);
        };
        let mut told = Explanation::of(self.why_queued(now, key, need), self.job(key).row.queued);
        let seen = self.look_at_all(key, need);
        self.tell_workers(now, &mut told, &seen);
        let mine = self.waiting_place(key, need);
        told.ahead = self.ahead(&mine, &seen);
        told.remedies = self.remedies(&mine, &seen);
        told.hints = self.hints(&told.why, key, need, &seen);
        told.hints.extend(self.rest_hints(key));
        if let Some(token) = self.job(key).lease
            && let Some(lease) = self.leases.get(token)
        {
            let worker = &lease.attempt.worker;
            told.hints.push(format!("{worker} ran it and fell silent; until it is placed again, it may go on there"));
        }
        told
    }

    fn explain_needing(&self, now: Time, key: JobKey) -> Explanation {
        let build = &self.builds[&key.build];
        let need = Need::of(self.job_plan(key), &self.pools_of(&build.row.project));
        let mut told = Explanation::of(self.why_needing(key), Some(build.row.created));
        let seen = self.look_at_all(key, &need);
        self.tell_workers(now, &mut told, &seen);
        let mine = self.waiting_place(key, &need);
        told.ahead = self.ahead(&mine, &seen);
        told.remedies = self.remedies_with_needs(mine, &seen);
        let open = self.open_needs(key).map(|row| format!("{} is {}", row.name, row.state));
        told.hints = open.collect();
        told
    }

    /// Every worker that is known, the nearest first.
    pub(super) fn look_at_all(&self, key: JobKey, need: &Need) -> Vec<Seen<'_>> {
        let mut all: Vec<Seen<'_>> = self
            .known()
            .map(|(session, is_here)| {
                let lacks = lacks(&session, need, &self.terms.pools);
                let standing = self.standing(&session, is_here, &lacks, key, need);
                Seen { session, lacks, standing }
            })
            .collect();
        all.sort_by(|a, b| {
            let rank = |seen: &Seen<'_>| (seen.standing, seen.lacks.len());
            rank(a)
                .cmp(&rank(b))
                .then_with(|| a.lacks.cmp(&b.lacks))
                .then_with(|| a.session.worker.cmp(&b.session.worker))
        });
        all
    }

    /// Those that are connected, and what the sessions of the others would be.
    pub(super) fn known(&self) -> impl Iterator<Item = (Cow<'_, Session>, bool)> {
        let here = self.sessions.iter().map(|(_, session)| (Cow::Borrowed(session), true));
        here.chain(self.away().map(|session| (Cow::Owned(session), false)))
    }

    fn standing(&self, session: &Session, is_here: bool, lacks: &[Lack], key: JobKey, need: &Need) -> Standing {
        let row = self.workers.get(&session.worker);
        match lacks {
            [] => {}
            [Lack::Room(_)] => return Standing::Small,
            [..] => return Standing::Lacking,
        }
        if !is_here {
            return Standing::Away;
        }
        if session.draining {
            return Standing::Ending;
        }
        if row.is_some_and(|row| !row.held.is_empty()) {
            return Standing::Held;
        }
        if row.is_some_and(|row| row.draining) {
            return Standing::Drained;
        }
        if session.waiting.is_some_and(|free| free.holds(&need.room)) {
            return Standing::Free;
        }
        let mut leases = self.leases_of(&session.worker, key).peekable();
        if session.waiting.is_none() && self.room_left(session, key).holds(&need.room) && leases.peek().is_none() {
            return Standing::Silent;
        }
        let is_offered = leases.peek().is_some() && leases.all(|lease| lease.state == LeaseState::Offered);
        if is_offered { Standing::Offered } else { Standing::Busy }
    }

    fn tell_workers(&self, now: Time, told: &mut Explanation, seen: &[Seen<'_>]) {
        told.worker_count = seen.len();
        told.workers = seen.iter().take(WORKERS_SHOWN).map(|seen| self.candidate(now, seen)).collect();
    }

    fn candidate(&self, now: Time, seen: &Seen<'_>) -> Candidate {
        let name = seen.session.worker.clone();
        let row = self.workers.get(&name);
        let mut leases: Vec<_> = self.leases.of(&name).map(|(_, lease)| lease).collect();
        leases.sort_by_key(|lease| lease.attempt.started);
        let stopped = row.filter(|row| row.draining || !row.held.is_empty());
        let since = match seen.standing {
            Standing::Drained | Standing::Held => stopped.and_then(|row| row.steered),
            Standing::Away => Some(seen.session.since),
            Standing::Free
            | Standing::Busy
            | Standing::Offered
            | Standing::Silent
            | Standing::Ending
            | Standing::Small
            | Standing::Lacking => leases.first().map(|lease| lease.attempt.started),
        };
        let jobs = leases.iter().map(|lease| self.selector(lease.job)).collect();
        let mut text = self.text_of(seen, stopped);
        if let Some(rests) = self.rest_text(now, &seen.session) {
            text = if text.is_empty() { rests } else { format!("{text}; {rests}") };
        }
        Candidate { name, standing: seen.standing, text, jobs, since }
    }

    fn text_of(&self, seen: &Seen<'_>, stopped: Option<&WorkerRow>) -> String {
        let total = &seen.session.description.total;
        let mut parts = Vec::new();
        match seen.standing {
            Standing::Small => {
                let (has, asked) = (fit::room(total), listed(seen.lacks.iter().map(Lack::to_string)));
                parts.push(format!("has {has} in all, of {asked} asked for"));
            }
            Standing::Lacking => {
                parts.push(format!("lacks {}", listed(seen.lacks.iter().map(Lack::to_string))));
                parts.extend(claimed(seen));
            }
            Standing::Silent if !seen.session.lack.is_empty() => {
                parts.push(format!("takes no job for now: {}", seen.session.lack));
            }
            Standing::Silent => parts.push("has room and does not ask for work".to_owned()),
            Standing::Ending => parts.push("drains by itself and will end".to_owned()),
            Standing::Away => parts.push("not connected".to_owned()),
            Standing::Free | Standing::Busy | Standing::Offered | Standing::Drained | Standing::Held => {}
        }
        parts.extend(stopped.map(|row| self.stop_text(row)));
        parts.join("; ")
    }

    /// "held by ada: its disk is full"
    fn stop_text(&self, row: &WorkerRow) -> String {
        let by = self.grants.get(&row.steered_by).map(|grant| format!(" by {}", grant.name)).unwrap_or_default();
        match row.held.as_str() {
            "" => format!("drained{by}"),
            why => format!("held{by}: {why}"),
        }
    }

    fn hints(&self, why: &Why, key: JobKey, need: &Need, seen: &[Seen<'_>]) -> Vec<String> {
        let project = &self.builds[&key.build].row.project;
        let mut hints = Vec::new();
        match why {
            Why::Pool(_) => {
                let elsewhere: BTreeSet<&String> = seen.iter().flat_map(|seen| &seen.session.pools).collect();
                hints.push(format!("`pools` of [project.{project}] in the master file says where its jobs may run"));
                if !elsewhere.is_empty() {
                    hints.push(format!("there are workers of {}", listed(elsewhere)));
                }
            }
            Why::Platform { .. } => {
                let there: BTreeSet<&String> = seen.iter().map(|seen| &seen.session.description.platform).collect();
                hints.push(format!("there are workers of {}", listed(there)));
            }
            Why::Label { want, .. } => hints.extend(closest(want, seen)),
            Why::Room(_) => hints.push("`cpus` and `memory` of the job say how much a later build asks for".to_owned()),
            Why::Silent(worker) => hints.push(format!(
                "{worker} just connected, or will not: its log says why, as where its disk is short of room"
            )),
            Why::Unready { worker, .. } => hints.push(format!("{worker} asks again as soon as it has what it lacks")),
            Why::Busy(_)
            | Why::Resting { .. }
            | Why::Stopped { .. }
            | Why::Away(_)
            | Why::Together
            | Why::Needs(_)
            | Why::Restored(_)
            | Why::Offered(_)
            | Why::Runs(_)
            | Why::Ran(_)
            | Why::Carried(_)
            | Why::When(_)
            | Why::Need(_)
            | Why::Ended(_) => {}
        }
        let is_odd = |want: &String| want.contains(">=") && fit::least(want).is_none();
        if need.want.iter().any(is_odd) {
            hints.push("of `>=` only memory and cpus can be asked for: no worker can have the other".to_owned());
        } else if !self.can_be_met(need) {
            hints.push(
                "no worker can be all that it asks for: its `on`, `want` and pools contradict each other".to_owned(),
            );
        }
        hints
    }
}

/// Labels of any worker that are like the one which nobody has.
fn closest(want: &str, seen: &[Seen<'_>]) -> Option<String> {
    let wanted = want.split('=').next().unwrap_or(want).trim();
    let all: BTreeSet<(&str, &str)> = seen
        .iter()
        .flat_map(|seen| &seen.session.labels)
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let name = nearest(wanted, all.iter().map(|(name, _)| *name))?;
    let alike: Vec<String> = all
        .iter()
        .filter(|(label, _)| *label == name)
        .take(5)
        .map(|(name, value)| format!("`{name}={value}`"))
        .collect();
    Some(format!("the closest that workers have: {}", listed(alike)))
}

/// What it lacks and says that it has: its grant does not let it.
fn claimed(seen: &Seen<'_>) -> Option<String> {
    let claims = &seen.session.description.labels;
    let of_lack = |lack: &Lack| match lack {
        Lack::Want(want) => {
            let (name, value) =
                want.split_once('=').map_or((want.trim(), None), |(name, value)| (name.trim(), Some(value.trim())));
            claims.iter().find(|(label, has)| label == name && value.is_none_or(|value| has == value))
        }
        Lack::Pool(_) | Lack::Match { .. } | Lack::Platform(_) | Lack::Room(_) => None,
    };
    let (name, value) = seen.lacks.iter().find_map(of_lack)?;
    Some(format!("it says `{name}={value}`, which its grant does not: one with --label '{name}=*' would"))
}
