//! Whether a worker can take work, by what the work asks for and what the worker brings. Pure: nothing here knows who is busy.

use super::ticket::Need;
use schema::values::{Resources, Want};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What the master file says of each pool.
pub type Pools = BTreeMap<String, PoolTerms>;

/// What the master file says of one pool.
#[derive(Clone, Debug, Default)]
pub struct PoolTerms {
    /// What a worker must have besides its grant, as a job's `want`.
    pub wants: Vec<Want>,
    pub lease: Option<Duration>,
}

/// What a worker brings, however busy it is: one that is known, or one that somebody only thinks of.
#[derive(Clone, Copy, Debug)]
pub struct Ability<'a> {
    pub platform: &'a str,
    /// Its size as a whole.
    pub total: &'a Resources,
    /// Its labels in force, each name once.
    pub labels: &'a [(String, String)],
    /// The pools that its grant names.
    pub pools: &'a [String],
}

impl<'a> Ability<'a> {
    /// Whether it could take work with this need when it has room.
    pub fn suits(&self, need: &Need, pools: &Pools) -> bool {
        self.has_platform(need) && self.is_in(&need.pools, pools) && need.want.iter().all(|want| self.has(want))
    }

    pub fn has_platform(&self, need: &Need) -> bool {
        need.on.is_empty() || self.platform == need.on
    }

    /// Whether it is in one of these pools: its grant names the pool, and it has what the pool asks for besides.
    pub fn is_in(&self, pools: &BTreeSet<String>, terms: &Pools) -> bool {
        self.granted(pools).any(|pool| self.missing(pool, terms).is_none())
    }

    pub fn has(&self, want: &Want) -> bool {
        want.matches(self.total, self.labels)
    }

    /// Those of these pools that its grant names.
    pub fn granted(&self, pools: &BTreeSet<String>) -> impl Iterator<Item = &'a String> {
        self.pools.iter().filter(|pool| pools.contains(*pool))
    }

    /// The first thing that this pool asks for and the worker has not got.
    pub fn missing<'t>(&self, pool: &str, terms: &'t Pools) -> Option<&'t Want> {
        let wants = terms.get(pool).map(|terms| terms.wants.as_slice()).unwrap_or_default();
        wants.iter().find(|want| !self.has(want))
    }
}
