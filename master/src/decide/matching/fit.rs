//! Whether a worker can take work, by the needs of the work and the offer of the worker. Pure: nothing here knows who is busy.

use super::ticket::Need;
use super::tier::TierNeed;
use schema::values::{Resources, Tier, TierProbe, Want};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The settings of each pool in the master file.
pub type Pools = BTreeMap<String, PoolTerms>;

/// The settings of one pool in the master file.
#[derive(Clone, Debug, Default)]
pub struct PoolTerms {
    /// The labels that a worker must have besides its grant, in the form of a job's `want`.
    pub wants: Vec<Want>,
    pub lease: Option<Duration>,
    /// The weakest tier of isolation in which the pool's jobs run. `None` means the usual one.
    pub isolation: Option<Tier>,
}

/// The offer of a worker, however busy it is. The worker may be a known one or a hypothetical one.
#[derive(Clone, Copy, Debug)]
pub struct Ability<'a> {
    pub platform: &'a str,
    /// The size of the worker as a whole.
    pub total: &'a Resources,
    /// The labels of the worker in force, each name once.
    pub labels: &'a [(String, String)],
    /// The pools that its grant names.
    pub pools: &'a [String],
    /// The results of its probes of tiers. Empty means that the worker is of an earlier version.
    pub probes: &'a [TierProbe],
}

impl<'a> Ability<'a> {
    /// Whether the worker could take work with this need when it has room.
    pub fn suits(&self, need: &Need, pools: &Pools) -> bool {
        self.has_platform(need) && self.has_tier(need, pools) && need.want.iter().all(|want| self.has(want))
    }

    /// Whether the worker offers a tier in which the work may run, in at least one of its pools.
    pub fn has_tier(&self, need: &Need, pools: &Pools) -> bool {
        self.tiers(need, pools).any(|tier| tier.is_met_by(self.probes))
    }

    /// The tiers that the work needs, one for each of its pools to which this worker belongs.
    pub fn tiers(&self, need: &Need, terms: &Pools) -> impl Iterator<Item = TierNeed> {
        let pools = self.granted(&need.pools).filter(|pool| self.missing(pool, terms).is_none());
        pools.map(|pool| TierNeed::of(need.isolation.as_ref(), terms.get(pool).and_then(|terms| terms.isolation)))
    }

    pub fn has_platform(&self, need: &Need) -> bool {
        need.on.is_empty() || self.platform == need.on
    }

    /// Whether the worker is in one of these pools. Its grant must name the pool, and it must have the labels that the pool asks for.
    pub fn is_in(&self, pools: &BTreeSet<String>, terms: &Pools) -> bool {
        self.granted(pools).any(|pool| self.missing(pool, terms).is_none())
    }

    pub fn has(&self, want: &Want) -> bool {
        want.matches(self.total, self.labels)
    }

    /// The pools among these that the worker's grant names.
    pub fn granted(&self, pools: &BTreeSet<String>) -> impl Iterator<Item = &'a String> {
        self.pools.iter().filter(|pool| pools.contains(*pool))
    }

    /// The first label that this pool asks for and the worker does not have.
    pub fn missing<'t>(&self, pool: &str, terms: &'t Pools) -> Option<&'t Want> {
        let wants = terms.get(pool).map(|terms| terms.wants.as_slice()).unwrap_or_default();
        wants.iter().find(|want| !self.has(want))
    }
}
