//! Workers and their sessions: attach, lose, drain, hold.

use super::Coordinator;
use super::absence::Asked;
use super::authority::may_steer;
use super::fit::is_able;
use super::model::{Arrival, Attached, Counts, DEFAULT_POOL, Effect, LeaseState, Resumption, Session, SessionId};
use super::placed::Opening;
use super::record::{Answer, GrantId, GrantRow, JobKey, LeaseToken, WorkerRow};
use super::request::Request;
use super::rest::{AT_ONCE, Fault};
use schema::limits::LACK;
use schema::values::{Description, Fact, GrantKind, Refusal, RefusalCode, Selector, Time};
use std::collections::BTreeMap;
use std::time::Duration;

impl Coordinator {
    /// Opens a session of the worker that this grant names. An older one ends; what the worker ran and does not name
    /// is placed again at once where nothing of it can run any more.
    pub fn attach(&mut self, now: Time, grant: GrantId, arrival: Arrival) -> Result<Attached, Refusal> {
        let row = self.live_grant(now, grant)?.clone();
        if row.kind != GrantKind::Worker {
            return Err(Refusal::new(RefusalCode::NotPermitted, "this grant is not a worker's"));
        }
        self.end_session_of(&row.name);
        let session = self.open_session(now, &row, &arrival);
        let standing: Vec<Resumption> =
            arrival.running.iter().map(|token| self.stand(now, session, &row.name, *token)).collect();
        let terms = arrival.running.iter().zip(&standing).map(|(token, standing)| self.term_told(*token, *standing));
        let terms = terms.collect();
        self.lose_unnamed(now, &row.name, &arrival);
        self.note_worker(now, &row.name, grant, arrival.description);
        self.tell_of(now, "", 0, Fact::WorkerAttached { worker: row.name });
        Ok(Attached { session, standing, terms, term: self.terms.lease })
    }

    fn term_told(&self, token: LeaseToken, standing: Resumption) -> Duration {
        match standing {
            Resumption::Resumed => self.leases.get(token).map(|lease| lease.attempt.term).unwrap_or_default(),
            Resumption::Stale => Duration::ZERO,
        }
    }

    /// The link of a session is gone. Its offers go back; its leases live on until their terms end.
    pub fn session_lost(&mut self, now: Time, id: SessionId, why: &str) {
        let Some(session) = self.close_session(id) else {
            return;
        };
        self.break_offers(now, &session, id, why);
        self.workers.edit(&mut self.effects, &session.worker, |row| row.last_heard = now);
        self.tell_of(now, "", 0, Fact::WorkerLost { worker: session.worker, reason: why.to_owned() });
    }

