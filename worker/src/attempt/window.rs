//! How many bytes of logs are in flight on one connection, over all of its logs. The bound follows the link: whatever is in flight
//! stands before the next `renew`, and a lease must not be lost because a step prints much over a slow line.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// What is taken of the room at the least, in bytes.
pub(super) const UNIT_BYTES: usize = 8 << 10;
/// The most that is in flight, in bytes: enough for a fast line with a long way.
pub(super) const WINDOW_BYTES: usize = 2 << 20;
/// What may be in flight at first, in bytes: over a line of 64 kbit/s it takes 8 s, and on a fast one it doubles with each answer.
const FIRST_BYTES: usize = 64 << 10;
/// A write that was answered sooner than this lets more be in flight, and one that took longer than the second lets less. The second
/// is the longest that a `renew` waits behind logs on a line that does not change, and the shortest lease is some seconds.
const SOON: Duration = Duration::from_millis(500);
const LATE: Duration = Duration::from_secs(1);

/// The room of one connection for bytes in flight, which its logs share.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    /// A permit for each unit.
    free: Arc<Semaphore>,
    /// How many units there are, taken or free.
    units: Rc<Cell<usize>>,
}

/// Room for a part of a log that is on its way.
#[derive(Debug)]
pub(super) struct Room {
    taken: OwnedSemaphorePermit,
    since: Instant,
    window: Window,
}

impl Window {
    pub(crate) fn new() -> Window {
        let units = FIRST_BYTES / UNIT_BYTES;
        Window { free: Arc::new(Semaphore::new(units)), units: Rc::new(Cell::new(units)) }
    }

    /// Waits for room in turn, and takes as much as there is then, up to this many bytes.
    pub(super) async fn room(&self, bytes: usize) -> Room {
        let mut taken = self.free.clone().acquire_owned().await.expect("the window is never closed");
        let more = bytes.div_ceil(UNIT_BYTES).saturating_sub(1).min(self.free.available_permits());
        if let Ok(more) = self.free.clone().try_acquire_many_owned(u32::try_from(more).unwrap_or(0)) {
            taken.merge(more);
        }
        Room { taken, since: Instant::now(), window: self.clone() }
    }

    fn set(&self, units: usize) -> usize {
        self.units.replace(units.clamp(1, WINDOW_BYTES / UNIT_BYTES))
    }
}

impl Room {
    /// How many bytes it is for.
    pub(super) fn bytes(&self) -> usize {
        self.taken.num_permits() * UNIT_BYTES
    }

    /// What was sent in it was answered: how long that took says how much may be in flight from now on.
    pub(super) fn answered(mut self) {
        let (took, units) = (self.since.elapsed(), self.window.units.get());
        if took < SOON {
            let before = self.window.set(units * 2);
            self.window.free.add_permits(self.window.units.get() - before);
        } else if took > LATE {
            let least = units.div_ceil(2).max(units.saturating_sub(self.taken.num_permits()));
            self.window.set(least.max(1));
            // one stays in any case, as somebody may wait for it
            if let Some(gone) = self.taken.split(units - self.window.units.get()) {
                gone.forget();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that are in flight together, where each write is answered after what the line takes for all that is before it.
    async fn in_flight(bytes_per_second: usize, writes: usize) -> usize {
        let window = Window::new();
        let mut last = 0;
        for _ in 0..writes {
            let mut rooms = vec![window.room(128 << 10).await];
            while window.free.available_permits() > 0 {
                rooms.push(window.room(128 << 10).await);
            }
            last = rooms.iter().map(Room::bytes).sum();
            for room in rooms {
                tokio::time::sleep(Duration::from_secs_f64(room.bytes() as f64 / bytes_per_second as f64)).await;
                room.answered();
            }
        }
        last
    }

    /// F15: what is in flight over a slow line is soon gone, and so is what a `renew` waits for.
    #[tokio::test(start_paused = true)]
    async fn the_window_follows_the_line() {
        let slow = in_flight(8_000, 20).await;
        assert!(slow <= 2 * UNIT_BYTES, "64 kbit/s: {slow} bytes");
        let fast = in_flight(100 << 20, 20).await;
        assert_eq!(fast, WINDOW_BYTES);
        let middle = in_flight(1 << 20, 40).await;
        assert!((256 << 10..=WINDOW_BYTES).contains(&middle), "8 Mbit/s: {middle} bytes");
    }

    #[tokio::test(start_paused = true)]
    async fn room_is_given_in_turn_and_never_gone_for_good() {
        let window = Window::new();
        let all = window.room(usize::MAX / 2).await;
        assert_eq!(all.bytes(), FIRST_BYTES);
        let waits = {
            let window = window.clone();
            async move { window.room(1).await.bytes() }
        };
        tokio::time::sleep(LATE * 2).await;
        all.answered();
        assert_eq!(waits.await, UNIT_BYTES);
        for _ in 0..20 {
            let room = window.room(1 << 20).await;
            tokio::time::sleep(LATE * 2).await;
            room.answered();
        }
        assert_eq!((window.units.get(), window.free.available_permits()), (1, 1));
        drop(window.room(1).await);
        assert_eq!(window.free.available_permits(), 1, "a write that failed gives its room back");
    }
}
