//! The workers of each pool, and the projects that may use it.

use super::Explainer;
use crate::decide::coordinator::snapshot::Session;
use schema::values::Time;
use std::collections::{BTreeMap, BTreeSet};

/// A pool that jobs may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolStatus {
    pub name: String,
    /// The projects whose jobs may run in the pool.
    pub projects: Vec<String>,
    /// The known workers in the pool: their grants name it, and they have the labels that it asks for besides.
    pub workers: Vec<Member>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub worker: String,
    pub presence: Presence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The worker is connected, and takes jobs when it has room.
    Takes,
    /// The worker is connected, and drained or held.
    Stopped,
    /// The worker is not connected, and was last heard of at this time.
    Away(Time),
}

impl Explainer<'_> {
    /// The pools of all projects, by name.
    pub fn pools(&self) -> Vec<PoolStatus> {
        let mut projects: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for project in self.it.projects() {
            for pool in self.it.pools_of(project) {
                projects.entry(pool).or_default().push(project.to_owned());
            }
        }
        let pools = projects.into_iter();
        pools.map(|(name, projects)| PoolStatus { workers: self.members(&name), name, projects }).collect()
    }

    fn members(&self, pool: &str) -> Vec<Member> {
        let pool = BTreeSet::from([pool.to_owned()]);
        let here = self.it.known().filter(|(session, _)| session.ability().is_in(&pool, self.it.pools()));
        let mut members: Vec<Member> = here
            .map(|(session, is_here)| Member {
                presence: self.presence(&session, is_here),
                worker: session.worker.clone(),
            })
            .collect();
        members.sort_by(|a, b| a.worker.cmp(&b.worker));
        members
    }

    fn presence(&self, session: &Session, is_here: bool) -> Presence {
        match (is_here, session.takes_work()) {
            (false, _) => Presence::Away(session.since),
            (true, true) => Presence::Takes,
            (true, false) => Presence::Stopped,
        }
    }
}
