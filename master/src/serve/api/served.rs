//! What is served in turns beside the reads of the store: answers that are made on the one thread, files, and packs for workers.

use super::broken;
use crate::commit::state_reader::StateReader;
use crate::decide::coordinator::Coordinator;
use crate::keep::turns::{Bounds, Principal, QueueLoad, TurnQueue};
use schema::limits::borders::{PACKS_ALL, PACKS_EACH};
use schema::values::{Refusal, Time};
use tokio::time::Instant;

/// Answers that are made of the coordinator's state on the one thread, which does nothing else meanwhile.
const ANSWERS: Bounds = Bounds { in_all: 1, each: 1 };
/// Reads of files of logs and packs: each occupies a thread for the time of one read of at most 256 KiB.
const FILES: Bounds = Bounds { in_all: 8, each: 2 };
/// Packs that are made for workers: each is a run of git that keeps a processor busy. A worker may have two at once, so that
/// others get on beside one whose packs take long.
const PACKS: Bounds = Bounds { in_all: PACKS_ALL.count(), each: PACKS_EACH.count() };

/// Revisions that are looked up for whoever asks for a build: a ref is fetched, and a repository does one fetch at a time. So a
/// few of each grant stand before it; in all there is room for those that wait for a silent one.
const ORDERS: Bounds = Bounds { in_all: 64, each: 4 };

/// The queues in which holders wait for costly answers.
pub(super) struct Served {
    answers: TurnQueue<Principal>,
    files: TurnQueue<Principal>,
    pub(super) packs: TurnQueue<Principal>,
    pub(super) orders: TurnQueue<Principal>,
}

impl Default for Served {
    fn default() -> Served {
        let (answers, files) = (TurnQueue::new(ANSWERS), TurnQueue::new(FILES));
        Served { answers, files, packs: TurnQueue::new(PACKS), orders: TurnQueue::new(ORDERS) }
    }
}

impl Served {
    pub(super) fn packs(&self) -> QueueLoad {
        self.packs.counts()
    }

    /// Does what reads a file, when it is this principal's turn. It keeps its turn until it is done, also when nobody waits for
    /// it any more.
    pub(super) async fn file<T: 'static>(
        &self,
        who: Principal,
        read: impl Future<Output = T> + 'static,
    ) -> capnp::Result<T> {
        let mut turn = self.files.turn(who).await;
        let began = Instant::now();
        let reading = tokio::task::spawn_local(async move {
            let answer = read.await;
            turn.charge(began.elapsed());
            answer
        });
        reading.await.map_err(broken)
    }

    /// Like [`StateReader::look`], for an answer that may be long: in this principal's turn. Whoever waited for one lets others
    /// pass first, so that a crowd of such answers leaves room for all else between any two.
    pub(super) async fn look<T>(
        &self,
        who: Principal,
        state: &StateReader,
        look: impl FnOnce(&Coordinator, Time) -> T,
    ) -> Result<T, Refusal> {
        let mut turn = self.answers.turn(who).await;
        if turn.has_waited() {
            tokio::task::yield_now().await;
        }
        let looked = state.look(|coordinator, now| {
            let began = Instant::now();
            let answer = look(coordinator, now);
            turn.charge(began.elapsed());
            drop(turn);
            answer
        });
        looked.await
    }
}
