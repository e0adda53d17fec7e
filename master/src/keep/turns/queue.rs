//! Callers that wait for their turn, and work that is begun when its turn comes.
//!
//! A caller that nobody polls keeps the turn that it was given. So whoever reads, and then waits for something else in the same
//! task, could wait for itself. Work that is handed over by [`TurnQueue::start`] needs no poll.

use super::{Bounds, TurnNumber, Turns};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Turns that can be waited for, from any thread. Clones are the same queue.
pub struct TurnQueue<K: Ord + Clone>(Arc<Mutex<QueueState<K>>>);

struct QueueState<K> {
    turns: Turns<K>,
    /// The callbacks by which those who wait are called.
    calls: HashMap<TurnNumber, TurnCallback>,
    most: usize,
}

type TurnCallback = Box<dyn FnOnce() + Send>;

/// How much went on in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueLoad {
    pub serving: usize,
    pub waiting: usize,
    /// The most that were served at once so far.
    pub most: usize,
}

/// A place in the queue, then a turn, until it is dropped.
#[derive(Debug)]
pub struct Turn<K: Ord + Clone> {
    queue: TurnQueue<K>,
    who: K,
    ticket: TurnNumber,
    cost: Duration,
    has_waited: bool,
}

/// Work whose turn has not come. Dropping it takes the work back; work that was begun goes on.
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

    /// Waits for a turn. May be dropped while it waits. Whoever waits must be polled until it has given the turn back.
    pub async fn turn(&self, who: K) -> Turn<K> {
        let (call, mut called) = oneshot::channel();
        let ticket = self.join(&who, Box::new(move || _ = call.send(())));
        // made before it is its turn: dropped meanwhile, it leaves its place
        let mut turn = Turn { queue: self.clone(), who, ticket, cost: Duration::ZERO, has_waited: false };
        if called.try_recv().is_err() {
            turn.has_waited = true;
            // the sender is kept until it is this one's turn
            let _ = called.await;
        }
        turn
    }

    /// Begins `work` when its turn comes, on whatever thread that is: at once, or where another one ends. The turn lasts until
    /// `work` drops it.
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

    /// Calls those whose turn it is, once the state is free again: what is called may come back here.
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
            // whoever left meanwhile gives its turn back as it drops it
            called.extend(self.calls.remove(&ticket));
        }
        self.most = self.most.max(self.turns.serving());
        called
    }
}

impl<K: Ord + Clone> Turn<K> {
    /// Whether others were before this turn.
    pub fn has_waited(&self) -> bool {
        self.has_waited
    }

    /// What was done in this turn took this long.
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
        // last: what the work holds may come back here
        drop(call);
    }
}
