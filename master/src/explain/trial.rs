//! Finds the remedies that would get a waiting job placed. Each is tried against the known state: which worker has how much room, what
//! runs there, and which jobs go first. A remedy is left out if a job ahead in the queue would take its room.

use super::candidate::WorkerFit;
use super::{Availability, Explainer, MissingWorker, Remedy, RemedyStep};
use crate::decide::coordinator::record::{BuildId, JobKey};
use crate::decide::coordinator::snapshot::{
    Ability, Class, LeaseState, LeaseView, Need, Pools, Rank, Session, TierNeed,
};
use schema::values::{Asks, Resources, State, Tier, TierProbe};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// The most jobs ahead that are counted. If there are more, there is no remedy, because each trial looks at all of them.
const AHEAD_MAX: usize = 1_000;
/// The most workers with which remedies are tried. They are the nearest ones, as many as an explanation names.
pub(super) const WORKERS_TRIED: usize = 20;
/// The most remedies that are shown besides a new worker, because nobody reads more.
const REMEDIES_MAX: usize = 4;
/// The most steps of a remedy, because nobody does more of them by hand.
const STEPS_MAX: usize = 50;
/// The most needed jobs for which a worker is looked for. If there are more, there is no remedy, because each of them costs a look at all
/// workers.
const NEEDS_MAX: usize = 20;

/// The rank behind all jobs of the queue.
const LAST: Rank<JobKey> = Rank {
    class: Class::Idle,
    priority: Reverse(i32::MIN),
    arrival: u64::MAX,
    owner: JobKey { build: BuildId(u64::MAX), index: u32::MAX },
};

/// A job that waits, and its present or future place in the queue.
pub(super) struct QueuePosition<'a> {
    pub(super) key: JobKey,
    need: &'a Need,
    pub(super) rank: Rank<JobKey>,
    priority: i32,
    /// The jobs that it needs and that are not finished. Empty means that the job is queued.
    open: BTreeSet<JobKey>,
    /// The jobs that end before this job is queued.
    ended: BTreeSet<JobKey>,
    /// The number of steps of the remedy that come before this job is queued.
    steps: usize,
}