    /// No further offers in this session.
    pub fn drain_session(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.draining = true;
        }
    }

    /// A worker says why it takes no job for now. Until it asks for one.
    pub fn note_lack(&mut self, id: SessionId, what: &str) {
        if let Some(session) = self.sessions.get_mut(id).filter(|session| session.waiting.is_none()) {
            session.lack = LACK.cut(what).into_owned();
        }
    }

    /// The live session of a worker and its process, for telling a clone from a successor.
    pub fn session_of(&self, worker: &str) -> Option<(SessionId, [u8; 16])> {
        let found = self.sessions.of(worker).next();
        found.map(|(id, session)| (id, session.instance))
    }

    pub fn drain(&mut self, now: Time, request: Request, worker: &str, on: bool) -> Result<(), Refusal> {
        self.change_worker(now, request, worker, |row| row.draining = on)
    }

    pub fn hold(&mut self, now: Time, request: Request, worker: &str, reason: &str) -> Result<(), Refusal> {
        self.change_worker(now, request, worker, |row| row.held = reason.to_owned())
    }

    /// Numbers of the whole.
    pub fn counts(&self) -> Counts {
        let known = self.workers.values().filter(|row| !row.forgotten);
        Counts {
            workers_known: known.count(),
            workers_connected: self.sessions.iter().count(),
            running: self.leases.iter().count(),
            waiting: self.queue.len(),
            builds_open: self.builds.len(),
            last_event: self.last_event,
        }
    }

    /// Ends the sessions of workers whose grants are over. Their leases run out by themselves, unless they answer that all
    /// that they ran has ended.
    pub(super) fn end_sessions_of(&mut self, now: Time, grants: &[GrantId]) {
        let of_grants = self.sessions.iter().filter(|(_, session)| grants.contains(&session.grant));
        let asked = of_grants.map(|(id, session)| {
            let of_session = self.leases.of(&session.worker).filter(|(_, lease)| lease.session == Some(id));
            let held = of_session.map(|(token, _)| token).collect();
            (id, session.grant, Asked { held, home: session.home.clone() })
        });
        for (id, grant, asked) in asked.collect::<Vec<_>>() {
            self.answering.insert(grant, asked);
            self.session_lost(now, id, "its grant was revoked");
            self.effects.push_back(Effect::EndSession { session: id });
        }
    }

    pub(super) fn platform_of(&self, worker: &str) -> String {
        self.workers.get(worker).map(|row| row.description.platform.clone()).unwrap_or_default()
    }

    fn end_session_of(&mut self, worker: &str) {
        let Some((id, _)) = self.session_of(worker) else {
            return;
        };
        self.close_session(id);
        self.effects.push_back(Effect::EndSession { session: id });
    }

    fn open_session(&mut self, now: Time, row: &GrantRow, arrival: &Arrival) -> SessionId {
        self.last_session += 1;
        let id = SessionId(self.last_session);
        let least_term = if arrival.keeps_terms { Duration::ZERO } else { self.terms.lease };
        let session = Session {
            least_term,
            home: arrival.home.clone(),
            ..Session::new(now, row, arrival.instance, &arrival.description)
        };
        let pools = &self.terms.pools;
        self.queue.meet(id, |need| is_able(&session, need, pools));
        self.sessions.insert(id, session);
        id
    }

    /// What the sessions of workers that are known and not connected would be: they may come back.
    pub(super) fn away(&self) -> impl Iterator<Item = Session> + '_ {
        let is_here = |row: &WorkerRow| self.sessions.of(&row.name).next().is_some();
        let away = self.workers.values().filter(move |row| !row.forgotten && !is_here(row));
        away.filter_map(|row| {
            let grant = self.grants.get(&row.grant).filter(|grant| grant.revoked.is_none())?;
            Some(Session::new(row.last_heard, grant, [0; 16], &row.description))
        })
    }

    fn close_session(&mut self, id: SessionId) -> Option<Session> {
        let session = self.sessions.remove(id)?;
        self.ready.remove(&id);
        self.queue.part(id);
        let running = self.leases.of(&session.worker).filter(|(_, lease)| lease.state != LeaseState::Offered);
        let tokens: Vec<LeaseToken> =
            running.filter(|(_, lease)| lease.session == Some(id)).map(|(token, _)| token).collect();
        for lease in tokens {
            self.leases.get_mut(lease).expect("found above").session = None;
        }
        Some(session)
    }

    /// The offers of a session end with it. Where some had just been given back, it was the connection that gave them back.
    fn break_offers(&mut self, now: Time, session: &Session, id: SessionId, why: &str) {
        let offered = self.leases.of(&session.worker).filter(|(_, lease)| lease.session == Some(id));
        let tokens: Vec<LeaseToken> = offered.map(|(token, _)| token).collect();
        for token in tokens {
            self.take_back(now, token, Fault::Broke, why);
        }
        if session.declined.is_some_and(|at| now.since(at) < AT_ONCE) {
            self.come_last(now, session.grant, &session.worker, Fault::Broke, None);
        }
    }

    fn stand(&mut self, now: Time, id: SessionId, worker: &str, token: LeaseToken) -> Resumption {
        let Some(lease) = self.leases.get_mut(token) else {
            return Resumption::Stale;
        };
        if lease.attempt.worker != worker || lease.state == LeaseState::Offered {
            return Resumption::Stale;
        }
        lease.session = Some(id);
        let (cancelled, again) = (lease.cancelled.clone(), lease.cancelled_again);
        let least = self.sessions.get(id).map(|session| session.least_term).unwrap_or_default();
        self.lengthen(token, least);
        self.resume(now, token);
        self.prolong(now, token);
        if let Some((_, reason)) = cancelled {
            self.effects.push_back(Effect::Cancel { session: id, token, reason, now: again });
        }
        Resumption::Resumed
    }

    fn note_worker(&mut self, now: Time, name: &str, grant: GrantId, description: Description) {
        let known = self.workers.get(name).cloned();
        let row = known.unwrap_or_else(|| WorkerRow {
            name: name.to_owned(),
            grant,
            draining: false,
            held: String::new(),
            forgotten: false,
            last_heard: now,
            description: Description::default(),
            steered_by: GrantId(0),
            steered: None,
        });
        let row = WorkerRow { grant, forgotten: false, last_heard: now, description, ..row };
        self.workers.put(&mut self.effects, name.to_owned(), row);
    }

    fn change_worker(
        &mut self,
        now: Time,
        request: Request,
        worker: &str,
        change: impl FnOnce(&mut WorkerRow),
    ) -> Result<(), Refusal> {
        self.once(now, request, |this| {
            this.steer(now, request.by, worker, change)?;
            Ok(Answer::Done)
        })?;
        if let Some((id, _)) = self.session_of(worker) {
            if self.sessions.get(id).is_some_and(|session| self.takes_work(session)) {
                self.note_opening(now, id, Opening::Resumed);
            }
            self.place_on(now, id);
        }
        Ok(())
    }

    /// Whether an operator may hold, drain and forget this worker.
    pub(super) fn may_steer(&self, now: Time, by: GrantId, worker: &str) -> Result<(), Refusal> {
        let known = self.workers.get(worker).filter(|row| !row.forgotten).ok_or_else(|| no_worker(worker))?;
        may_steer(self.live_grant(now, by)?, worker, self.grants.get(&known.grant))
    }

    /// Changes what is kept of a worker, as an operator wants it; answers its grant.
    pub(super) fn steer(
        &mut self,
        now: Time,
        by: GrantId,
        worker: &str,
        change: impl FnOnce(&mut WorkerRow),
    ) -> Result<GrantId, Refusal> {
        self.may_steer(now, by, worker)?;
        let edited = self.workers.edit(&mut self.effects, worker, |row| {
            change(row);
            (row.steered_by, row.steered) = (by, Some(now));
        });
        let WorkerRow { grant, draining, held, forgotten, .. } = edited.ok_or_else(|| no_worker(worker))?;
        let (grant, text) =
            (*grant, format!("worker {worker}: draining {draining}, held `{held}`, forgotten {forgotten}"));
        self.audit(now, by, text);
        Ok(grant)
    }

    /// The session may be ready for more work now.
    pub(super) fn note_opening(&mut self, now: Time, id: SessionId, opening: Opening) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.opened = (now, opening);
        }
    }

    /// The labels in force of a worker that is not connected.
    pub(super) fn labels_of(&self, row: &WorkerRow) -> Vec<(String, String)> {
        let granted = self.grants.get(&row.grant).map(|grant| grant.what.labels.as_slice()).unwrap_or_default();
        believed(granted, &row.description).to_vec()
    }

    pub(super) fn selector(&self, key: JobKey) -> String {
        let build = &self.builds[&key.build];
        Selector::build(&build.row.project, build.row.number).job(&build.jobs[key.index as usize].row.name).to_string()
    }
}

