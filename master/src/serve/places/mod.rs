//! Limits connections that cost something before the master knows who connects: strangers at the RPC port, and visitors of the pages.
//! Each holds a place. If places are short, the oldest silent connection is closed, so that nobody waits for a silent one.

mod neighbour;
mod rule;
mod watched;

pub(crate) use rule::{Capacity, Patience};
pub(crate) use watched::Watched;

use neighbour::Neighbour;
use rule::{Admission, Places};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// The time after which a guest who waits for a place checks again whether another guest has fallen silent.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// The time after which a guest with a request under way is checked again.
const WHILE_AT_WORK: Duration = Duration::from_secs(1);

/// A `Doorkeeper` gives out places and takes them back.
pub(crate) struct Doorkeeper {
    begun: Instant,
    state: Mutex<PlacesState>,
    /// Wakes the guests who wait, when another has left.
    left: Notify,
    /// Wakes all guests when it becomes crowded or is no longer crowded, because their deadlines then change.
    turned: Notify,
}

struct PlacesState {
    places: Places,
    /// The tokens that tell a guest to leave, by the guest's number.
    words: BTreeMap<u64, CancellationToken>,
}

/// A `Place` is the place of one guest. Dropping it gives the place back.
pub(crate) struct Place {
    keeper: Arc<Doorkeeper>,
    id: u64,
    word: CancellationToken,
}

impl Doorkeeper {
    pub(crate) fn new(bounds: Capacity) -> Arc<Doorkeeper> {
        let state = PlacesState { places: Places::new(bounds), words: BTreeMap::new() };
        Arc::new(Doorkeeper {
            begun: Instant::now(),
            state: Mutex::new(state),
            left: Notify::new(),
            turned: Notify::new(),
        })
    }

    /// Waits for a place. `None` means that this address has too many places, and none of them is silent.
    pub(crate) async fn admit(self: &Arc<Doorkeeper>, from: IpAddr) -> Option<Place> {
        let from = Neighbour::of(from);
        loop {
            let (verdict, id) = match self.ask(from) {
                Admission::Enters(id) => (None, id),
                Admission::Replaces { id, other } => (Some(other), id),
                Admission::TurnedAway => return None,
                Admission::Waits => {
                    tokio::select! {
                        () = self.left.notified() => (),
                        () = sleep(LOOK_AGAIN) => (),
                    }
                    continue;
                }
            };
            return Some(self.seat(id, verdict));
        }
    }

    fn ask(&self, from: Neighbour) -> Admission {
        let now = self.now();
        self.change(|places| places.admit(now, from))
    }

    fn seat(self: &Arc<Doorkeeper>, id: u64, instead_of: Option<u64>) -> Place {
        let word = CancellationToken::new();
        let mut state = self.state();
        state.words.insert(id, word.clone());
        let other = instead_of.and_then(|other| state.words.remove(&other));
        drop(state);
        other.iter().for_each(CancellationToken::cancel);
        Place { keeper: self.clone(), id, word }
    }

    fn change<R>(&self, change: impl FnOnce(&mut Places) -> R) -> R {
        let mut state = self.state();
        let before = state.places.is_crowded();
        let result = change(&mut state.places);
        let after = state.places.is_crowded();
        drop(state);
        if before != after {
            self.turned.notify_waiters();
        }
        result
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn state(&self) -> MutexGuard<'_, PlacesState> {
        // a panic cannot leave the state half changed
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Begins a stage in which the guest must do something within the given time.
    pub(crate) fn want(&self, patience: Patience) {
        let now = self.keeper.now();
        self.keeper.change(|places| places.want(now, self.id, patience));
    }

    /// Notes that the guest got what it came for, which frees its place.
    pub(crate) fn served(&self) {
        let now = self.keeper.now();
        self.keeper.change(|places| places.served(now, self.id));
        self.keeper.left.notify_one();
    }

    /// Notes that a request of the guest is being worked on, until the result is dropped.
    pub(crate) fn work(self: &Arc<Place>) -> OpenRequest {
        let now = self.keeper.now();
        self.keeper.change(|places| places.asked(now, self.id));
        OpenRequest(self.clone())
    }

    /// Resolves when the guest must go, and returns the reason.
    pub(crate) async fn sent_away(&self) -> &'static str {
        loop {
            let mut turned = std::pin::pin!(self.keeper.turned.notified());
            turned.as_mut().enable();
            let end = self.end();
            if end.is_some_and(|end| end <= Instant::now()) {
                return "it took too long";
            }
            let next = end.unwrap_or_else(|| Instant::now() + WHILE_AT_WORK);
            tokio::select! {
                biased;
                () = self.word.cancelled() => return "it was silent, and its place was needed",
                () = sleep_until(next) => (),
                () = turned => (),
            }
        }
    }

    fn end(&self) -> Option<Instant> {
        self.keeper.state().places.end(self.id).map(|end| self.keeper.begun + end)
    }

    fn heard(&self) {
        let now = self.keeper.now();
        self.keeper.change(|places| places.heard(now, self.id));
    }

    fn awaits(&self) {
        self.keeper.change(|places| places.awaits(self.id));
    }

    fn got_on(&self) {
        let now = self.keeper.now();
        self.keeper.change(|places| places.got_on(now, self.id));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.keeper.change(|places| places.leave(self.id));
        self.keeper.state().words.remove(&self.id);
        self.keeper.left.notify_one();
    }
}

/// An `OpenRequest` is a request that is being worked on. Dropping it ends the request.
pub(crate) struct OpenRequest(Arc<Place>);

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let now = self.0.keeper.now();
        self.0.keeper.change(|places| places.answered(now, self.0.id));
    }
}
