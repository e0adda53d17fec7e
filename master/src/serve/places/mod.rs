//! Places for connections that cost something before anything is known of them: strangers at the RPC port, visitors of the pages.
//! If places are short, the oldest silent connection is closed, so that nobody waits for a silent one.

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

/// How often one who waits for a place looks whether another has fallen silent.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How often a guest whose request is worked on is looked at again.
const WHILE_AT_WORK: Duration = Duration::from_secs(1);

/// Gives places out and takes them back.
pub(crate) struct Doorkeeper {
    begun: Instant,
    state: Mutex<PlacesState>,
    /// Wakes who waits when a guest has left.
    left: Notify,
    /// It became crowded, or no longer is: what is waited for ends at another time.
    turned: Notify,
}

struct PlacesState {
    places: Places,
    /// The tokens that tell each guest to leave.
    words: BTreeMap<u64, CancellationToken>,
}

/// A guest's place, given back when dropped.
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

    /// Waits for a place; `None` means that this address has too many.
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
        // No change of the state can be left half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The guest must now do something within the given time.
    pub(crate) fn want(&self, patience: Patience) {
        let now = self.keeper.now();
        self.keeper.change(|places| places.want(now, self.id, patience));
    }

    /// The guest got what it came for.
    pub(crate) fn served(&self) {
        let now = self.keeper.now();
        self.keeper.change(|places| places.served(now, self.id));
        self.keeper.left.notify_one();
    }

    /// Holds the place for as long as a request is worked on.
    pub(crate) fn work(self: &Arc<Place>) -> OpenRequest {
        let now = self.keeper.now();
        self.keeper.change(|places| places.asked(now, self.id));
        OpenRequest(self.clone())
    }

    /// Resolves when the guest must go; says why.
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

/// A request that is worked on; it ends when dropped.
pub(crate) struct OpenRequest(Arc<Place>);

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let now = self.0.keeper.now();
        self.0.keeper.change(|places| places.answered(now, self.0.id));
    }
}