impl Session {
    fn new(since: Time, row: &GrantRow, instance: [u8; 16], description: &Description) -> Session {
        let pools = match row.what.pools.is_empty() {
            true => Box::from([DEFAULT_POOL.to_owned()]),
            false => row.what.pools.iter().cloned().collect(),
        };
        Session {
            worker: row.name.clone(),
            grant: row.id,
            instance,
            description: description.clone(),
            labels: believed(&row.what.labels, description),
            pools,
            waiting: None,
            draining: false,
            least_term: Duration::ZERO,
            home: None,
            since,
            opened: (since, Opening::Connected),
            declined: None,
            lack: String::new(),
        }
    }
}

/// Labels that count: the grant's own, and those that the worker claims where the grant says `name=*`.
fn believed(granted: &[(String, String)], description: &Description) -> Box<[(String, String)]> {
    let claimed: BTreeMap<&str, &str> =
        description.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut labels = BTreeMap::from([("platform".to_owned(), description.platform.clone())]);
    for (name, value) in granted {
        match value.as_str() {
            "*" => {
                if let Some(value) = claimed.get(name.as_str()) {
                    labels.insert(name.clone(), (*value).to_owned());
                }
            }
            value => {
                labels.insert(name.clone(), value.to_owned());
            }
        }
    }
    labels.into_iter().collect()
}

fn no_worker(name: &str) -> Refusal {
    Refusal::new(RefusalCode::NotFound, format!("no worker is called `{name}`")).help("`guild worker list` shows them")
}
