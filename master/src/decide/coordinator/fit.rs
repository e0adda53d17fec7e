//! Whether a worker can take a job, by what the job asks for and what the worker brings. Pure: nothing here knows who is busy.

use super::model::{PoolTerms, Session};
use super::queue::Need;
use schema::values::{Resources, Want};
use std::collections::{BTreeMap, BTreeSet};

/// What the master file says of each pool.
pub(crate) type Pools = BTreeMap<String, PoolTerms>;

/// What a worker brings, however busy it is: one that is known, or one that somebody only thinks of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ability<'a> {
    pub platform: &'a str,
    /// Its size as a whole.
    pub total: &'a Resources,
    /// Its labels in force, each name once.
    pub labels: &'a [(String, String)],
    /// The pools that its grant names.
    pub pools: &'a [String],
}

impl<'a> Ability<'a> {
    /// Whether it could take jobs of this class when it has room.
    pub(crate) fn suits(&self, need: &Need, pools: &Pools) -> bool {
        self.has_platform(need) && self.is_in(&need.pools, pools) && need.want.iter().all(|want| self.has(want))
    }

    pub(crate) fn has_platform(&self, need: &Need) -> bool {
        need.on.is_empty() || self.platform == need.on
    }

    /// Whether it is in one of these pools: its grant names the pool, and it has what the pool asks for besides.
    pub(crate) fn is_in(&self, pools: &BTreeSet<String>, terms: &Pools) -> bool {
        self.granted(pools).any(|pool| self.missing(pool, terms).is_none())
    }

    pub(crate) fn has(&self, want: &Want) -> bool {
        want.matches(self.total, self.labels)
    }

    /// Those of these pools that its grant names.
    pub(crate) fn granted(&self, pools: &BTreeSet<String>) -> impl Iterator<Item = &'a String> {
        self.pools.iter().filter(|pool| pools.contains(*pool))
    }

    /// The first thing that this pool asks for and the worker has not got.
    pub(crate) fn missing<'t>(&self, pool: &str, terms: &'t Pools) -> Option<&'t Want> {
        let wants = terms.get(pool).map(|terms| terms.wants.as_slice()).unwrap_or_default();
        wants.iter().find(|want| !self.has(want))
    }
}

impl Session {
    pub(crate) fn ability(&self) -> Ability<'_> {
        let Session { description, labels, pools, .. } = self;
        Ability { platform: &description.platform, total: &description.total, labels, pools }
    }
}

/// Whether this worker could take jobs of this class when it has room.
pub(super) fn is_able(session: &Session, need: &Need, pools: &Pools) -> bool {
    session.ability().suits(need, pools)
}
