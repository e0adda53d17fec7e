//! Workers and their sessions: how they attach and are lost, drained and held.

use super::Coordinator;
use super::absence::RevokedWorker;
use super::model::{Arrival, Attached, Counts, Effect, Resumption, WorkerLink};
use super::record::{Answer, GrantId, GrantRow, JobKey, LeaseToken, WorkerRow};
use super::requests::Request;
use crate::decide::authority::may_steer;
use crate::decide::builds::OpenAttempt;
use crate::decide::machine_notes::{MachineNotes, WorkerClock};
use crate::decide::placement::{Detached, Session, SessionId};
use crate::decide::records::DEFAULT_POOL;
use schema::limits::LACK;
use schema::values::{Description, Fact, GrantKind, Refusal, RefusalCode, Selector, Time};
use std::collections::BTreeMap;
use std::time::Duration;

impl Coordinator {
    /// Opens a session of the worker that this grant names, and ends an older one. A job that the worker ran before and does not name is
    /// placed again at once, if no process of it can still run.
    pub fn attach(&mut self, now: Time, grant: GrantId, arrival: Arrival) -> Result<Attached, Refusal> {
        let row = self.grants.live(now, grant)?.clone();
        if row.kind != GrantKind::Worker {
            return Err(Refusal::new(RefusalCode::NotPermitted, "this grant is not a worker's"));
        }
        self.end_session_of(&row.name);
        let session = self.open_session(now, &row, &arrival);
        let standing: Vec<Resumption> = arrival.running.iter().map(|token| self.stand(now, session, *token)).collect();
        let terms = arrival.running.iter().zip(&standing).map(|(token, standing)| self.term_told(*token, *standing));
        let terms = terms.collect();
        self.lose_unnamed(now, &row.name, &arrival);
        self.note_worker(now, &row.name, grant, arrival.description);
        self.tell_of(now, "", 0, Fact::WorkerAttached { worker: row.name });
        Ok(Attached { session, standing, terms, term: self.terms.lease })
    }

    fn term_told(&self, token: LeaseToken, standing: Resumption) -> Duration {
        match standing {
            Resumption::Resumed => self.placement.lease(token).map(|lease| lease.term).unwrap_or_default(),
            Resumption::Stale => Duration::ZERO,
        }
    }

    /// Ends a session whose connection is gone. Its offers go back to the queue, and its leases live on until their terms end.
    pub fn session_lost(&mut self, now: Time, id: SessionId, why: &str) {
        let Some(Detached { worker, offers }) = self.placement.detach(self.ahead.steady(now), id) else { return };
        self.connections.remove(&id);
        for (token, lease) in offers {
            self.requeue_offer(now, token, &lease, why);
        }
        self.workers.edit(&mut self.effects, &worker, |row| row.last_heard = now);
        self.tell_of(now, "", 0, Fact::WorkerLost { worker, reason: why.to_owned() });
    }

    /// Stops offering jobs in this session.
    pub fn drain_session(&mut self, id: SessionId) {
        self.placement.drain(id);
    }

    /// Notes why a worker takes no job for now. The note stays until the worker asks for a job.
    pub fn note_lack(&mut self, id: SessionId, what: &str) {
        let is_silent = self.placement.session(id).is_some_and(|session| session.waiting.is_none());
        if let Some(connection) = self.connections.get_mut(&id).filter(|_| is_silent) {
            connection.machine.lack = LACK.cut(what).into_owned();
        }
    }

    pub fn note_troubles(&mut self, id: SessionId, what: Vec<String>) {
        self.connections.get_mut(&id).into_iter().for_each(|link| link.machine.troubles.clone_from(&what));
    }

    /// The clock of the worker that runs this attempt, and the time at which the attempt began.
    pub(crate) fn clock_of(&self, token: LeaseToken) -> Option<(WorkerClock, Time)> {
        let lease = self.placement.lease(token)?;
        Some((self.connections.get(&lease.session?)?.machine.clock, self.attempt(lease.owner)?.row.started))
    }

    /// The live session of a worker, and the process of the worker, which tells a copy of the worker from its successor.
    pub fn session_of(&self, worker: &str) -> Option<(SessionId, [u8; 16])> {
        let (id, _) = self.placement.session_of(worker)?;
        Some((id, self.connections.get(&id)?.instance))
    }

    pub(super) fn connection_of(&self, worker: &str) -> Option<&WorkerLink> {
        let (id, _) = self.placement.session_of(worker)?;
        self.connections.get(&id).map(Box::as_ref)
    }

    pub fn drain(&mut self, now: Time, request: Request, worker: &str, on: bool) -> Result<(), Refusal> {
        self.change_worker(now, request, worker, |row| row.draining = on)
    }

    pub fn hold(&mut self, now: Time, request: Request, worker: &str, reason: &str) -> Result<(), Refusal> {
        self.change_worker(now, request, worker, |row| row.held = reason.to_owned())
    }

    /// The figures of the coordinator as a whole.
    pub fn counts(&self) -> Counts {
        let known = self.workers.values().filter(|row| !row.forgotten);
        let gauges = self.placement.gauges();
        Counts {
            workers_known: known.count(),
            workers_connected: gauges.sessions,
            running: gauges.leases,
            waiting: gauges.waiting,
            builds_open: self.builds.len(),
            last_event: self.last_event,
        }
    }

