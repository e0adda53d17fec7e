//! The things that a worker lacks to take a job, however busy it is.

use super::words::{listed, room};
use crate::decide::coordinator::snapshot::{Ability, Need, Pools};
use schema::values::{Resources, TierName, TierProbe, Want};
use std::collections::BTreeSet;
use std::fmt;

/// A thing that a worker lacks to take a job. The graver kinds come first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lack {
    /// The worker's grant names none of these pools, which the job may use.
    Pool(BTreeSet<String>),
    /// The worker's grant names this pool, but the pool also asks for this label, which the worker does not have.
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
    /// The worker as a whole is smaller than this room, for which the job asks.
    Room(Resources),
}

/// Returns everything that this worker lacks for work with this need. Empty means that it could take the work.
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

/// Returns a pool that the worker and the job share, and the label that the worker lacks for it. If there is none, returns the pools that
/// the job may use.
fn lack_of_pool(ability: Ability<'_>, need: &Need, pools: &Pools) -> Lack {
    let missed = ability.granted(&need.pools).find_map(|pool| Some((pool, ability.missing(pool, pools)?)));
    match missed {
        Some((pool, want)) => Lack::Match { pool: pool.clone(), want: want.clone() },
        None => Lack::Pool(need.pools.clone()),
    }
}

/// The tier that the worker lacks. `None` means that it offers the tier, or that it is in no pool of the job.
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
