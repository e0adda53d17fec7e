//! The queues of work that is done in turns beside the reads of the store: long answers, reads of files, and packs for workers. Questions
//! about commits have one too.

use super::broken;
use crate::commit::state_reader::StateReader;
use crate::decide::coordinator::Coordinator;
use crate::keep::turns::{Bounds, Principal, QueueLoad, Turn, TurnQueue};
use schema::limits::borders::{PACKS_ALL, PACKS_EACH};
use schema::values::{Refusal, Time};
use tokio::time::Instant;

/// The limit for answers from the coordinator's state: one at a time, because the one thread that makes them does nothing else meanwhile.
const ANSWERS: Bounds = Bounds { in_all: 1, each: 1 };
/// The limits for reads of log and pack files, in all and for each principal. Each occupies a thread for one read of at most 256 KiB.
const FILES: Bounds = Bounds { in_all: 8, each: 2 };
/// The limits for packs that are being made, in all and for each worker. Each is a run of git that keeps a processor busy. A worker may
/// have two, so that others get on beside one whose packs take long.
const PACKS: Bounds = Bounds { in_all: PACKS_ALL.count(), each: PACKS_EACH.count() };

/// The limits for revisions that are being looked up for new builds, in all and for each grant. A repository does one fetch at a time, so
/// a grant gets a few. The total leaves room for lookups that wait for a repository that does not answer.
const ORDERS: Bounds = Bounds { in_all: 64, each: 4 };

/// The limits for answers about commits, in all and for each principal. Each runs git many times, one run after another, and pipelines,
/// packs and fetches of the same repository wait beside it.
const COMMITS: Bounds = Bounds { in_all: 2, each: 1 };

/// `Served` holds the queues in which principals wait for costly answers.
pub(super) struct Served {
    answers: TurnQueue<Principal>,
    files: TurnQueue<Principal>,
    pub(super) packs: TurnQueue<Principal>,
    pub(super) orders: TurnQueue<Principal>,
    commits: TurnQueue<Principal>,
}

impl Default for Served {
    fn default() -> Served {
        let (answers, files) = (TurnQueue::new(ANSWERS), TurnQueue::new(FILES));
        let (packs, orders) = (TurnQueue::new(PACKS), TurnQueue::new(ORDERS));
        Served { answers, files, packs, orders, commits: TurnQueue::new(COMMITS) }
    }
}

impl Served {
    pub(super) fn packs(&self) -> QueueLoad {
        self.packs.counts()
    }

    /// Makes an answer about commits when it is this principal's turn. An answer that nobody waits for any more ends, and its time counts.
    pub(super) async fn about_commits<T>(&self, who: Principal, answer: impl Future<Output = T>) -> T {
        let _timed = Timed { turn: self.commits.turn(who).await, began: Instant::now() };
        answer.await
    }

    /// Reads a file when it is this principal's turn. The read keeps its turn until it is done, even if nobody waits for it any more.
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

    /// Looks at the state like [`StateReader::look`], for an answer that may be long, when it is this principal's turn. A caller that had
    /// to wait first lets other tasks run, so that a crowd of such answers cannot hold them up.
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

/// A `Timed` is a turn that is charged for its time, even if its caller goes away.
struct Timed {
    turn: Turn<Principal>,
    began: Instant,
}

impl Drop for Timed {
    fn drop(&mut self) {
        self.turn.charge(self.began.elapsed());
    }
}