    /// Ends the sessions of workers whose grants are over. Their leases run out by themselves, unless such a worker answers that
    /// everything it ran has ended.
    pub(super) fn end_sessions_of(&mut self, now: Time, grants: &[GrantId]) {
        let of_grants = self.connections.iter().filter(|(_, connection)| grants.contains(&connection.grant));
        let asked = of_grants.map(|(id, connection)| {
            let of_worker = self.placement.leases_of(&connection.worker);
            let held = of_worker.filter(|(_, lease)| lease.session == Some(*id)).map(|(token, _)| token).collect();
            (*id, connection.grant, RevokedWorker { held, home: connection.home.clone() })
        });
        for (id, grant, asked) in asked.collect::<Vec<_>>() {
            self.answering.insert(grant, asked);
            self.session_lost(now, id, "its grant was revoked");
            self.effects.push_back(Effect::EndSession { session: id });
        }
        for row in grants.iter().filter_map(|id| self.grants.get(*id)).filter(|row| row.kind == GrantKind::Worker) {
            self.placement.forget(&row.name);
        }
    }

    pub(super) fn platform_of(&self, worker: &str) -> String {
        self.workers.get(worker).map(|row| row.description.platform.clone()).unwrap_or_default()
    }

    fn end_session_of(&mut self, worker: &str) {
        let Some((id, _)) = self.session_of(worker) else {
            return;
        };
        self.connections.remove(&id);
        self.effects.push_back(Effect::EndSession { session: id });
    }

    fn open_session(&mut self, now: Time, row: &GrantRow, arrival: &Arrival) -> SessionId {
        let least_term = if arrival.keeps_terms { Duration::ZERO } else { self.terms.lease };
        let mut session = self.session(now, row, &arrival.description);
        session.least_term = least_term;
        let id = self.placement.attach(session);
        let connection = WorkerLink {
            worker: row.name.clone(),
            grant: row.id,
            instance: arrival.instance,
            home: arrival.home.clone(),
            machine: MachineNotes::begin(arrival.clock, now),
            freed: String::new(),
        };
        self.connections.insert(id, Box::new(connection));
        id
    }

    /// The sessions that the known but disconnected workers would have if they came back.
    pub(super) fn away(&self) -> impl Iterator<Item = Session> + '_ {
        let is_here = |row: &WorkerRow| self.placement.session_of(&row.name).is_some();
        let away = self.workers.values().filter(move |row| !row.forgotten && !is_here(row));
        away.filter_map(|row| {
            let grant = self.grants.get(row.grant).filter(|grant| grant.revoked.is_none())?;
            Some(self.session(row.last_heard, grant, &row.description))
        })
    }

    /// Makes a session of the worker with this grant and this description of itself.
    fn session(&self, since: Time, row: &GrantRow, description: &Description) -> Session {
        let pools = match row.what.pools.is_empty() {
            true => Box::from([DEFAULT_POOL.to_owned()]),
            false => row.what.pools.iter().cloned().collect(),
        };
        let mut session = Session::new(row.name.clone(), since, self.ahead.steady(since));
        session.platform.clone_from(&description.platform);
        session.total = description.total;
        session.labels = believed(&row.what.labels, description);
        session.pools = pools;
        session.probes = description.probes.clone().into_boxed_slice();
        session.stopped = self.workers.get(&row.name).is_some_and(is_stopped);
        session
    }

    fn stand(&mut self, now: Time, id: SessionId, token: LeaseToken) -> Resumption {
        let Some(renewed) = self.placement.rejoin(self.ahead.steady(now), token, id) else { return Resumption::Stale };
        let job = renewed.owner;
        if self.attempt(job).is_some_and(|attempt| attempt.row.term < renewed.term) {
            self.edit_attempt(job, |row| row.term = renewed.term);
        }
        self.note_renewed(renewed);
        let ending = self.placement.lease(token).and_then(|lease| lease.ending);
        let reason = self.attempt(job).and_then(OpenAttempt::cancelled).map(str::to_owned);
        if let (Some(ending), Some(reason)) = (ending, reason) {
            self.effects.push_back(Effect::Cancel { session: id, token, reason, now: ending.is_urgent });
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
        let is_stopped = self.workers.get(worker).is_some_and(is_stopped);
        let offer = self.placement.hold(self.ahead.steady(now), worker, is_stopped);
        self.make_offer(now, offer);
        Ok(())
    }

    /// Whether an operator may hold, drain and forget this worker.
    pub(super) fn may_steer(&self, now: Time, by: GrantId, worker: &str) -> Result<(), Refusal> {
        let known = self.workers.get(worker).filter(|row| !row.forgotten).ok_or_else(|| no_worker(worker))?;
        may_steer(self.grants.live(now, by)?, worker, self.grants.get(known.grant))
    }

    /// Changes the row of a worker as an operator wants it. Returns the grant of the worker.
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

    /// The labels in force of a worker that is not connected.
    pub(super) fn labels_of(&self, row: &WorkerRow) -> Vec<(String, String)> {
        let granted = self.grants.get(row.grant).map(|grant| grant.what.labels.as_slice()).unwrap_or_default();
        believed(granted, &row.description).to_vec()
    }

    pub(super) fn selector(&self, key: JobKey) -> String {
        let build = &self.builds[&key.build];
        Selector::build(&build.row.project, build.row.number).job(&build.jobs[key.index as usize].row.name).to_string()
    }
}

/// Whether an operator drains or holds the worker.
fn is_stopped(row: &WorkerRow) -> bool {
    row.draining || !row.held.is_empty()
}

/// The labels in force: the platform, the grant's own labels, and labels that the worker claims if the grant says `name=*`.
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
