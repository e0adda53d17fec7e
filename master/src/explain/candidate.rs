//! The known workers as one job sees them: what keeps each of them from taking the job.

use super::lack::{Lack, lacks};
use super::words::{self, listed};
use super::{Explainer, Explanation};
use crate::decide::coordinator::record::{JobKey, WorkerRow};
use crate::decide::coordinator::snapshot::{LeaseState, LeaseView, Need, Session};
use schema::values::{Resources, TierName, Time};
use std::borrow::Cow;

/// The most workers that an explanation names, so that people can read it.
const WORKERS_SHOWN: usize = 20;

/// An `Availability` says what keeps a worker from taking a job. The smaller obstacles come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Availability {
    /// Nothing keeps the worker from taking the job, but the job itself waits for other jobs.
    Free,
    Busy,
    /// The worker has an offer that it has not answered.
    Offered,
    /// The worker has room, but does not ask for work.
    Silent,
    Drained,
    Held,
    /// The worker drains by itself, and will end.
    Ending,
    Away,
    Small,
    Lacking,
}

/// A worker as one job sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub name: String,
    pub availability: Availability,
    /// Details for people, in addition to the word of the availability. It may be empty.
    pub text: String,
    /// The selectors of the jobs that the worker runs or was offered, the oldest first. A selector is "" if the caller may not see its
    /// project.
    pub jobs: Vec<String>,
    /// The time since which the worker is drained, held or away. Otherwise, the time since which it runs the oldest of its jobs.
    pub since: Option<Time>,
}

impl Availability {
    pub fn word(self) -> &'static str {
        match self {
            Availability::Free => "free",
            Availability::Busy => "busy",
            Availability::Offered => "offered",
            Availability::Silent => "silent",
            Availability::Drained => "drained",
            Availability::Held => "held",
            Availability::Ending => "ending",
            Availability::Away => "away",
            Availability::Small => "small",
            Availability::Lacking => "lacking",
        }
    }
}

/// A known worker, connected or away, compared with one need.
pub(super) struct WorkerFit<'a> {
    pub(super) session: Cow<'a, Session>,
    pub(super) lacks: Vec<Lack>,
    pub(super) availability: Availability,
}

impl WorkerFit<'_> {
    /// The tier of isolation that the worker lacks, if it lacks one.
    pub(super) fn lacking_tier(&self) -> Option<&TierName> {
        self.lacks.iter().find_map(|lack| if let Lack::Tier { tier, .. } = lack { Some(tier) } else { None })
    }
}

