//! The workers and their machines, as people see them.

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
    /// The selectors of the jobs that the worker runs.
    pub running: Vec<String>,
    pub draining: bool,
    pub held: String,
    pub last_heard: Time,
    /// Why the worker's grant was revoked. Empty means that the grant is in force.
    pub revoked: String,
    /// Why its jobs may wait until their leases end. Empty means that the worker holds its leases.
    pub waits: String,
}

/// The facts about the machine of a connected worker that somebody may have to act on.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineStatus {
    pub worker: String,
    /// How far its clock is ahead of the master's clock. Zero means that the clock is about right or behind.
    pub ahead: Duration,
    /// How far its clock is behind the master's clock. Zero means that the clock is about right or ahead.
    pub behind: Duration,
    /// Why the worker cannot hold a step to its limits. `None` means that it can, or that it is of an earlier version.
    pub unbounded: Option<String>,
    /// The troubles that the worker reports about its machine.
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

    /// All known workers, in the order of their names.
    pub fn workers(&self) -> Vec<WorkerStatus> {
        self.it.worker_rows().map(|row| self.worker_status(row)).collect()
    }

    /// The connected workers that get no job for which nobody names a tier, each with what it lacks. Workers of earlier versions do get
    /// them.
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
