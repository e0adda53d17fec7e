//! Committed events by number: keeps the newest in memory, reads older ones from history, wakes who waits.
//! Who may see which event is decided by the api.

use crate::store::{Readers, StoreError, query};
use schema::values::{Cursor, Event};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use tokio::sync::watch;

/// Events kept in memory; a subscriber that is further behind reads history.
const RING: usize = 4_096;

pub struct Feed {
    readers: Readers,
    incarnation: u64,
    recent: RefCell<VecDeque<Rc<Event>>>,
    last: watch::Sender<u64>,
}

/// What follows a cursor.
#[derive(Clone, Debug)]
pub enum Batch {
    /// In order, at least one.
    Events(Vec<Rc<Event>>),
    /// These are no longer kept, or were of another incarnation.
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
    /// `last`: the number of the newest event in the store.
    pub fn new(readers: Readers, incarnation: u64, last: u64) -> Feed {
        Feed { readers, incarnation, recent: RefCell::default(), last: watch::Sender::new(last) }
    }

    /// The number of the newest committed event.
    pub fn last(&self) -> u64 {
        *self.last.borrow()
    }

    /// Takes events that were committed, in order, and wakes who waits for them.
    pub fn publish(&self, events: Vec<Event>) {
        let Some(last) = events.last().map(|event| event.sequence) else { return };
        let mut recent = self.recent.borrow_mut();
        recent.extend(events.into_iter().map(Rc::new));
        let excess = recent.len().saturating_sub(RING);
        recent.drain(..excess);
        drop(recent);
        self.last.send_replace(last);
    }

    /// What follows the cursor, at most `limit` events; waits until there is something.
    pub async fn next(&self, cursor: Cursor, limit: usize) -> Result<Batch, StoreError> {
        let last = self.last();
        if cursor.incarnation != self.incarnation || cursor.after > last {
            // a cursor that was never set begins at the beginning
            if cursor != Cursor::default() {
                return Ok(Batch::Gap { first: cursor.after.min(last) + 1, last });
            }
        }
        let mut newest = self.last.subscribe();
        if newest.wait_for(|last| *last > cursor.after).await.is_err() {
            return Err(StoreError::Closed);
        }
        if let Some(events) = self.recent_after(cursor.after, limit) {
            return Ok(Batch::Events(events));
        }
        self.past_after(cursor.after, limit).await
    }

    /// None: the ring does not reach back so far.
    fn recent_after(&self, after: u64, limit: usize) -> Option<Vec<Rc<Event>>> {
        let recent = self.recent.borrow();
        let first = recent.front()?.sequence;
        let skip = usize::try_from((after + 1).checked_sub(first)?).ok()?;
        Some(recent.iter().skip(skip).take(limit).cloned().collect())
    }

    async fn past_after(&self, after: u64, limit: usize) -> Result<Batch, StoreError> {
        let events = self.readers.query(move |store| query::events(store, after, limit)).await?;
        match events.first() {
            Some(first) if first.sequence == after + 1 => Ok(Batch::Events(events.into_iter().map(Rc::new).collect())),
            Some(first) => Ok(Batch::Gap { first: after + 1, last: first.sequence - 1 }),
            None => Ok(Batch::Gap { first: after + 1, last: self.last() }),
        }
    }
}
