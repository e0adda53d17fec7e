//! The figures of the whole master, for monitoring. They are known facts, so taking them calls no peer.

use super::gateway_access::GatewayAccess;
pub use super::viewer_access::MeasuredRepository;
use crate::commit::meter::Counted;
use crate::decide::coordinator::Counts;
use crate::explain::{Explainer, QueueStatus, WorkerStatus};
use schema::values::Time;
use std::collections::BTreeMap;

/// The reasons that no worker can take a job, so that waiting alone does not help. `perspective.capnp` lists the words.
const UNPLACEABLE: [&str; 6] = ["pool", "platform", "label", "tier", "room", "together"];

/// `Measured` holds the figures of one moment.
pub struct Measured {
    pub now: Time,
    pub counts: Counts,
    /// Whether the master can record nothing new, because the disk is full.
    pub is_full: bool,
    /// Whether the newest write of some log failed.
    pub logs_fail: bool,
    pub counted: Counted,
    /// The time since which the oldest queued job waits; `None` means that the queue is empty.
    pub oldest_queued: Option<Time>,
    /// The number of queued jobs that no worker can take.
    pub unplaceable: u64,
    /// The number of workers by their state, which is a word.
    pub workers: BTreeMap<&'static str, u64>,
    /// The slots of connected workers, and the slots in use.
    pub slots: (u64, u64),
    /// The slots of connected workers, and the slots in use, by pool. A worker in two pools counts in both.
    pub slots_by_pool: BTreeMap<String, (u64, u64)>,
    pub repositories: Vec<MeasuredRepository>,
    /// The number of reporters that cannot deliver notices now.
    pub notices_failing: u64,
    /// The number of reporters that gave up a notice lately.
    pub notices_given_up: u64,
    /// The state directory, whose disk is measured on another thread.
    pub state: std::path::PathBuf,
    pub log_bytes: Option<u64>,
    pub blob_bytes: Option<u64>,
    /// The limit for the bytes of stored files.
    pub blob_quota: u64,
}

impl Measured {
    pub(super) async fn of(access: &GatewayAccess) -> Measured {
        let (config_facts, readers) = (access.config_facts(), access.own_history());
        let (log_bytes, blob_bytes) = (readers.log_bytes().await.ok(), readers.blob_bytes().await.ok());
        let driver = access.driver();
        driver.peek(|it, now| {
            let (queue, workers) = (Explainer::new(it, now).queue(), Explainer::new(it, now).workers());
            Measured {
                now,
                counts: it.counts(),
                is_full: driver.is_full(),
                logs_fail: !access.can_write_logs(),
                counted: driver.meter().counted(),
                oldest_queued: queue.iter().map(|queued| queued.since).min(),
                unplaceable: number(queue.iter().filter(|queued| is_unplaceable(queued)).count()),
                workers: by_state(&workers),
                slots: slots_of(workers.iter().filter(|worker| worker.connected)),
                slots_by_pool: by_pool(&workers),
                repositories: access.measured_repositories(),
                notices_failing: number(config_facts.reporters().filter(|health| health.trouble().is_some()).count()),
                notices_given_up: number(
                    config_facts.reporters().filter(|health| health.given_up(now).is_some()).count(),
                ),
                state: config_facts.state().to_owned(),
                log_bytes,
                blob_bytes,
                blob_quota: access.blob_quota(),
            }
        })
    }
}

fn is_unplaceable(queued: &QueueStatus) -> bool {
    UNPLACEABLE.contains(&queued.why.kind())
}

fn by_state(workers: &[WorkerStatus]) -> BTreeMap<&'static str, u64> {
    let mut counts: BTreeMap<&str, u64> =
        ["connected", "held", "draining", "lost", "revoked"].map(|state| (state, 0)).into();
    for worker in workers {
        let state = match (worker.revoked.is_empty(), worker.connected, worker.held.is_empty(), worker.draining) {
            (false, _, _, _) => "revoked",
            (true, false, _, _) => "lost",
            (true, true, false, _) => "held",
            (true, true, true, true) => "draining",
            (true, true, true, false) => "connected",
        };
        *counts.entry(state).or_default() += 1;
    }
    counts
}

fn by_pool(workers: &[WorkerStatus]) -> BTreeMap<String, (u64, u64)> {
    let mut pools: BTreeMap<String, Vec<&WorkerStatus>> = BTreeMap::new();
    for worker in workers.iter().filter(|worker| worker.connected) {
        worker.pools.iter().for_each(|pool| pools.entry(pool.clone()).or_default().push(worker));
    }
    pools.into_iter().map(|(pool, workers)| (pool, slots_of(workers.into_iter()))).collect()
}

fn slots_of<'a>(workers: impl Iterator<Item = &'a WorkerStatus>) -> (u64, u64) {
    workers.fold((0, 0), |(slots, used), worker| {
        (slots + u64::from(worker.description.total.slots), used + number(worker.running.len()))
    })
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