impl Explainer<'_> {
    pub(super) fn position<'n>(&self, key: JobKey, need: &'n Need) -> QueuePosition<'n> {
        let (priority, rank) = (self.it.plan(key).priority, self.it.rank(key));
        let open = if self.it.queued(key).is_some() { BTreeSet::new() } else { self.open_keys(key) };
        QueuePosition { key, need, rank, priority, open, ended: BTreeSet::new(), steps: 0 }
    }

    /// The number of queued jobs that precede this one and compete with it for the same workers.
    pub(super) fn ahead(&self, mine: &QueuePosition<'_>, seen: &[WorkerFit<'_>]) -> usize {
        let could: Vec<&Session> =
            seen.iter().take(WORKERS_TRIED).filter(|seen| seen.lacks.is_empty()).map(|seen| &*seen.session).collect();
        let could = |need: &Need| could.iter().any(|session| self.suits(session, need));
        self.it.before(mine.rank, could, AHEAD_MAX).len()
    }

    /// The remedies for a job that is queued.
    pub(super) fn remedies(&self, mine: &QueuePosition<'_>, seen: &[WorkerFit<'_>]) -> Vec<Remedy> {
        let mut found = self.remedies_there(mine, seen);
        found.retain(|remedy| !remedy.steps.is_empty());
        found.truncate(REMEDIES_MAX);
        found.extend(self.join(mine, seen));
        found
    }

    /// The remedies for a job that waits for other jobs. Each first ends those jobs, and then gets the job itself placed.
    pub(super) fn remedies_with_needs(&self, mut mine: QueuePosition<'_>, seen: &[WorkerFit<'_>]) -> Vec<Remedy> {
        let Some(first) = self.towards(mine.key, Remedy::default(), &mut 0) else {
            return Vec::new();
        };
        (mine.ended, mine.steps) = (first.ends.clone(), first.steps.len());
        let mut rest = self.rest(&mine, seen, &first);
        // If a worker has room for the job already, no other remedy is worth showing.
        rest.truncate(if rest.first().is_some_and(|remedy| remedy.steps.is_empty()) { 1 } else { REMEDIES_MAX });
        rest.into_iter().map(|remedy| first.clone().and(remedy)).filter(|it| it.steps.len() <= STEPS_MAX).collect()
    }

    /// Returns `steps` with the further steps that end every job which this one needs. `None` means that one of those jobs has no remedy.
    fn towards(&self, key: JobKey, mut steps: Remedy, tried: &mut usize) -> Option<Remedy> {
        for row in self.it.open_needs(key) {
            if steps.ends.contains(&row.key) {
                continue;
            }
            steps = match row.state {
                State::Waiting => {
                    let needs = self.towards(row.key, steps, tried)?;
                    self.place_after(row.key, needs, tried)?
                }
                State::Queued => self.place_after(row.key, steps, tried)?,
                State::Planning | State::Offered | State::Running | State::Finished => steps,
            };
            steps = steps.and(self.wait(row.key));
        }
        Some(steps)
    }

    /// Returns `steps` with the fewest further steps that get this job placed. `None` means that there is no remedy.
    fn place_after(&self, key: JobKey, steps: Remedy, tried: &mut usize) -> Option<Remedy> {
        *tried += 1;
        if *tried > NEEDS_MAX {
            return None;
        }
        let need = self.it.need_of(key);
        let seen = self.look_at_all(key, &need);
        let position =
            QueuePosition { ended: steps.ends.clone(), steps: steps.steps.len(), ..self.position(key, &need) };
        let least = self.rest(&position, &seen, &steps).into_iter().next()?;
        Some(steps.and(least))
    }

    /// The remedies without the steps that `first` already has. The shortest come first.
    fn rest(&self, mine: &QueuePosition<'_>, seen: &[WorkerFit<'_>], first: &Remedy) -> Vec<Remedy> {
        let mut rest = self.remedies_there(mine, seen);
        rest.extend(self.join(mine, seen));
        rest.iter_mut().for_each(|remedy| remedy.steps.retain(|step| !first.does(step)));
        rest.sort_by_key(|remedy| remedy.steps.len());
        rest
    }

    /// The remedies with workers that are known. A remedy without steps means that the job would be placed at once if it were queued.
    fn remedies_there(&self, mine: &QueuePosition<'_>, seen: &[WorkerFit<'_>]) -> Vec<Remedy> {
        let able = seen.iter().take(WORKERS_TRIED).filter(|seen| seen.lacks.is_empty());
        let mut found: Vec<Remedy> = able.filter_map(|seen| self.with(mine, seen)).collect();
        found.sort_by_key(effort);
        found
    }

    /// The remedy that gets the job placed on this worker, if there is one.
    fn with(&self, mine: &QueuePosition<'_>, seen: &WorkerFit<'_>) -> Option<Remedy> {
        let session = &*seen.session;
        // A worker that comes last gets offers again by itself, so there is no remedy with it.
        if self.it.resting(session).is_some() {
            return None;
        }
        let worker = || session.worker.clone();
        let is_stopped = self.it.worker(&session.worker).is_some_and(|row| row.draining || !row.held.is_empty());
        let host = self.it.worker(&session.worker).map(|row| row.description.host.clone()).unwrap_or_default();
        let start = RemedyStep::Start { worker: worker(), host };
        let mut remedy = Remedy::default();
        if is_stopped {
            remedy.steps.push(RemedyStep::Resume(worker()));
        }
        match seen.availability {
            Availability::Free
            | Availability::Busy
            | Availability::Offered
            | Availability::Drained
            | Availability::Held => {
                let waits = self.until_room(mine, session, session.waiting, remedy.steps.len())?;
                // A worker asks for work after it has ended something. If no job is to end there, the worker must be asking already.
                let mut leases = self.leases_beside(&session.worker, mine.key);
                let has_ending = leases.any(|lease| mine.ended.contains(&lease.job));
                if waits.steps.is_empty() && session.waiting.is_none() && !has_ending {
                    return None;
                }
                Some(remedy.and(waits))
            }
            Availability::Away => {
                remedy.steps.push(start);
                let waits = self.until_room(mine, session, None, remedy.steps.len())?;
                Some(remedy.and(waits))
            }
            Availability::Ending => {
                let running = self.leases_beside(&session.worker, mine.key).map(|lease| lease.job);
                let mut remedy = running.fold(remedy, |remedy, job| remedy.and(self.wait(job)));
                remedy.steps.push(start);
                let fits = self.fits(mine, session, session.total, &remedy.ends, remedy.steps.len());
                fits.then_some(remedy)
            }
            Availability::Silent | Availability::Small | Availability::Lacking => None,
        }
    }

    /// Returns the jobs on this worker to wait for, the oldest first, until this job has its turn there. `free` is the room that the
    /// worker itself reports. `steps` is the number of steps that make the worker available.
    fn until_room(
        &self,
        mine: &QueuePosition<'_>,
        session: &Session,
        free: Option<Resources>,
        steps: usize,
    ) -> Option<Remedy> {
        let mut free = free.unwrap_or_else(|| self.room_left(session, mine.key));
        let mut leases: Vec<LeaseView<'_>> = self.leases_beside(&session.worker, mine.key).collect();
        leases.sort_by_key(|lease| (lease.state == LeaseState::Offered, lease.attempt.started));
        // Jobs that end before this one is queued leave their room.
        let (ending, staying): (Vec<LeaseView<'_>>, Vec<LeaseView<'_>>) =
            leases.into_iter().partition(|lease| mine.ended.contains(&lease.job));
        for lease in ending {
            free = free.plus(&self.it.plan(lease.job).room());
        }
        let mut waits = Remedy::default();
        let mut staying = staying.into_iter();
        while !self.fits(mine, session, free, &waits.ends, steps + waits.steps.len()) {
            let job = staying.next()?.job;
            free = free.plus(&self.it.plan(job).room());
            waits = waits.and(self.wait(job));
        }
        Some(waits)
    }

    fn wait(&self, job: JobKey) -> Remedy {
        Remedy { steps: vec![RemedyStep::Wait(self.it.selector(job))], ends: BTreeSet::from([job]) }
    }

    /// Whether the room `free` on a worker is enough for the jobs that go first there, and then for this job. `ended` has the jobs that
    /// end for it, and `steps` is the number of steps that the remedy takes so far.
    fn fits(
        &self,
        mine: &QueuePosition<'_>,
        session: &Session,
        mut free: Resources,
        ended: &BTreeSet<JobKey>,
        steps: usize,
    ) -> bool {
        // Between two steps, any job that fits takes the room that the first step makes, even if it is last in the queue.
        let is_slow = mine.steps + steps > 1;
        let able = |need: &Need| self.suits(session, need);
        // Jobs with the same needs do not pass each other.
        let like_mine = self.it.before(mine.rank, |need| need == mine.need && able(need), AHEAD_MAX);
        let last = if is_slow { LAST } else { mine.rank };
        let others = self.it.before(last, |need| need != mine.need && able(need), AHEAD_MAX);
        if like_mine.len().max(others.len()) >= AHEAD_MAX {
            return false;
        }
        if self.kept_before(mine, session).is_some_and(|kept| !free.holds(&self.it.plan(kept).room())) {
            return false;
        }
        let queued = like_mine.into_iter().chain(others).map(|need| need.room);
        let released = self.released(mine, session.waiting, ended, is_slow).into_iter();
        for room in queued.chain(released.filter(able).map(|need| need.room)) {
            if free.holds(&room) {
                free = free.minus(&room);
            }
        }
        free.holds(&mine.need.room)
    }

    /// The needs of jobs that are queued because other jobs end, and that may go first. `asked` is the room with which a worker asks now.
    fn released(
        &self,
        mine: &QueuePosition<'_>,
        asked: Option<Resources>,
        ended: &BTreeSet<JobKey>,
        is_slow: bool,
    ) -> Vec<Need> {
        let ended: BTreeSet<JobKey> = ended.union(&mine.ended).copied().collect();
        let builds: BTreeSet<BuildId> = ended.iter().map(|job| job.build).collect();
        let mut released = Vec::new();
        for build in builds {
            let waiting = self.it.jobs(build).filter(|row| row.state == State::Waiting);
            for key in waiting.map(|row| row.key).filter(|key| *key != mine.key && !ended.contains(key)) {
                let open = self.open_keys(key);
                let need = self.it.need_of(key);
                let goes_first = is_slow && mine.open.is_empty() || self.may_go_first(mine, key, &open, &need, asked);
                if open.is_subset(&ended) && goes_first {
                    released.push(need);
                }
            }
        }
        released
    }

    fn may_go_first(
        &self,
        mine: &QueuePosition<'_>,
        other: JobKey,
        open: &BTreeSet<JobKey>,
        need: &Need,
        asked: Option<Resources>,
    ) -> bool {
        // A worker that asks with room for the other job gets it. This job came first, but is too large for that room.
        let slips_in = asked.is_some_and(|free| free.holds(&need.room) && !free.holds(&mine.need.room));
        let comes_later = mine.open.is_subset(open) && (mine.open.is_empty() || other > mine.key);
        slips_in || !comes_later || self.it.plan(other).priority > mine.priority
    }

    /// The remedy in which somebody joins a new worker that is made to measure for the job.
    fn join(&self, mine: &QueuePosition<'_>, seen: &[WorkerFit<'_>]) -> Option<Remedy> {
        let wanted = mine.need.pools.iter().find_map(|pool| self.wanted(mine.need, pool))?;
        // The usual tier need not be mentioned unless a known worker lacks it.
        let lacking = || seen.iter().find_map(WorkerFit::lacking_tier);
        let wanted = MissingWorker { tier: wanted.tier.clone().or_else(|| lacking().cloned()), ..wanted };
        // A worker with room for the jobs that go first may be large enough for other jobs as well, so its size is unlimited here.
        let total = Resources { slots: u16::MAX, cpus_milli: u32::MAX, memory: u64::MAX };
        let imagined = Imagined { total, ..Imagined::new(&wanted) };
        let able = |need: &Need| imagined.suits(need, self.it.pools());
        let before = self.it.before(mine.rank, able, AHEAD_MAX);
        if before.len() >= AHEAD_MAX {
            return None;
        }
        let queued = before.into_iter().map(|need| need.room);
        // The new worker asks for work from the start, with all its room.
        let released =
            self.released(mine, None, &BTreeSet::new(), false).into_iter().filter(able).map(|need| need.room);
        let room = queued.chain(released).fold(wanted.room, |sum, room| sum.plus(&room));
        Some(Remedy { steps: vec![RemedyStep::Join(MissingWorker { room, ..wanted })], ..Remedy::default() })
    }

    /// Whether any worker, existing or not, could take work with this need.
    pub(super) fn can_be_met(&self, need: &Need) -> bool {
        need.pools.iter().any(|pool| self.wanted(need, pool).is_some())
    }

    /// The worker of this pool that would take work with this need. `None` means that no worker could.
    fn wanted(&self, need: &Need, pool: &str) -> Option<MissingWorker> {
        let terms = self.it.pools().get(pool);
        let of_pool = terms.map(|terms| terms.wants.as_slice()).unwrap_or_default();
        let tier = match TierNeed::of(need.isolation.as_ref(), terms.and_then(|terms| terms.isolation)) {
            TierNeed::Usual => None,
            TierNeed::Asked(tier) => Some(tier),
        };
        let mut wanted = MissingWorker {
            pool: pool.to_owned(),
            platform: need.on.clone(),
            tier,
            room: Resources { slots: 1, ..need.room },
            labels: Vec::new(),
        };
        let mut labels: BTreeMap<String, String> = BTreeMap::new();
        for want in need.want.iter().chain(of_pool) {
            match want.asks() {
                Asks::Unknown => return None,
                Asks::Room(least) => {
                    wanted.room.cpus_milli = wanted.room.cpus_milli.max(least.cpus_milli);
                    wanted.room.memory = wanted.room.memory.max(least.memory);
                }
                Asks::Label { name, value } => match (name.as_str(), value) {
                    ("platform", Some(value)) => wanted.platform.clone_from(value),
                    ("platform", None) => {}
                    (_, Some(value)) => drop(labels.insert(name.clone(), value.clone())),
                    (_, None) => drop(labels.entry(name.clone()).or_insert_with(|| "yes".to_owned())),
                },
            }
        }
        wanted.labels = labels.into_iter().collect();
        // In a grant, `*` stands for whatever the worker claims, and is not a value.
        let is_real = wanted.labels.iter().all(|(_, value)| value != "*");
        (is_real && Imagined::new(&wanted).suits(need, self.it.pools())).then_some(wanted)
    }

    fn open_keys(&self, key: JobKey) -> BTreeSet<JobKey> {
        self.it.open_needs(key).map(|row| row.key).collect()
    }

    fn suits(&self, session: &Session, need: &Need) -> bool {
        session.ability().suits(need, self.it.pools())
    }
}

