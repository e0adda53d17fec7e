//! What a worker lacks to take a job, however busy it is.

use super::words::{listed, room};
use crate::decide::coordinator::snapshot::{Ability, Need, Pools};
use schema::values::{Resources, TierName, TierProbe, Want};
use std::collections::BTreeSet;
use std::fmt;

/// One thing that a worker lacks, the weightiest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lack {
    /// The worker's grant names none of the pools.
    Pool(BTreeSet<String>),
    /// The worker's grant names this pool, which asks for more than that.
    Match {
        pool: String,
        want: Want,
    },
    Platform(String),
    Want(Want),
    /// The worker does not offer this tier of isolation, or a stronger one, for this reason.
    Tier {
        tier: TierName,
        why: String,
    },
    /// The worker is too small as a whole.
    Room(Resources),
}

/// What is between this worker and such a job; empty means that it could take it.
pub(super) fn lacks(ability: Ability<'_>, need: &Need, pools: &Pools) -> Vec<Lack> {
    let mut lacks = Vec::new();
    if !ability.is_in(&need.pools, pools) {
        lacks.push(lack_of_pool(ability, need, pools));
    }
    if !ability.has_platform(need) {
        lacks.push(Lack::Platform(need.on.clone()));
    }
    lacks.extend(need.want.iter().filter(|want| !ability.has(want)).cloned().map(Lack::Want));
    lacks.extend(lack_of_tier(ability, need, pools));
    if !ability.total.holds(&need.room) {
        lacks.push(Lack::Room(need.room));
    }
    lacks
}

/// A pool of both that asks for too much, else the pools that the job may use.
fn lack_of_pool(ability: Ability<'_>, need: &Need, pools: &Pools) -> Lack {
    let missed = ability.granted(&need.pools).find_map(|pool| Some((pool, ability.missing(pool, pools)?)));
    match missed {
        Some((pool, want)) => Lack::Match { pool: pool.clone(), want: want.clone() },
        None => Lack::Pool(need.pools.clone()),
    }
}

/// `None` means that it offers the tier, or it is in no pool that would name one.
fn lack_of_tier(ability: Ability<'_>, need: &Need, pools: &Pools) -> Option<Lack> {
    let needed = ability.tiers(need, pools).next().filter(|_| !ability.has_tier(need, pools))?;
    let tier = needed.tier();
    let why = why_not(&tier, ability.probes);
    Some(Lack::Tier { tier, why })
}

/// Why a worker with these probes does not offer this tier.
fn why_not(tier: &TierName, probes: &[TierProbe]) -> String {
    let found = probes.iter().find(|probe| probe.tier == *tier).and_then(|probe| probe.lack.clone());
    found.unwrap_or_else(|| match probes {
        [] => "its version is too old to report which tiers of isolation work on it: upgrade it".to_owned(),
        [..] => "it does not know it".to_owned(),
    })
}

impl fmt::Display for Lack {
    /// Writes the lack as the object of "lacks".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lack::Pool(pools) => write!(f, "pool {}", listed(pools)),
            Lack::Match { pool, want } => write!(f, "`{}`, which pool {pool} asks for", want.text()),
            Lack::Platform(on) => write!(f, "platform {on}"),
            Lack::Want(want) => write!(f, "`{}`", want.text()),
            Lack::Tier { tier, why } => write!(f, "isolation `{tier}` ({why})"),
            Lack::Room(asked) => f.write_str(&room(asked)),
        }
    }
}
