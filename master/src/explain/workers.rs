//! The workers as people see them.

use super::Explainer;
use super::lack::{Lack, lacks};
use crate::decide::coordinator::record::{GrantId, WorkerRow};
use crate::decide::coordinator::snapshot::{LeaseState, Need};
use schema::values::{Description, JobPlan, Time};
use std::time::Duration;

/// A worker as people see it.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerStatus {
    pub name: String,
    pub grant: GrantId,
    pub connected: bool,
    pub description: Description,
    pub pools: Vec<String>,
    /// The labels in force, whatever the worker claims.
    pub labels: Vec<(String, String)>,
    /// The jobs that it runs, as selectors.
    pub running: Vec<String>,
    pub draining: bool,
    pub held: String,
    pub last_heard: Time,
    /// Why its grant was revoked; empty means that it is in force.
    pub revoked: String,
    /// Why the ends of its leases decide when its jobs are placed again; empty means that it holds them.
    pub waits: String,
}

/// The machine of a connected worker, as far as somebody may have to see to it.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineStatus {
    pub worker: String,
    /// How far its clock is ahead of the master's, and how far behind it. Zero: it is about right.
    pub ahead: Duration,
    pub behind: Duration,
    /// Why it holds no step to its limits. `None` means that it does, or it is of an earlier version.
    pub unbounded: Option<String>,
    /// What the worker says of it.
    pub troubles: Vec<String>,
}

impl Explainer<'_> {
    /// The machines of all connected workers.
    pub fn machines(&self) -> Vec<MachineStatus> {
        let of = |row: &WorkerRow| {
            let machine = self.it.machine_of(&row.name)?;
            let (ahead, behind) = machine.clock.off();
            let unbounded = row.description.bounds.as_ref().and_then(|bounds| bounds.lack.clone());
            let troubles = machine.troubles.clone();
            Some(MachineStatus { worker: row.name.clone(), ahead, behind, unbounded, troubles })
        };
        self.it.worker_rows().filter_map(of).collect()
    }

    /// All workers that are known, by their names.
    pub fn workers(&self) -> Vec<WorkerStatus> {
        self.it.worker_rows().map(|row| self.worker_status(row)).collect()
    }

    /// The connected workers that get no job for which nobody names a tier, each with what it lacks. Older ones get those.
    pub fn without_usual_tier(&self) -> Vec<(String, String)> {
        let here = self.it.known().filter(|(_, is_here)| *is_here);
        let lacking = here.filter_map(|(session, _)| {
            let need = Need::of(&JobPlan::default(), session.pools.iter().cloned().collect());
            let lacks = lacks(session.ability(), &need, self.it.pools());
            let lack = lacks.iter().find(|lack| matches!(lack, Lack::Tier { .. }))?;
            Some((session.worker.clone(), lack.to_string()))
        });
        lacking.collect()
    }

    fn revoked(&self, grant: GrantId) -> String {
        match self.it.grant(grant).filter(|grant| grant.revoked.is_some()) {
            Some(grant) if grant.reason.is_empty() => "no reason was given".to_owned(),
            Some(grant) => grant.reason.clone(),
            None => String::new(),
        }
    }

    fn worker_status(&self, row: &WorkerRow) -> WorkerStatus {
        let session = self.it.session_of(&row.name);
        let begun = self.it.leases_of(&row.name).filter(|lease| lease.state != LeaseState::Offered);
        WorkerStatus {
            name: row.name.clone(),
            grant: row.grant,
            connected: session.is_some(),
            description: row.description.clone(),
            pools: session.map(|session| session.pools.to_vec()).unwrap_or_default(),
            labels: session.map_or_else(|| self.it.labels_of(row), |session| session.labels.to_vec()),
            running: begun.map(|lease| self.it.selector(lease.job)).collect(),
            draining: row.draining || session.is_some_and(|session| session.draining),
            held: row.held.clone(),
            last_heard: session.map_or(row.last_heard, |session| session.since.max(row.last_heard)),
            waits: self.waits_of(&row.name),
            revoked: self.revoked(row.grant),
        }
    }
}
