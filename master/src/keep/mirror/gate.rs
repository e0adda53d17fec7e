//! How much of git there is at once, for all mirrors of one master: whoever starts git has a [`Pass`] for it. Projects take turns.

use crate::keep::turns::{Bounds, QueueLoad, Turn, TurnQueue};
use schema::limits::borders::{GIT_KEPT, GIT_RUNS};
use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most runs of git at once, besides the [`KEPT_MAX`] processes that nobody asks. Each is busy with a processor or a disk, or
/// waits for a remote, so more would only take memory. A run may start a few processes of its own, as a fetch does. One mirror
/// may have four packs under way, each for half an hour, and two slow runs. Two runs are then left to read and to plan, and four
/// to other mirrors. Packs, slow runs and the one that tidies are 11 at most, so that one is always left to whoever reads.
const RUNS: Bounds = Bounds { in_all: GIT_RUNS.count(), each: 8 };
/// The most of these runs that wait for a remote, and the most that wait for one host. Room for others is left however many
/// remotes are silent. Of the runs that hang two keep their places, and every other host has its turns at the rest.
const SLOW_RUNS: Bounds = Bounds { in_all: 6, each: 2 };
/// The most of these runs whose remote is on this machine, and the most of one mirror. They are of no host, so that two places
/// are left to hosts.
const DISK_RUNS: Bounds = Bounds { in_all: 4, each: 2 };
/// Runs that tidy a mirror up. Each may take an hour and keeps a processor and a disk busy, and nobody waits for it.
const TIDYING: Bounds = Bounds { in_all: 1, each: 1 };
/// Runs that hang and keep their places for as long as git waits for their remotes, whoever else waits.
const HANGING_MAX: usize = 2;
/// Processes that stay to be asked again, while nobody asks them. Each saves its mirror 3 ms for the next question, and takes 2
/// MiB and three descriptors.
const KEPT_MAX: usize = GIT_KEPT.count();

/// Owns the numbers of git. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct GitGate(Arc<GitQueues>);

#[derive(Debug)]
struct GitQueues {
    runs: TurnQueue<u64>,
    slow_runs: TurnQueue<RemoteHost>,
    disk_runs: TurnQueue<u64>,
    tidying: TurnQueue<u64>,
    hanging: Arc<Semaphore>,
    mirrors: AtomicU64,
    /// Runs that began so far.
    begun: AtomicU64,
    /// The processes that are kept, of which the one that was asked last is last.
    kept: Mutex<VecDeque<Weak<dyn Idle>>>,
}

impl Default for GitGate {
    fn default() -> GitGate {
        GitGate(Arc::new(GitQueues {
            runs: TurnQueue::new(RUNS),
            slow_runs: TurnQueue::new(SLOW_RUNS),
            disk_runs: TurnQueue::new(DISK_RUNS),
            tidying: TurnQueue::new(TIDYING),
            hanging: Arc::new(Semaphore::new(HANGING_MAX)),
            mirrors: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            kept: Mutex::default(),
        }))
    }
}

impl GitGate {
    /// Runs of git, without processes that wait to be asked.
    pub fn counts(&self) -> QueueLoad {
        self.0.runs.counts()
    }

    /// The passage of another mirror, whose remote is on this host; the empty one is this machine.
    pub(super) fn passage(&self, host: &str) -> Passage {
        let mirror = self.0.mirrors.fetch_add(1, Ordering::Relaxed);
        let line = if host.is_empty() { RemoteHost::Disk(mirror) } else { RemoteHost::Host(host.into()) };
        Passage { gate: self.clone(), mirror, line }
    }
}

/// One mirror's way through the gate.
#[derive(Clone, Debug)]
pub(super) struct Passage {
    gate: GitGate,
    mirror: u64,
    line: RemoteHost,
}

/// The host of a remote. All mirrors of a host have turns as one, because they wait for the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum RemoteHost {
    Host(Arc<str>),
    /// A mirror whose remote is on this machine.
    Disk(u64),
}

/// A process that may stay to be asked again, as the gate knows it.
pub(super) trait Idle: Debug + Send + Sync {
    /// Ends the process, unless it is being asked: then it is kept again after its answer.
    fn end_if_idle(&self);
}

