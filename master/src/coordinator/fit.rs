//! How a worker fits what a job needs, and what it lacks. Pure: nothing here knows who is busy.

use super::model::{PoolTerms, Session};
use super::queue::Need;
use schema::values::Resources;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub(super) type Pools = BTreeMap<String, PoolTerms>;

/// What a worker lacks to take a job, the weightiest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lack {
    /// Its grant names none of the pools.
    Pool(BTreeSet<String>),
    /// Its grant names this pool, which asks for more than that.
    Match {
        pool: String,
        want: String,
    },
    Platform(String),
    Want(String),
    /// It is too small as a whole.
    Room(Resources),
}

/// Whether this worker could take jobs of this class when it has room.
pub(super) fn is_able(session: &Session, need: &Need, pools: &Pools) -> bool {
    has_platform(session, need)
        && in_pools(session, &need.pools, pools)
        && need.want.iter().all(|want| has(session, want))
}

/// What is between this worker and such a job, however busy it is; empty: it could take it.
pub(super) fn lacks(session: &Session, need: &Need, pools: &Pools) -> Vec<Lack> {
    let mut lacks = Vec::new();
    if !in_pools(session, &need.pools, pools) {
        lacks.push(lack_of_pool(session, need, pools));
    }
    if !has_platform(session, need) {
        lacks.push(Lack::Platform(need.on.clone()));
    }
    lacks.extend(need.want.iter().filter(|want| !has(session, want)).cloned().map(Lack::Want));
    if !session.description.total.holds(&need.room) {
        lacks.push(Lack::Room(need.room));
    }
    lacks
}

pub(super) fn has_platform(session: &Session, need: &Need) -> bool {
    need.on.is_empty() || session.description.platform == need.on
}

pub(super) fn in_pools(session: &Session, pools: &BTreeSet<String>, terms: &Pools) -> bool {
    let mut shared = session.pools.iter().filter(|pool| pools.contains(*pool));
    shared.any(|pool| missing(session, pool, terms).is_none())
}

/// Whether a worker has what a `want` asks for: `name`, `name=value`, `memory>=4GiB`, `cpus>=2`.
pub(super) fn has(session: &Session, want: &str) -> bool {
    if want.contains(">=") {
        return least(want).is_some_and(|least| session.description.total.holds(&least));
    }
    match want.split_once('=') {
        Some((name, value)) => session.label(name.trim()).is_some_and(|has| has == value.trim()),
        None => session.label(want.trim()).is_some(),
    }
}

/// The room that `memory>=4GiB` or `cpus>=2` asks for; nothing else can be compared.
pub(super) fn least(want: &str) -> Option<Resources> {
    let (name, least) = want.split_once(">=")?;
    match name.trim() {
        "memory" => Some(Resources { memory: bytes(least)?, ..Resources::default() }),
        "cpus" => {
            let cores = least.trim().parse::<f64>().ok().filter(|cores| *cores >= 0.0)?;
            // a worker's cores are whole thousandths: what lies between two of them is the upper one
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; saturates")]
            Some(Resources { cpus_milli: (cores * 1000.0).ceil() as u32, ..Resources::default() })
        }
        _ => None,
    }
}

/// A pool of both that asks for too much, else the pools that the job may use.
fn lack_of_pool(session: &Session, need: &Need, terms: &Pools) -> Lack {
    let mut shared = session.pools.iter().filter(|pool| need.pools.contains(*pool));
    let missed = shared.find_map(|pool| Some((pool, missing(session, pool, terms)?)));
    match missed {
        Some((pool, want)) => Lack::Match { pool: pool.clone(), want: want.to_owned() },
        None => Lack::Pool(need.pools.clone()),
    }
}

/// What this pool asks for that the worker has not got.
fn missing<'t>(session: &Session, pool: &str, terms: &'t Pools) -> Option<&'t str> {
    let wants = terms.get(pool).map(|terms| terms.wants.as_slice()).unwrap_or_default();
    wants.iter().find(|want| !has(session, want)).map(String::as_str)
}

/// "4GiB", "512MiB", "100" in bytes.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match &text[digits..] {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(unit)
}

/// "4 cpus and 512 MiB".
pub(super) fn room(room: &Resources) -> String {
    let cpus = f64::from(room.cpus_milli) / 1000.0;
    let memory = room.memory >> 20;
    match (room.cpus_milli, memory) {
        (0, 0) => "a slot".to_owned(),
        (_, 0) => format!("{cpus} cpus"),
        (0, _) => format!("{memory} MiB of memory"),
        (_, _) => format!("{cpus} cpus and {memory} MiB of memory"),
    }
}

pub(super) fn listed<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().map(|name| name.as_ref().to_owned()).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Lack {
    /// As what a worker "lacks".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lack::Pool(pools) => write!(f, "pool {}", listed(pools)),
            Lack::Match { pool, want } => write!(f, "`{want}`, which pool {pool} asks for"),
            Lack::Platform(on) => write!(f, "platform {on}"),
            Lack::Want(want) => write!(f, "`{want}`"),
            Lack::Room(asked) => f.write_str(&room(asked)),
        }
    }
}
