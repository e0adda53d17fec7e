//! Read-only connections, which callers use in turns. So a grant that asks for 4,000 long lists delays only itself.

use super::StoreError;
use super::sqlite::{self, Executor, Tables};
use crate::keep::turns::{Bounds, Principal, QueueLoad, Turn, TurnQueue};
use schema::limits::borders::READS_EACH;
use schema::vat::Outlet;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// The number of reads that one principal may run at once: one, so that the other of the two threads stays free for others.
/// This does not reduce what one principal reads in a second, because it keeps one thread busy.
const READS_AT_ONCE: usize = READS_EACH.count();

type Free = Arc<Mutex<VecDeque<usize>>>;

/// The read-only connections. A caller first names its principal with [`Readers::of`], so that every read has a turn.
#[derive(Clone)]
pub struct Readers(Arc<ReaderPool>);

struct ReaderPool {
    executors: Box<[Executor]>,
    /// The indexes of the connections that are not in use.
    free: Free,
    turns: TurnQueue<Principal>,
}

/// The readers as one principal uses them. Cloning is cheap.
#[derive(Clone)]
pub struct Reading {
    readers: Readers,
    who: Principal,
    /// The outlet of the connection to which answers go. It limits how many large answers are made at once.
    outlet: Outlet,
}

impl Readers {
    pub(super) fn over(executors: Box<[Executor]>) -> Readers {
        let bounds = Bounds { in_all: executors.len(), each: READS_AT_ONCE };
        let free = Arc::new(Mutex::new((0..executors.len()).collect()));
        Readers(Arc::new(ReaderPool { executors, free, turns: TurnQueue::new(bounds) }))
    }

    /// Returns the readers for one principal.
    pub fn of(&self, who: Principal) -> Reading {
        Reading { readers: self.clone(), who, outlet: Outlet::default() }
    }

    pub fn counts(&self) -> QueueLoad {
        self.0.turns.counts()
    }

    /// Runs a read on a free connection. It does not depend on the caller being polled.
    fn begin<T, E>(
        &self,
        turn: Turn<Principal>,
        read: impl FnOnce(Tables<'_>) -> Result<T, E> + Send + 'static,
        done: oneshot::Sender<Result<T, StoreError>>,
    ) where
        T: Send + 'static,
        StoreError: From<E>,
    {
        let Some(mut slot) = ReaderSlot::take(self, turn) else { return };
        let executor = self.0.executors[slot.at].clone();
        let begun = executor.start(move |connection| {
            let began = Instant::now();
            // a read that panics loses only its own answer: the connection goes on for all others
            let answer = catch_unwind(AssertUnwindSafe(|| sqlite::read(connection, read)));
            slot.turn.charge(began.elapsed());
            if let Ok(answer) = answer {
                let _ = done.send(answer);
            }
        });
        if let Err(error) = begun {
            tracing::warn!(%error, "a reader of the store has ended");
        }
    }
}

impl Reading {
    /// Returns these readers for answers that leave through this outlet.
    pub fn through(self, outlet: &Outlet) -> Reading {
        Reading { outlet: outlet.clone(), ..self }
    }

    /// Runs a read on one of the connections when it is this principal's turn. The read sees everything that was committed
    /// before it began, and nothing later. If its caller goes away, the read keeps its turn until it is done.
    pub(super) async fn ask<T, E>(
        &self,
        read: impl FnOnce(Tables<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        StoreError: From<E>,
    {
        let _turn = self.outlet.turn().await;
        let (done, answer) = oneshot::channel();
        let readers = self.readers.clone();
        let _started = self.readers.0.turns.start(self.who, move |turn| readers.begin(turn, read, done));
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

/// A turn on one of the connections. It moves with the work to its thread, so it lasts as long as the work.
struct ReaderSlot {
    free: Free,
    at: usize,
    turn: Turn<Principal>,
}

impl ReaderSlot {
    fn take(readers: &Readers, turn: Turn<Principal>) -> Option<ReaderSlot> {
        let free = readers.0.free.clone();
        let at = free.lock().unwrap_or_else(PoisonError::into_inner).pop_front()?;
        Some(ReaderSlot { free, at, turn })
    }
}

impl Drop for ReaderSlot {
    fn drop(&mut self) {
        // the connection is freed before the turn, whose field is dropped after this
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push_back(self.at);
    }
}
