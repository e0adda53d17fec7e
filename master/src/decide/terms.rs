//! The settings of the master file on which decisions depend.

use super::placement::PoolTerms;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// `Terms` are the settings of the master file under which the coordinator works.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The length of a lease, if its pool does not set another.
    pub lease: Duration,
    /// How long an offer waits to be accepted before it goes back.
    pub offer: Duration,
    /// How long a cancelled attempt may take to end before it is fenced. The time of its job's `always` steps is added to this.
    pub cancel: Duration,
    /// The longest that any job may take.
    pub job_timeout: Duration,
    /// The limit for the size of one log, in bytes.
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
    /// The pools in which the project's jobs may run; empty means the default pool.
    pub pools: BTreeSet<String>,
}
