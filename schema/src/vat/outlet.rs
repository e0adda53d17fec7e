//! The queue of answers that may be large. A peer may ask for thousands of them and read slowly, and finished answers wait in
//! memory. So a large answer is begun only once the peer has read most of the earlier ones. This module knows no connection.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::limits::borders::{OUTLET_ANSWERS, OUTLET_WAITING};

/// The outlet of one connection. Clones are the same outlet. The default one belongs to no connection and is always free.
#[derive(Clone, Default)]
pub struct Outlet(Option<Rc<OutletState>>);

struct OutletState {
    turns: Arc<Semaphore>,
    /// The bytes that wait for the peer to read them.
    waiting: Cell<usize>,
    drained: Notify,
}

/// The right to make one large answer. Dropping it gives the right back.
#[derive(Debug)]
pub struct OutletTurn(#[expect(dead_code, reason = "it lasts until it is dropped")] Option<OwnedSemaphorePermit>);

impl Outlet {
    pub(super) fn open() -> Self {
        let (turns, waiting) = (Arc::new(Semaphore::new(OUTLET_ANSWERS.count())), Cell::new(0));
        Self(Some(Rc::new(OutletState { turns, waiting, drained: Notify::new() })))
    }

    /// Waits until a large answer may be begun. Callers get their turns in the order in which they asked. Once the connection is
    /// over, it returns at once.
    pub async fn turn(&self) -> OutletTurn {
        let Some(state) = &self.0 else { return OutletTurn(None) };
        let permit = state.turns.clone().acquire_owned().await.ok();
        loop {
            let mut drained = std::pin::pin!(state.drained.notified());
            drained.as_mut().enable();
            if state.has_room() {
                return OutletTurn(permit);
            }
            drained.await;
        }
    }

    /// Records how many bytes wait for the peer to read them.
    pub(super) fn set(&self, waiting: usize) {
        let Some(state) = &self.0 else { return };
        let had_room = state.has_room();
        state.waiting.set(waiting);
        if !had_room && state.has_room() {
            state.drained.notify_waiters();
        }
    }

    /// Gives a turn to every caller that waits or comes later, because the connection is over.
    pub(super) fn close(&self) {
        self.set(0);
        if let Some(state) = &self.0 {
            state.turns.close();
        }
    }
}

impl OutletState {
    fn has_room(&self) -> bool {
        self.waiting.get() <= OUTLET_WAITING.count()
    }
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outlet")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[test]
    fn a_large_answer_waits_for_those_before_it() {
        let outlet = Outlet::open();
        let turn = || outlet.turn().now_or_never();
        let held: Vec<_> = (0..OUTLET_ANSWERS.count()).map(|_| turn().expect("there is one")).collect();
        assert!(turn().is_none(), "so many are made at once");
        drop(held);
        outlet.set(OUTLET_WAITING.count());
        assert!(turn().is_some());
        outlet.set(OUTLET_WAITING.count() + 1);
        assert!(turn().is_none(), "too much waits to be read");
        let mut next = Box::pin(outlet.turn());
        assert!(next.as_mut().now_or_never().is_none());
        outlet.set(0);
        assert!(next.now_or_never().is_some(), "it was read");
    }

    #[test]
    fn nobody_waits_for_a_connection_that_is_over() {
        let outlet = Outlet::open();
        outlet.set(usize::MAX);
        let mut waiting: Vec<_> = (0..9).map(|_| Box::pin(outlet.turn())).collect();
        assert!(waiting.iter_mut().all(|turn| turn.as_mut().now_or_never().is_none()));
        outlet.close();
        assert!(waiting.into_iter().all(|turn| turn.now_or_never().is_some()));
        assert!(Outlet::default().turn().now_or_never().is_some(), "there was none");
    }
}
