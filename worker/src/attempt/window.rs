//! Bounds how many bytes of logs are in flight on one connection, over all of its logs. The bound adapts to the link. All bytes in
//! flight arrive before the next `renew`. Without a bound, a step that prints much over a slow line could therefore cost its lease.
//!
//! A long latency is not a slow line. With a long latency each answer takes its time, however little is in flight. Over a slow line the
//! answers come sooner once less is in flight.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The least room that is taken at once, in bytes. It is the unit of the window.
pub(super) const UNIT_BYTES: usize = 8 << 10;
/// The limit for bytes in flight. It is enough for a fast line with a long latency.
pub(super) const WINDOW_BYTES: usize = 2 << 20;
/// The limit for bytes in flight at first. Over a link of 64 kbit/s they take 8 s. On a fast link the number doubles with each answer.
const FIRST_BYTES: usize = 64 << 10;
/// The times that change the bound. An answer that came sooner than the first raises it, and one that took longer than the second
/// lowers it. The second also bounds how long logs delay a `renew` on a steady line. It is well below the shortest lease.
const SOON: Duration = Duration::from_millis(500);
const LATE: Duration = Duration::from_secs(1);
/// The longest latency that a link may have, including the time that the master's disk takes. Behind logs on a steady line, a `renew`
/// waits at most for this time and [`LATE`] together.
const WAY_MAX: Duration = Duration::from_secs(5);

/// The room of one connection for bytes in flight, which its logs share.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    /// One permit for each free unit.
    free: Arc<Semaphore>,
    /// The number of units, taken or free.
    units: Rc<Cell<usize>>,
    pace: Rc<Cell<Pace>>,
}

/// The measured time that answers take.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    /// The shortest time of an answer so far, which is the latency alone.
    way: Duration,
    /// The late answer after which the bound was lowered. `None` means that no answer was late.
    late: Option<LateAnswer>,
}

/// An answer that took longer than [`LATE`].
#[derive(Clone, Copy, Debug)]
struct LateAnswer {
    took: Duration,
    /// The number of units that were in flight for the late answer.
    units: usize,
    /// The time at which the bound was lowered.
    at: Instant,
}

/// Room for a part of a log that is under way.
#[derive(Debug)]
pub(crate) struct Room {
    taken: OwnedSemaphorePermit,
    since: Instant,
    window: Window,
}

impl Window {
    pub(crate) fn new() -> Window {
        let units = FIRST_BYTES / UNIT_BYTES;
        Window { free: Arc::new(Semaphore::new(units)), units: Rc::new(Cell::new(units)), pace: Rc::default() }
    }

    /// Waits in turn until some room is free. Takes all free room, up to this many bytes.
    pub(crate) async fn room(&self, bytes: usize) -> Room {
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

    fn grow_to(&self, units: usize) {
        let before = self.set(units);
        self.free.add_permits(self.units.get().saturating_sub(before));
    }

    /// Returns how much longer than the latency an answer took. Notes the shortest time so far.
    fn delay(&self, took: Duration) -> Duration {
        let mut pace = self.pace.get();
        pace.way = pace.way.min(took);
        self.pace.set(pace);
        took - pace.way
    }

    /// Whether a long latency makes an answer late. Such an answer took about as long as an earlier one for which twice as much was in
    /// flight. An answer to bytes that were sent before the bound was lowered does not count. Notes the latency.
    fn is_far(&self, since: Instant, took: Duration) -> bool {
        let mut pace = self.pace.get();
        let Some(late) = pace.late.filter(|late| late.at <= since && self.units.get() * 2 <= late.units) else {
            return false;
        };
        let is_far = took * 4 >= late.took * 3 && took <= WAY_MAX;
        pace.late = None;
        if is_far {
            pace.way = took;
        }
        self.pace.set(pace);
        is_far
    }

    fn forget_late(&self) {
        self.pace.set(Pace { late: None, ..self.pace.get() });
    }

    fn note_late(&self, took: Duration, units: usize) {
        let mut pace = self.pace.get();
        if pace.late.is_none() {
            pace.late = Some(LateAnswer { took, units, at: Instant::now() });
            self.pace.set(pace);
        }
    }
}

impl Room {
    /// Returns the number of bytes for which there is room.
    pub(crate) fn bytes(&self) -> usize {
        self.taken.num_permits() * UNIT_BYTES
    }

    /// Notes an answer to the bytes that were sent in this room. The time that it took decides how much may be in flight from now on.
    pub(crate) fn answered(mut self) {
        let (took, units) = (self.since.elapsed(), self.window.units.get());
        let delay = self.window.delay(took);
        if delay < SOON {
            self.window.forget_late();
            self.window.grow_to(units * 2);
        } else if delay > LATE && self.window.is_far(self.since, took) {
            self.window.grow_to(units * 2);
        } else if delay > LATE {
            self.window.note_late(took, units);
            let least = units.div_ceil(2).max(units.saturating_sub(self.taken.num_permits()));
            self.window.set(least.max(1));
            // One unit always stays, because a log may wait for it.
            if let Some(gone) = self.taken.split(units - self.window.units.get()) {
                gone.forget();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the bytes in flight together on a simulated line, which answers each write after the bytes before it.
    async fn in_flight(bytes_per_second: usize, way: Duration, writes: usize) -> usize {
        let window = Window::new();
        let mut last = 0;
        for _ in 0..writes {
            let mut rooms = vec![window.room(128 << 10).await];
            while window.free.available_permits() > 0 {
                rooms.push(window.room(128 << 10).await);
            }
            last = rooms.iter().map(Room::bytes).sum();
            tokio::time::sleep(way).await;
            for room in rooms {
                tokio::time::sleep(Duration::from_secs_f64(room.bytes() as f64 / bytes_per_second as f64)).await;
                room.answered();
            }
        }
        last
    }

    /// A variant of F15: over a satellite, or to a master with a slow disk, each answer is late although the line is not slow.
    #[tokio::test(start_paused = true)]
    async fn a_long_way_is_no_slow_line() {
        for way in [1_500, 2_500, 4_500].map(Duration::from_millis) {
            let far = in_flight(10 << 20, way, 20).await;
            assert!(far >= 1 << 20, "{way:?}: {far} bytes");
            let far_and_slow = in_flight(8_000, way, 40).await;
            assert!(far_and_slow <= 4 * UNIT_BYTES, "{way:?}, 64 kbit/s: {far_and_slow} bytes");
        }
        let too_far = in_flight(10 << 20, WAY_MAX * 2, 20).await;
        assert!(too_far <= 2 * UNIT_BYTES, "nobody takes 10 s for a way: {too_far} bytes");
    }

    /// F15: the bytes in flight over a slow line soon become few, so a `renew` waits only for a short time.
    #[tokio::test(start_paused = true)]
    async fn the_window_follows_the_line() {
        let slow = in_flight(8_000, Duration::ZERO, 20).await;
        assert!(slow <= 2 * UNIT_BYTES, "64 kbit/s: {slow} bytes");
        let fast = in_flight(100 << 20, Duration::ZERO, 20).await;
        assert_eq!(fast, WINDOW_BYTES);
        let middle = in_flight(1 << 20, Duration::ZERO, 40).await;
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
            let units = u32::try_from(room.bytes() / UNIT_BYTES).unwrap();
            tokio::time::sleep(LATE * 2 * units).await;
            room.answered();
        }
        assert_eq!((window.units.get(), window.free.available_permits()), (1, 1));
        drop(window.room(1).await);
        assert_eq!(window.free.available_permits(), 1, "a write that failed gives its room back");
    }
}
