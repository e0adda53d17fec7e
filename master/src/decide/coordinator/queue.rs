//! Who waits for whom: jobs for a worker, workers for a job. Jobs with equal needs share a class, and
//! what a worker can take is decided per class, so that a decision costs O(log n) in jobs and workers.

use super::model::SessionId;
use super::record::JobKey;
use schema::values::{JobPlan, Resources, TierName, Want};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// What a worker must offer; equal for all jobs of a class.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Need {
    pub on: String,
    pub want: BTreeSet<Want>,
    pub pools: BTreeSet<String>,
    pub room: Resources,
    /// The tier of isolation that the pipeline names. None: it names none. The pool may ask for more.
    pub isolation: Option<TierName>,
}

impl Need {
    pub(crate) fn of(job: &JobPlan, pools: &BTreeSet<String>) -> Need {
        Need {
            on: job.on.clone(),
            want: job.want.iter().map(|want| Want::read(want)).collect(),
            pools: pools.clone(),
            room: job.room(),
            isolation: job.isolation.clone(),
        }
    }
}

/// Empty classes are kept up to this number, since asking every session anew costs O(workers).
const CLASSES_KEPT: usize = 256;

/// Higher priority first, then who came first.
pub(crate) type Rank = (Reverse<i32>, u64, JobKey);

#[derive(Debug, Default)]
struct Class {
    jobs: BTreeSet<Rank>,
    /// Sessions that could take these jobs, waiting or not.
    able: BTreeSet<SessionId>,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    classes: BTreeMap<Need, Class>,
    places: BTreeMap<JobKey, (Need, Rank)>,
    arrivals: u64,
}

impl Queue {
    /// Enters a job. `able` says which of all sessions could take it; asked only where its class is new.
    pub(super) fn enter(
        &mut self,
        job: JobKey,
        need: Need,
        priority: i32,
        able: impl FnOnce(&Need) -> BTreeSet<SessionId>,
    ) {
        self.arrivals += 1;
        let rank = (Reverse(priority), self.arrivals, job);
        let class =
            self.classes.entry(need.clone()).or_insert_with(|| Class { jobs: BTreeSet::new(), able: able(&need) });
        class.jobs.insert(rank);
        let before = self.places.insert(job, (need, rank));
        assert!(before.is_none(), "{job:?} is in the queue already");
    }

    /// Takes a job out; false if it was not in.
    pub(super) fn leave(&mut self, job: JobKey) -> bool {
        let Some((need, rank)) = self.places.remove(&job) else {
            return false;
        };
        if let Some(class) = self.classes.get_mut(&need) {
            class.jobs.remove(&rank);
            if class.jobs.is_empty() && self.classes.len() > CLASSES_KEPT {
                self.classes.remove(&need);
            }
        }
        true
    }

    /// A session came: notes which classes it could take.
    pub(super) fn meet(&mut self, session: SessionId, able: impl Fn(&Need) -> bool) {
        for (need, class) in &mut self.classes {
            if able(need) {
                class.able.insert(session);
            }
        }
    }

    pub(super) fn part(&mut self, session: SessionId) {
        for class in self.classes.values_mut() {
            class.able.remove(&session);
        }
    }

    /// The first job for this session that fits into `free` and `may` go there.
    pub(super) fn first_for(
        &self,
        session: SessionId,
        free: &Resources,
        may: impl Fn(JobKey) -> bool,
    ) -> Option<JobKey> {
        self.classes
            .iter()
            .filter(|(need, class)| free.holds(&need.room) && class.able.contains(&session))
            .filter_map(|(_, class)| class.jobs.iter().find(|rank| may(rank.2)))
            .min()
            .map(|rank| rank.2)
    }

    /// The sessions that could take this waiting job.
    pub(super) fn able(&self, job: JobKey) -> impl Iterator<Item = SessionId> + '_ {
        self.class(job).into_iter().flat_map(|class| class.able.iter().copied())
    }

    fn class(&self, job: JobKey) -> Option<&Class> {
        self.places.get(&job).and_then(|(need, _)| self.classes.get(need))
    }

    pub(super) fn able_count(&self, job: JobKey) -> usize {
        self.class(job).map_or(0, |class| class.able.len())
    }

    pub(super) fn is_able(&self, job: JobKey, session: SessionId) -> bool {
        self.class(job).is_some_and(|class| class.able.contains(&session))
    }

    /// Whether a job waits that some session could take, had it room.
    pub(super) fn is_wanted(&self) -> bool {
        self.classes.values().any(|class| !class.jobs.is_empty() && !class.able.is_empty())
    }

    pub(super) fn need(&self, job: JobKey) -> Option<&Need> {
        self.places.get(&job).map(|(need, _)| need)
    }

    pub(super) fn contains(&self, job: JobKey) -> bool {
        self.places.contains_key(&job)
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Waiting jobs in the order in which they would be placed.
    pub(super) fn in_order(&self, limit: usize) -> Vec<JobKey> {
        let ranks: BTreeSet<Rank> =
            self.classes.values().flat_map(|class| class.jobs.iter().take(limit)).copied().collect();
        ranks.into_iter().take(limit).map(|rank| rank.2).collect()
    }

    /// Where a job stands, or would stand if it came now.
    pub(super) fn rank(&self, job: JobKey, priority: i32) -> Rank {
        self.places.get(&job).map_or((Reverse(priority), u64::MAX, job), |(_, rank)| *rank)
    }

    /// What goes before this rank, of all needs that `could` be met, in order; the first `limit`.
    pub(super) fn before(&self, rank: Rank, could: impl Fn(&Need) -> bool, limit: usize) -> Vec<&Need> {
        let classes = self.classes.iter().filter(|(need, class)| !class.jobs.is_empty() && could(need));
        let ahead = classes.flat_map(|(need, class)| class.jobs.range(..rank).take(limit).map(move |at| (*at, need)));
        let mut ahead: Vec<(Rank, &Need)> = ahead.collect();
        ahead.sort_unstable_by_key(|(at, _)| *at);
        ahead.into_iter().take(limit).map(|(_, need)| need).collect()
    }

    pub(super) fn check(&self) {
        let in_classes: usize = self.classes.values().map(|class| class.jobs.len()).sum();
        assert_eq!(in_classes, self.places.len(), "the queue's two views differ");
        for (job, (need, rank)) in &self.places {
            assert!(
                self.classes.get(need).is_some_and(|class| class.jobs.contains(rank)),
                "{job:?} has a place but no class"
            );
        }
    }
}