/// The key by which remedies are sorted. Fewer waits come first, because people can do all other steps at once.
fn effort(remedy: &Remedy) -> (usize, usize) {
    let waits = remedy.steps.iter().filter(|step| matches!(step, RemedyStep::Wait(_))).count();
    (waits, remedy.steps.len())
}

/// A worker that does not exist yet.
struct Imagined<'w> {
    wanted: &'w MissingWorker,
    total: Resources,
    labels: Vec<(String, String)>,
    probes: Vec<TierProbe>,
}

impl<'w> Imagined<'w> {
    /// The worker that has what is wanted, and nothing more.
    fn new(wanted: &'w MissingWorker) -> Imagined<'w> {
        let mut labels: BTreeMap<String, String> = BTreeMap::from([("platform".to_owned(), wanted.platform.clone())]);
        labels.extend(wanted.labels.iter().cloned());
        let probes = Tier::ALL.map(|tier| TierProbe { tier: tier.into(), lack: None }).to_vec();
        Imagined { wanted, total: wanted.room, labels: labels.into_iter().collect(), probes }
    }

    fn suits(&self, need: &Need, pools: &Pools) -> bool {
        let MissingWorker { pool, platform, .. } = self.wanted;
        let (labels, probes, granted) = (&self.labels, &self.probes, std::slice::from_ref(pool));
        Ability { platform, total: &self.total, labels, pools: granted, probes }.suits(need, pools)
    }
}
