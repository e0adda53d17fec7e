//! Lets callers wait for their turn, and starts work when its turn has come.
//!
//! A caller that has its turn and is not polled keeps the turn. So a task that holds a turn and waits for another one could
//! wait for itself. Work that was passed to [`TurnQueue::start`] runs without being polled.

use super::{Bounds, TurnNumber, Turns};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// A queue in which callers of any thread wait for a turn. Clones share the same queue.
pub struct TurnQueue<K: Ord + Clone>(Arc<Mutex<QueueState<K>>>);

struct QueueState<K> {
    turns: Turns<K>,
    /// The callbacks of the waiting callers; each is called when the caller's turn has come.
    calls: HashMap<TurnNumber, TurnCallback>,
    most: usize,
}

type TurnCallback = Box<dyn FnOnce() + Send>;

/// The load of a queue at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueLoad {
    pub serving: usize,
    pub waiting: usize,
    /// The largest number of callers that were served at once so far.
    pub most: usize,
}

/// A caller's place in the queue, and then its turn. Dropping it gives the place or the turn back.
#[derive(Debug)]
pub struct Turn<K: Ord + Clone> {
    queue: TurnQueue<K>,
    who: K,
    ticket: TurnNumber,
    cost: Duration,
    has_waited: bool,
}

/// Work that waits for its turn. Dropping this cancels the work if it has not begun; work that has begun goes on.
#[derive(Debug)]
pub struct Started<K: Ord + Clone> {
    queue: TurnQueue<K>,
    who: K,
    ticket: TurnNumber,
}

impl<K: Ord + Clone> std::fmt::Debug for TurnQueue<K> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Queue").field(&self.counts()).finish()
    }
}

impl<K: Ord + Clone> Clone for TurnQueue<K> {
    fn clone(&self) -> TurnQueue<K> {
        TurnQueue(self.0.clone())
    }
}

impl<K: Ord + Clone> TurnQueue<K> {
    pub fn new(bounds: Bounds) -> TurnQueue<K> {
        TurnQueue(Arc::new(Mutex::new(QueueState { turns: Turns::new(bounds), calls: HashMap::new(), most: 0 })))
    }

    /// Waits for a turn. The future may be dropped while it waits. A caller that waits must be polled until it has dropped the
    /// turn.
    pub async fn turn(&self, who: K) -> Turn<K> {
        let (call, mut called) = oneshot::channel();
        let ticket = self.join(&who, Box::new(move || _ = call.send(())));
        // made before the turn has come: if this future is dropped meanwhile, dropping `turn` gives up the place
        let mut turn = Turn { queue: self.clone(), who, ticket, cost: Duration::ZERO, has_waited: false };
        if called.try_recv().is_err() {
            turn.has_waited = true;
            // an error is not possible, because the sender stays in the queue until the turn has come
            let _ = called.await;
        }
        turn
    }

    /// Runs `work` when its turn has come: at once on the caller's thread, or later on the thread that ends another turn. The
    /// turn lasts until `work` drops it.
    #[must_use = "dropping it takes the work back"]
    pub fn start(&self, who: K, work: impl FnOnce(Turn<K>) + Send + 'static) -> Started<K>
    where
        K: Send + 'static,
    {
        let mut state = self.state();
        let ticket = state.turns.join(&who);
        let turn = (self.clone(), who.clone());
        let call = move || {
            let (queue, who) = turn;
            work(Turn { queue, who, ticket, cost: Duration::ZERO, has_waited: false });
        };
        state.calls.insert(ticket, Box::new(call));
        self.advance(state);
        Started { queue: self.clone(), who, ticket }
    }

    pub fn counts(&self) -> QueueLoad {
        let state = self.state();
        QueueLoad { serving: state.turns.serving(), waiting: state.calls.len(), most: state.most }
    }

    fn join(&self, who: &K, call: TurnCallback) -> TurnNumber {
        let mut state = self.state();
        let ticket = state.turns.join(who);
        state.calls.insert(ticket, call);
        self.advance(state);
        ticket
    }

    /// Calls back the callers whose turn has come. The state is unlocked first, because a callback may use this queue again.
    fn advance(&self, mut state: MutexGuard<'_, QueueState<K>>) {
        let called = state.called();
        drop(state);
        called.into_iter().for_each(|call| call());
    }

    fn state(&self) -> MutexGuard<'_, QueueState<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Ord + Clone> QueueState<K> {
    fn called(&mut self) -> Vec<TurnCallback> {
        let mut called = Vec::new();
        while let Some(ticket) = self.turns.serve() {
            // a caller that left meanwhile has no callback, and gives its turn back when it is dropped
            called.extend(self.calls.remove(&ticket));
        }
        self.most = self.most.max(self.turns.serving());
        called
    }
}

impl<K: Ord + Clone> Turn<K> {
    /// Whether the caller had to wait for this turn.
    pub fn has_waited(&self) -> bool {
        self.has_waited
    }

    /// Adds to the time that the work of this turn took. The line is charged for it when the turn ends.
    pub fn charge(&mut self, cost: Duration) {
        self.cost += cost;
    }
}

impl<K: Ord + Clone> Drop for Turn<K> {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        match state.calls.remove(&self.ticket) {
            Some(_) => state.turns.leave(&self.who, self.ticket),
            None => state.turns.done(&self.who, i64::try_from(self.cost.as_micros()).unwrap_or(i64::MAX)),
        }
        self.queue.advance(state);
    }
}

impl<K: Ord + Clone> Drop for Started<K> {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        let call = state.calls.remove(&self.ticket);
        if call.is_some() {
            state.turns.leave(&self.who, self.ticket);
        }
        self.queue.advance(state);
        // dropped last, because dropping what the work holds may use this queue again
        drop(call);
    }
}
