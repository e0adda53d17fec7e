//! What the master file says, as far as decisions depend on it.

use super::placement::PoolTerms;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The terms of the master file, under which the coordinator works.
#[derive(Clone, Debug)]
pub struct Terms {
    /// A lease's length where the pool says nothing.
    pub lease: Duration,
    /// An offer that is not accepted for so long goes back.
    pub offer: Duration,
    /// A cancelled attempt that did not end for so long is fenced; later by the time of its job's `always` steps.
    pub cancel: Duration,
    /// The longest that any job may take.
    pub job_timeout: Duration,
    /// The most of one log, in bytes.
    pub log_bytes: u64,
    pub projects: BTreeMap<String, ProjectTerms>,
    pub pools: BTreeMap<String, PoolTerms>,
}

impl Terms {
    pub(in crate::decide) fn longest_lease(&self) -> Duration {
        self.pools.values().filter_map(|pool| pool.lease).fold(self.lease, Duration::max)
    }
}

impl Default for Terms {
    fn default() -> Terms {
        Terms {
            lease: Duration::from_secs(600),
            offer: Duration::from_secs(10),
            cancel: Duration::from_secs(30),
            job_timeout: Duration::from_secs(2 * 3600),
            log_bytes: 256 << 20,
            projects: BTreeMap::new(),
            pools: BTreeMap::new(),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct ProjectTerms {
    /// Where its jobs may run; empty: the default pool.
    pub pools: BTreeSet<String>,
}
