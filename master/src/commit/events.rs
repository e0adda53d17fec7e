//! The feed of committed events, by their numbers. It keeps the newest events in memory, reads older ones from history, and wakes the
//! subscribers that wait. The api decides who may see which event.

mod turns;

use crate::keep::store::{Readers, StoreError};
use crate::keep::turns::Principal;
use schema::limits::{self, BATCH_BYTES};
use schema::values::{Cursor, Event};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use tokio::sync::watch;
use turns::SubscriberCount;

pub use turns::SubscriberPacing;

/// The most events that are kept in memory. A subscriber that is further behind reads history.
const RING: usize = 4_096;
/// The most bytes of the events that are kept in memory. Most events have some 200 bytes, so only large pushes come near the limit. The
/// event of a change has up to 100 KiB.
const RING_BYTES: usize = 16 << 20;

pub struct Feed {
    readers: Readers,
    incarnation: u64,
    recent: RefCell<EventRing>,
    last: watch::Sender<u64>,
    seats: SubscriberCount,
}

/// An `EventRing` holds the newest events, in order and without a gap. It has at most [`RING`] events, and at most [`RING_BYTES`] unless
/// a single event is larger.
#[derive(Default)]
struct EventRing {
    events: VecDeque<SizedEvent>,
    bytes: usize,
}

/// An event, and its size in bytes on the wire.
#[derive(Clone, Debug)]
struct SizedEvent {
    event: Rc<Event>,
    bytes: usize,
}

impl SizedEvent {
    fn new(event: Event) -> SizedEvent {
        SizedEvent { bytes: limits::event_bytes(&event), event: Rc::new(event) }
    }
}

impl EventRing {
    fn push(&mut self, event: Event) {
        let event = SizedEvent::new(event);
        self.bytes += event.bytes;
        self.events.push_back(event);
        while self.events.len() > RING || (self.bytes > RING_BYTES && self.events.len() > 1) {
            self.bytes -= self.events.pop_front().map_or(0, |oldest| oldest.bytes);
        }
    }
}

/// A `Batch` is what follows a cursor: the next events, or a gap.
#[derive(Clone, Debug)]
pub enum Batch {
    /// The next events in their order, at least one.
    Events(Vec<Rc<Event>>),
    /// The events from `first` to `last` are no longer kept, or belong to another incarnation.
    Gap { first: u64, last: u64 },
}

impl Batch {
    /// The cursor after this batch.
    pub fn end(&self, incarnation: u64) -> Cursor {
        let after = match self {
            Batch::Events(events) => events.last().map_or(0, |event| event.sequence),
            Batch::Gap { last, .. } => *last,
        };
        Cursor { incarnation, after }
    }

    pub fn events(&self) -> &[Rc<Event>] {
        match self {
            Batch::Events(events) => events,
            Batch::Gap { .. } => &[],
        }
    }
}

impl Feed {
    /// Makes a feed. `last` is the number of the newest event in the store.
    pub fn new(readers: Readers, incarnation: u64, last: u64) -> Feed {
        Feed {
            readers,
            incarnation,
            recent: RefCell::default(),
            last: watch::Sender::new(last),
            seats: SubscriberCount::default(),
        }
    }

    /// Counts a new subscriber, until the returned pacing is dropped.
    pub fn seat(&self) -> SubscriberPacing {
        self.seats.take()
    }

    /// The number of the newest committed event.
    pub fn last(&self) -> u64 {
        *self.last.borrow()
    }

    /// Takes events that were committed, in order and without a gap. Wakes the subscribers that wait for them.
    pub fn publish(&self, events: Vec<Event>) {
        let Some(last) = events.last().map(|event| event.sequence) else { return };
        let mut recent = self.recent.borrow_mut();
        for (expected, event) in (self.last() + 1..).zip(events) {
            assert_eq!(event.sequence, expected, "events are published in order and without a gap");
            recent.push(event);
        }
        drop(recent);
        self.last.send_replace(last);
    }

