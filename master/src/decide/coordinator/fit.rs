//! Whether a worker can take a job, by what the job asks for and what the worker brings. Pure: nothing here knows who is busy.

use super::model::{PoolTerms, Session};
use super::queue::Need;
use super::tier::TierNeed;
use schema::values::{Resources, TierName, TierProbe, Want};
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
    /// The results of its probes of tiers. Empty: it is of an earlier version.
    pub probes: &'a [TierProbe],
}

impl<'a> Ability<'a> {
    /// Whether it could take jobs of this class when it has room.
    pub(crate) fn suits(&self, need: &Need, pools: &Pools) -> bool {
        self.has_platform(need) && self.has_tier(need, pools) && need.want.iter().all(|want| self.has(want))
    }

    /// Whether one of the job's pools in which it is has the job run in a tier that it offers.
    pub(crate) fn has_tier(&self, need: &Need, pools: &Pools) -> bool {
        self.tiers(need, pools).any(|tier| tier.is_met_by(self.probes))
    }

    /// The tiers that the job needs in its pools in which it is, by their names. None: it is in none of them.
    pub(crate) fn tiers(&self, need: &Need, terms: &Pools) -> impl Iterator<Item = TierNeed> {
        let pools = self.granted(&need.pools).filter(|pool| self.missing(pool, terms).is_none());
        pools.map(|pool| TierNeed::of(need.isolation.as_ref(), terms.get(pool).and_then(|terms| terms.isolation)))
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
        let (platform, total, probes) = (&description.platform, &description.total, &description.probes);
        Ability { platform, total, labels, pools, probes }
    }

    /// The tier in which this worker runs such a job. None: it is of an earlier version and does not say.
    pub(super) fn tier_in_force(&self, need: &Need, pools: &Pools) -> Option<TierName> {
        let ability = self.ability();
        let tier = ability.tiers(need, pools).find(|tier| tier.is_met_by(ability.probes))?;
        tier.in_force(&self.description)
    }
}

/// Whether this worker could take jobs of this class when it has room.
pub(super) fn is_able(session: &Session, need: &Need, pools: &Pools) -> bool {
    session.ability().suits(need, pools)
}