/// What a run of git takes its time for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunKind {
    /// The run has what it needs on this machine.
    Quick,
    /// The run waits for a remote.
    Slow,
    /// The run may take an hour, and nobody waits for it.
    Tidying,
}

/// The permission to start one process of git. It lasts as long as that works.
#[derive(Debug)]
pub(super) struct Pass {
    gate: GitGate,
    _run: Turn<u64>,
    slow_run: Option<Turn<RemoteHost>>,
    /// The place of a run on this machine's disks, or of one that tidies up.
    _own: Option<Turn<u64>>,
}

/// A place for a run that hangs. Holding it, the run may go on instead of being ended.
pub(super) type Hanging = OwnedSemaphorePermit;

impl Pass {
    /// Takes the place that lets a hanging run go on, if one is free.
    pub(super) fn hang(&self) -> Option<Hanging> {
        self.gate.0.hanging.clone().try_acquire_owned().ok()
    }

    /// Whether others wait until this run gives its place back.
    pub(super) fn is_waited_for(&self) -> bool {
        let gate = &self.gate.0;
        self.slow_run.is_some() && gate.slow_runs.counts().waiting + gate.runs.counts().waiting > 0
    }
}

impl Passage {
    /// Waits for the pass of a run of this pace.
    pub(super) async fn pass_at(&self, pace: RunKind) -> Pass {
        match pace {
            RunKind::Quick => self.pass().await,
            RunKind::Slow => self.slow_pass().await,
            RunKind::Tidying => self.tidying_pass().await,
        }
    }

    /// Waits for the pass of a run that has what it needs on this machine.
    pub(super) async fn pass(&self) -> Pass {
        let run = self.gate.0.runs.turn(self.mirror).await;
        self.gate.0.begun.fetch_add(1, Ordering::Relaxed);
        Pass { gate: self.gate.clone(), _run: run, slow_run: None, _own: None }
    }

    /// Waits for the pass of a run that waits for a remote.
    async fn slow_pass(&self) -> Pass {
        let disk_run = match self.line {
            RemoteHost::Host(_) => None,
            RemoteHost::Disk(mirror) => Some(self.gate.0.disk_runs.turn(mirror).await),
        };
        let slow_run = self.gate.0.slow_runs.turn(self.line.clone()).await;
        Pass { slow_run: Some(slow_run), _own: disk_run, ..self.pass().await }
    }

    /// Waits for the pass of a run that may take an hour. It waits for others of its kind, and for no remote.
    async fn tidying_pass(&self) -> Pass {
        let tidying = self.gate.0.tidying.turn(self.mirror).await;
        Pass { _own: Some(tidying), ..self.pass().await }
    }

    /// How many runs began so far, of all mirrors behind this gate.
    #[cfg(test)]
    pub(super) fn runs_so_far(&self) -> u64 {
        self.gate.0.begun.load(Ordering::Relaxed)
    }