    /// Waits until there are events after the cursor. Returns at least one of them, but at most `limit` events and [`BATCH_BYTES`]. A
    /// cursor of another incarnation gets a gap, because the events between are not known. A cursor beyond the newest event waits for the
    /// events that follow it. The future may be dropped while it waits. History is read in the turns of the principal `who`.
    pub async fn next(&self, who: Principal, cursor: Cursor, limit: usize) -> Result<Batch, StoreError> {
        let last = self.last();
        // A cursor that was never set begins at the first event. If there is no event yet, no cursor can have missed one.
        let is_ours = cursor.incarnation == self.incarnation || cursor == Cursor::default() || last == 0;
        if !is_ours {
            return Ok(Batch::Gap { first: cursor.after.min(last - 1) + 1, last });
        }
        let mut newest = self.last.subscribe();
        if newest.wait_for(|last| *last > cursor.after).await.is_err() {
            return Err(StoreError::Closed);
        }
        let limit = limit.max(1);
        match self.recent_after(cursor.after, limit) {
            Some(events) => Ok(Batch::Events(events)),
            None => self.past_after(who, cursor.after, limit).await,
        }
    }

    /// The events after this number, from the ring. `None` means that the ring does not reach back that far.
    fn recent_after(&self, after: u64, limit: usize) -> Option<Vec<Rc<Event>>> {
        let recent = &self.recent.borrow().events;
        let first = recent.front()?.event.sequence;
        let skip = usize::try_from((after + 1).checked_sub(first)?).ok()?;
        let end = recent.len().min(skip.saturating_add(limit));
        let mut left = BATCH_BYTES;
        let fits = |event: &&SizedEvent| {
            // The first event is always included, however large it is.
            let goes = left == BATCH_BYTES || event.bytes <= left;
            left = left.saturating_sub(event.bytes);
            goes
        };
        let fitting = recent.range(skip.min(end)..end).take_while(fits);
        Some(fitting.map(|sized| sized.event.clone()).collect())
    }

    /// Reads history. Events that are committed but not published yet are left for later, so that no cursor runs ahead of `last`.
    async fn past_after(&self, who: Principal, after: u64, limit: usize) -> Result<Batch, StoreError> {
        let last = self.last();
        let known = usize::try_from(last - after).unwrap_or(usize::MAX);
        let limit = limit.min(known);
        let mut events = self.readers.of(who).events_after(after, limit).await?;
        events.retain(|event| event.sequence <= last);
        match events.first() {
            Some(first) if first.sequence == after + 1 => Ok(Batch::Events(events.into_iter().map(Rc::new).collect())),
            Some(first) => Ok(Batch::Gap { first: after + 1, last: first.sequence - 1 }),
            None => Ok(Batch::Gap { first: after + 1, last }),
        }
    }
}

/// One subscriber's way to read events. It publishes nothing, and history is read in the subscriber's own turns.
#[derive(Clone)]
pub struct Subscription {
    feed: Rc<Feed>,
    who: Principal,
}

impl Subscription {
    pub fn new(feed: Rc<Feed>, who: Principal) -> Subscription {
        Subscription { feed, who }
    }

    /// Counts a new subscriber, as [`Feed::seat`] does.
    pub fn seat(&self) -> SubscriberPacing {
        self.feed.seat()
    }

    /// The cursor after the newest committed event.
    pub fn newest(&self) -> Cursor {
        Cursor { incarnation: self.feed.incarnation, after: self.feed.last() }
    }

    /// Waits for the events after a cursor, as [`Feed::next`] does.
    pub async fn next(&self, cursor: Cursor, limit: usize) -> Result<Batch, StoreError> {
        self.feed.next(self.who, cursor, limit).await
    }

    /// The cursor after a batch of this subscription.
    pub fn end(&self, batch: &Batch) -> Cursor {
        batch.end(self.feed.incarnation)
    }
}

#[cfg(test)]
mod tests;
