//! Callers that wait for their turn.

use super::{Bounds, Ticket, Turns};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Turns that can be waited for, from any thread. Clones are the same queue.
#[derive(Debug)]
pub struct Queue<K: Ord + Clone>(Arc<Mutex<State<K>>>);

#[derive(Debug)]
struct State<K> {
    turns: Turns<K>,
    /// Those that wait are called here.
    calls: HashMap<Ticket, oneshot::Sender<()>>,
    most: usize,
}

/// How much went on in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub serving: usize,
    pub waiting: usize,
    /// The most that were served at once so far.
    pub most: usize,
}

/// A place in the queue, then a turn, until it is dropped.
#[derive(Debug)]
pub struct Turn<K: Ord + Clone> {
    queue: Queue<K>,
    who: K,
    ticket: Ticket,
    cost: Duration,
    has_waited: bool,
}

impl<K: Ord + Clone> Clone for Queue<K> {
    fn clone(&self) -> Queue<K> {
        Queue(self.0.clone())
    }
}

impl<K: Ord + Clone> Queue<K> {
    pub fn new(bounds: Bounds) -> Queue<K> {
        Queue(Arc::new(Mutex::new(State { turns: Turns::new(bounds), calls: HashMap::new(), most: 0 })))
    }

    /// Waits for a turn. May be dropped while it waits.
    pub async fn turn(&self, who: K) -> Turn<K> {
        let (call, mut called) = oneshot::channel();
        let mut turn = self.join(who, call);
        if called.try_recv().is_err() {
            turn.has_waited = true;
            // the sender is kept until it is this one's turn
            let _ = called.await;
        }
        turn
    }

    pub fn counts(&self) -> Counts {
        let state = self.state();
        Counts { serving: state.turns.serving(), waiting: state.calls.len(), most: state.most }
    }

    /// From now on one fewer is served at once, but always one.
    pub fn lose_place(&self) {
        self.state().turns.lose_place();
    }

    fn join(&self, who: K, call: oneshot::Sender<()>) -> Turn<K> {
        let mut state = self.state();
        let ticket = state.turns.join(&who);
        state.calls.insert(ticket, call);
        state.advance();
        drop(state);
        Turn { queue: self.clone(), who, ticket, cost: Duration::ZERO, has_waited: false }
    }

    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Ord + Clone> State<K> {
    fn advance(&mut self) {
        while let Some(ticket) = self.turns.serve() {
            if let Some(call) = self.calls.remove(&ticket) {
                // whoever left meanwhile gives its turn back as it drops it
                let _ = call.send(());
            }
        }
        self.most = self.most.max(self.turns.serving());
    }
}

impl<K: Ord + Clone> Turn<K> {
    /// Whether others were before it.
    pub fn has_waited(&self) -> bool {
        self.has_waited
    }

    /// What was done in this turn took so long.
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
        state.advance();
    }
}