    /// A process was asked, and stays to be asked again; the one that was not asked for longest goes.
    pub(super) fn keep(&self, kept: Arc<dyn Idle>) {
        let mut all = self.gate.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let this = Arc::downgrade(&kept);
        all.retain(|other| other.strong_count() > 0 && !other.ptr_eq(&this));
        all.push_back(this);
        let oldest = if all.len() > KEPT_MAX { all.pop_front() } else { None };
        drop(all);
        if let Some(oldest) = oldest.and_then(|oldest| oldest.upgrade()) {
            oldest.end_if_idle();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Scene;
    use super::*;
    use futures::FutureExt as _;

    #[tokio::test]
    async fn packs_of_a_mirror_leave_it_room_to_plan_and_to_fetch() {
        // as many as `api::served` lets workers wait for
        const PACKS: usize = 4;
        let passage = GitGate::default().passage("forge.example");
        let mut passes: Vec<Pass> = (0..PACKS).filter_map(|_| passage.pass().now_or_never()).collect();
        passes.extend((0..SLOW_RUNS.each).filter_map(|_| passage.slow_pass().now_or_never()));
        passes.extend((0..2).filter_map(|_| passage.pass().now_or_never()));
        assert_eq!(passes.len(), PACKS + SLOW_RUNS.each + 2);
    }

    #[tokio::test]
    async fn a_dead_host_leaves_the_others_their_turns() {
        let gate = GitGate::default();
        let dead: Vec<Passage> = (0..50).map(|_| gate.passage("dead.example")).collect();
        let mut fetches: Vec<_> = dead.iter().map(|passage| Box::pin(passage.slow_pass())).collect();
        let mut passes: Vec<Pass> = fetches.iter_mut().filter_map(|fetch| fetch.now_or_never()).collect();
        assert_eq!(passes.len(), SLOW_RUNS.each);
        for host in ["", "", "a.example", "b.example"] {
            let pass = gate.passage(host).slow_pass().now_or_never();
            passes.push(pass.unwrap_or_else(|| panic!("`{host}` waits for a dead host")));
        }
        assert!(gate.passage("c.example").slow_pass().now_or_never().is_none(), "as many run as may");
    }

    #[tokio::test]
    async fn repositories_of_this_machine_leave_hosts_their_turns() {
        let gate = GitGate::default();
        let here: Vec<Passage> = (0..50).map(|_| gate.passage("")).collect();
        let mut fetches: Vec<_> = here.iter().map(|passage| Box::pin(passage.slow_pass())).collect();
        let passes: Vec<Pass> = fetches.iter_mut().filter_map(|fetch| fetch.now_or_never()).collect();
        assert_eq!(passes.len(), DISK_RUNS.in_all);
        assert!(gate.passage("a.example").slow_pass().now_or_never().is_some());
    }

    #[tokio::test]
    async fn mirrors_are_tidied_one_by_one_and_beside_fetches() {
        let gate = GitGate::default();
        let (one, other) = (gate.passage("a.example"), gate.passage("a.example"));
        let tidying = one.tidying_pass().now_or_never();
        assert!(tidying.is_some());
        assert!(other.tidying_pass().now_or_never().is_none(), "one is enough");
        let fetches: Vec<Pass> = (0..SLOW_RUNS.each).filter_map(|_| one.slow_pass().now_or_never()).collect();
        assert_eq!(fetches.len(), SLOW_RUNS.each);
        drop(tidying);
        assert!(other.tidying_pass().now_or_never().is_some());
    }

    #[tokio::test]
    async fn two_runs_that_hang_keep_their_places_and_only_while_nobody_waits_the_others() {
        let gate = GitGate::default();
        let hosts = (0..SLOW_RUNS.in_all).map(|at| gate.passage(&format!("{at}.example")));
        let passes = futures::future::join_all(hosts.map(|host| async move { host.slow_pass().await })).await;
        let places: Vec<_> = passes.iter().filter_map(Pass::hang).collect();
        assert_eq!(places.len(), HANGING_MAX);
        assert!(!passes[0].is_waited_for(), "nobody waits");
        let other = gate.passage("other.example");
        let mut waits = Box::pin(other.slow_pass());
        assert!(waits.as_mut().now_or_never().is_none());
        assert!(passes[0].is_waited_for());
        drop((places, passes));
        assert!(waits.now_or_never().is_some());
    }

    #[tokio::test]
    async fn few_processes_stay_and_few_run() {
        let gate = GitGate::default();
        let scenes: Vec<Scene> = (0..KEPT_MAX + 2).map(|_| Scene::behind(&gate)).collect();
        for scene in &scenes {
            let tip = scene.commit("a", "1");
            scene.mirror.fetch().await.unwrap();
            assert!(scene.mirror.commit(&tip).await.unwrap().is_some());
            assert!(scene.mirror.objects.is_running());
        }
        let staying = scenes.iter().filter(|scene| scene.mirror.objects.is_running());
        assert_eq!(staying.count(), KEPT_MAX);
        // one that went starts again, and every mirror is read by many at once
        let asked = scenes.iter().flat_map(|scene| (0..20).map(|_| scene.mirror.difference(TREE, TREE)));
        futures::future::join_all(asked).await;
        let counts = gate.counts();
        assert_eq!((counts.serving, counts.waiting, counts.most), (0, 0, RUNS.in_all));
    }

    /// No commit here has this name: git starts, and says so.
    const TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
}
