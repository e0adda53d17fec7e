//! Who serves a pool, and which projects may use it. Reads only.

use super::Explainer;
use crate::decide::coordinator::snapshot::Session;
use schema::values::Time;
use std::collections::{BTreeMap, BTreeSet};

/// A pool that jobs may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolStatus {
    pub name: String,
    /// The projects whose jobs may run in it.
    pub projects: Vec<String>,
    /// The workers that are known and have a grant for it, each with what the pool asks for besides.
    pub workers: Vec<Member>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub worker: String,
    pub presence: Presence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Connected, and takes jobs when it has room.
    Takes,
    /// Connected, and drained or held.
    Stopped,
    /// Not heard of since then.
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
