//! Limits how many processes of git run at once, for all mirrors of a master. A caller needs a [`Pass`] to start git, and
//! projects take turns.

use crate::keep::turns::{Bounds, QueueLoad, Turn, TurnQueue};
use schema::limits::borders::{GIT_KEPT, GIT_RUNS};
use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The number of runs of git at once, in all and of one mirror, besides the [`KEPT_MAX`] idle processes. Each run keeps a
/// processor or a disk busy, or waits for a remote, so more runs would only take memory. A run may start a few processes
/// itself, as a fetch does. One mirror may have four packs under way, each for half an hour, and two slow runs. This leaves it
/// two runs for reading and planning, and leaves four to other mirrors. Packs, slow runs and tidying take at most 11 runs, so
/// that at least one stays free for reading.
const RUNS: Bounds = Bounds { in_all: GIT_RUNS.count(), each: 8 };
/// The number of runs that wait for a remote, in all and for one host. So silent remotes never take all runs. Of the runs that
/// hang, two keep their places, and all other hosts take turns at the rest.
const SLOW_RUNS: Bounds = Bounds { in_all: 6, each: 2 };
/// The number of runs that wait for a remote on this machine, in all and of one mirror. They belong to no host, so that two
/// places for slow runs are left to hosts.
const DISK_RUNS: Bounds = Bounds { in_all: 4, each: 2 };
/// The number of runs that tidy a mirror. Each may take an hour and keeps a processor and a disk busy, and nobody waits for it.
const TIDYING: Bounds = Bounds { in_all: 1, each: 1 };
/// The number of hanging runs that keep their places for as long as git waits for their remotes, no matter who else waits.
const HANGING_MAX: usize = 2;
/// The number of idle processes that are kept for further questions. Each saves its mirror 3 ms for the next question, and
/// takes 2 MiB and three descriptors.
const KEPT_MAX: usize = GIT_KEPT.count();

/// The gate that all mirrors of a master share. Clones are the same gate.
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
    /// The number of runs that have begun so far.
    begun: AtomicU64,
    /// The idle processes, in the order in which they were last asked.
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
    /// Returns the load of the runs of git, without idle processes.
    pub fn counts(&self) -> QueueLoad {
        self.0.runs.counts()
    }

    /// Makes the passage of another mirror, whose remote is on this host. An empty host means this machine.
    pub(super) fn passage(&self, host: &str) -> Passage {
        let mirror = self.0.mirrors.fetch_add(1, Ordering::Relaxed);
        let line = if host.is_empty() { RemoteHost::Disk(mirror) } else { RemoteHost::Host(host.into()) };
        Passage { gate: self.clone(), mirror, line }
    }
}

/// One mirror's access to the gate.
#[derive(Clone, Debug)]
pub(super) struct Passage {
    gate: GitGate,
    mirror: u64,
    line: RemoteHost,
}

/// The host of a remote. All mirrors of a host share one line, because they wait for the same machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum RemoteHost {
    Host(Arc<str>),
    /// A mirror whose remote is on this machine.
    Disk(u64),
}

/// A process that can be kept for further questions, as the gate sees it.
pub(super) trait Idle: Debug + Send + Sync {
    /// Ends the process unless it is being asked. A process that is being asked is kept again after its answer.
    fn end_if_idle(&self);
}

/// The kind of a run, which says what takes its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunKind {
    /// The run needs only this machine.
    Quick,
    /// The run waits for a remote.
    Slow,
    /// The run may take an hour, and nobody waits for it.
    Tidying,
}

/// The permission to start one process of git. It is held while the process works.
#[derive(Debug)]
pub(super) struct Pass {
    gate: GitGate,
    _run: Turn<u64>,
    slow_run: Option<Turn<RemoteHost>>,
    /// The turn of a run with a remote on this machine, or of a run that tidies.
    _own: Option<Turn<u64>>,
}

/// A place for a run that hangs. A run that holds one is not ended.
pub(super) type Hanging = OwnedSemaphorePermit;

impl Pass {
    /// Takes a place for a hanging run, if one is free.
    pub(super) fn hang(&self) -> Option<Hanging> {
        self.gate.0.hanging.clone().try_acquire_owned().ok()
    }

    /// Whether others wait for a place that this run takes.
    pub(super) fn is_waited_for(&self) -> bool {
        let gate = &self.gate.0;
        self.slow_run.is_some() && gate.slow_runs.counts().waiting + gate.runs.counts().waiting > 0
    }
}

impl Passage {
    /// Waits for the pass of a run of this kind.
    pub(super) async fn pass_at(&self, pace: RunKind) -> Pass {
        match pace {
            RunKind::Quick => self.pass().await,
            RunKind::Slow => self.slow_pass().await,
            RunKind::Tidying => self.tidying_pass().await,
        }
    }

    /// Waits for the pass of a run that needs only this machine.
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

    /// Waits for the pass of a run that tidies, after others of its kind. Such a run waits for no remote.
    async fn tidying_pass(&self) -> Pass {
        let tidying = self.gate.0.tidying.turn(self.mirror).await;
        Pass { _own: Some(tidying), ..self.pass().await }
    }

    /// Returns how many runs of all mirrors have begun so far.
    #[cfg(test)]
    pub(super) fn runs_so_far(&self) -> u64 {
        self.gate.0.begun.load(Ordering::Relaxed)
    }

    /// Keeps a process after its answer. If too many are kept, the one that was not asked for longest is ended.
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
        // as many as `api::served` lets workers wait for at once
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
        // an ended process starts again, and all mirrors are read by many callers at once
        let asked = scenes.iter().flat_map(|scene| (0..20).map(|_| scene.mirror.difference(TREE, TREE)));
        futures::future::join_all(asked).await;
        let counts = gate.counts();
        assert_eq!((counts.serving, counts.waiting, counts.most), (0, 0, RUNS.in_all));
    }

    /// No repository here has a commit with this id: git starts, and reports that.
    const TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
}
