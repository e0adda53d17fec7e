//! How much of git there is at once, for all mirrors of one master: whoever starts git has a [`Pass`] for it. Projects take turns.

use super::objects::Kept;
use crate::turns::{Bounds, Counts, Queue, Turn};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Runs of git at once. With [`KEPT_MAX`] these are 16 processes: each is busy with a processor or a disk, or waits for a remote, so more
/// would only take the memory of more. A run may start a few processes of its own, as a fetch does. One mirror may have four packs under way,
/// each for half an hour, and two slow runs: two are then left to read and to plan, and four to other mirrors.
const RUNS: Bounds = Bounds { in_all: 12, each: 8 };
/// Of these, runs that wait for a remote or tidy up. Room for others is left however many remotes are silent. One mirror fetches
/// one thing at a time.
const SLOW_RUNS: Bounds = Bounds { in_all: 6, each: 2 };
/// Processes that stay to be asked again, while nobody asks them. Each saves its mirror 3 ms for the next question.
const KEPT_MAX: usize = 4;

/// Owns the numbers of git. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct GitGate(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    runs: Queue<u64>,
    slow_runs: Queue<u64>,
    mirrors: AtomicU64,
    /// The one that was asked last is last.
    kept: Mutex<VecDeque<Weak<Kept>>>,
}

impl Default for GitGate {
    fn default() -> GitGate {
        let (runs, slow_runs) = (Queue::new(RUNS), Queue::new(SLOW_RUNS));
        GitGate(Arc::new(Shared { runs, slow_runs, mirrors: AtomicU64::new(0), kept: Mutex::default() }))
    }
}

impl GitGate {
    /// Runs of git, without processes that wait to be asked.
    pub fn counts(&self) -> Counts {
        self.0.runs.counts()
    }

    /// For another mirror.
    pub(super) fn passage(&self) -> Passage {
        Passage { gate: self.clone(), mirror: self.0.mirrors.fetch_add(1, Ordering::Relaxed) }
    }
}

/// One mirror's way through the gate.
#[derive(Clone, Debug)]
pub(super) struct Passage {
    gate: GitGate,
    mirror: u64,
}

/// The permission to start one process of git. It lasts as long as that works.
#[derive(Debug)]
pub(super) struct Pass {
    _run: Option<Turn<u64>>,
    _slow_run: Option<Turn<u64>>,
}

impl Passage {
    /// For a run that has what it needs on this machine.
    pub(super) async fn pass(&self) -> Pass {
        Pass { _run: Some(self.gate.0.runs.turn(self.mirror).await), _slow_run: None }
    }

    /// For a run that waits for a remote, or that may take an hour.
    pub(super) async fn slow_pass(&self) -> Pass {
        let slow_run = self.gate.0.slow_runs.turn(self.mirror).await;
        Pass { _slow_run: Some(slow_run), ..self.pass().await }
    }

    /// For the run that makes a new mirror: whoever opens one waits for it and does nothing else, so it is alone.
    pub(super) fn first_pass() -> Pass {
        Pass { _run: None, _slow_run: None }
    }

    /// A process was asked, and stays to be asked again; the one that was not asked for longest goes.
    pub(super) fn keep(&self, kept: &Arc<Kept>) {
        let mut all = self.gate.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let this = Arc::downgrade(kept);
        all.retain(|other| other.strong_count() > 0 && !other.ptr_eq(&this));
        all.push_back(this);
        let oldest = if all.len() > KEPT_MAX { all.pop_front() } else { None };
        drop(all);
        // one that is locked is being asked, and will be kept again
        if let Some(oldest) = oldest.and_then(|oldest| oldest.upgrade())
            && let Ok(mut oldest) = oldest.try_lock()
        {
            oldest.take();
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
        let passage = GitGate::default().passage();
        let mut passes: Vec<Pass> = (0..PACKS).filter_map(|_| passage.pass().now_or_never()).collect();
        passes.extend((0..SLOW_RUNS.each).filter_map(|_| passage.slow_pass().now_or_never()));
        passes.extend((0..2).filter_map(|_| passage.pass().now_or_never()));
        assert_eq!(passes.len(), PACKS + SLOW_RUNS.each + 2);
    }

    #[tokio::test]
    async fn few_processes_stay_and_few_run() {
        let gate = GitGate::default();
        let scenes: Vec<Scene> = (0..6).map(|_| Scene::behind(&gate)).collect();
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