impl<'a> Explainer<'a> {
    /// Compares every known worker with the job. The workers with the smallest obstacles come first.
    pub(super) fn look_at_all(&self, key: JobKey, need: &Need) -> Vec<WorkerFit<'a>> {
        let mut all: Vec<WorkerFit<'a>> = self
            .it
            .known()
            .map(|(session, is_here)| {
                let lacks = lacks(session.ability(), need, self.it.pools());
                let availability = self.availability(&session, is_here, &lacks, key, need);
                WorkerFit { session, lacks, availability }
            })
            .collect();
        all.sort_by(|a, b| {
            let rank = |seen: &WorkerFit<'_>| (seen.availability, seen.lacks.len());
            rank(a)
                .cmp(&rank(b))
                .then_with(|| a.lacks.cmp(&b.lacks))
                .then_with(|| a.session.worker.cmp(&b.session.worker))
        });
        all
    }

    fn availability(&self, session: &Session, is_here: bool, lacks: &[Lack], key: JobKey, need: &Need) -> Availability {
        let row = self.it.worker(&session.worker);
        match lacks {
            [] => {}
            [Lack::Room(_)] => return Availability::Small,
            [..] => return Availability::Lacking,
        }
        if !is_here {
            return Availability::Away;
        }
        if session.draining {
            return Availability::Ending;
        }
        if row.is_some_and(|row| !row.held.is_empty()) {
            return Availability::Held;
        }
        if row.is_some_and(|row| row.draining) {
            return Availability::Drained;
        }
        let is_kept = || self.it.keeps_for(session).is_some_and(|kept| self.it.rank(kept) < self.it.rank(key));
        if session.waiting.is_some_and(|free| free.holds(&need.room)) && !is_kept() {
            return Availability::Free;
        }
        let mut leases = self.leases_beside(&session.worker, key).peekable();
        if session.waiting.is_none() && self.room_left(session, key).holds(&need.room) && leases.peek().is_none() {
            return Availability::Silent;
        }
        let is_offered = leases.peek().is_some() && leases.all(|lease| lease.state == LeaseState::Offered);
        if is_offered { Availability::Offered } else { Availability::Busy }
    }

    /// The leases of a worker, except a lease of this job that it may still hold.
    pub(super) fn leases_beside(&self, worker: &str, key: JobKey) -> impl Iterator<Item = LeaseView<'a>> {
        self.it.leases_of(worker).filter(move |lease| lease.job != key)
    }

    /// The room of a worker that its leases of other jobs leave.
    pub(super) fn room_left(&self, session: &Session, key: JobKey) -> Resources {
        let leases = self.leases_beside(&session.worker, key);
        leases.fold(session.total, |left, lease| left.minus(&self.it.plan(lease.job).room()))
    }

    pub(super) fn tell_workers(&self, told: &mut Explanation, seen: &[WorkerFit<'_>]) {
        told.worker_count = seen.len();
        told.workers = seen.iter().take(WORKERS_SHOWN).map(|seen| self.candidate(seen)).collect();
    }

    fn candidate(&self, seen: &WorkerFit<'_>) -> Candidate {
        let name = seen.session.worker.clone();
        let mut leases: Vec<LeaseView<'_>> = self.it.leases_of(&name).collect();
        leases.sort_by_key(|lease| lease.attempt.started);
        let stopped = self.it.worker(&name).filter(|row| row.draining || !row.held.is_empty());
        let since = match seen.availability {
            Availability::Drained | Availability::Held => stopped.and_then(|row| row.steered),
            Availability::Away => Some(seen.session.since),
            Availability::Free
            | Availability::Busy
            | Availability::Offered
            | Availability::Silent
            | Availability::Ending
            | Availability::Small
            | Availability::Lacking => leases.first().map(|lease| lease.attempt.started),
        };
        let jobs = leases.iter().map(|lease| self.it.selector(lease.job)).collect();
        let mut text = self.text_of(seen, stopped);
        if let Some(rests) = self.rest_text(&seen.session) {
            text = if text.is_empty() { rests } else { format!("{text}; {rests}") };
        }
        Candidate { name, availability: seen.availability, text, jobs, since }
    }

    fn text_of(&self, seen: &WorkerFit<'_>, stopped: Option<&WorkerRow>) -> String {
        let total = &seen.session.total;
        let mut parts = Vec::new();
        match seen.availability {
            Availability::Small => {
                let (has, asked) = (words::room(total), listed(seen.lacks.iter().map(Lack::to_string)));
                parts.push(format!("has {has} in all, but the job asks for {asked}"));
            }
            Availability::Lacking => {
                parts.push(format!("lacks {}", listed(seen.lacks.iter().map(Lack::to_string))));
                parts.extend(self.claimed(seen));
            }
            Availability::Silent => {
                parts.push(match self.it.machine_of(&seen.session.worker).map_or("", |machine| machine.lack.as_str()) {
                    "" => "has room, but does not ask for work".to_owned(),
                    lack => format!("takes no job for now: {lack}"),
                })
            }
            Availability::Ending => parts.push("drains by itself and will end".to_owned()),
            Availability::Away => parts.push("not connected".to_owned()),
            Availability::Free
            | Availability::Busy
            | Availability::Offered
            | Availability::Drained
            | Availability::Held => {}
        }
        parts.extend(stopped.map(|row| self.stop_text(row)));
        parts.join("; ")
    }

    /// Says who stopped the worker and why, such as "held by ada: its disk is full".
    fn stop_text(&self, row: &WorkerRow) -> String {
        let by = self.it.grant(row.steered_by).map(|grant| format!(" by {}", grant.name)).unwrap_or_default();
        match row.held.as_str() {
            "" => format!("drained{by}"),
            why => format!("held{by}: {why}"),
        }
    }

    /// Names a label that the worker lacks although it claims to have it, because its grant does not allow the claim.
    fn claimed(&self, seen: &WorkerFit<'_>) -> Option<String> {
        let claims = &self.it.worker(&seen.session.worker)?.description.labels;
        let of_lack = |lack: &Lack| match lack {
            Lack::Want(want) => want.label_in(claims),
            Lack::Pool(_) | Lack::Match { .. } | Lack::Platform(_) | Lack::Tier { .. } | Lack::Room(_) => None,
        };
        let (name, value) = seen.lacks.iter().find_map(of_lack)?;
        Some(format!(
            "it claims `{name}={value}`, but its grant does not allow that; a grant with --label '{name}=*' would"
        ))
    }
}
