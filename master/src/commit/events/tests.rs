//! Tests of the feed. It must show each event once and in order, or a gap that says which events are missing.

use super::*;
use crate::decide::coordinator::record::Record;
use crate::keep::store::Store;
use futures::FutureExt as _;
use schema::values::{Fact, Time};
use std::future::Future;
use std::pin::pin;

const INCARNATION: u64 = 7;

fn event(sequence: u64) -> Event {
    let fact = Fact::WorkerAttached { worker: format!("w{sequence}") };
    Event { sequence, time: Time(sequence), origin: None, project: String::new(), build: 0, fact }
}

fn events(from: u64, to: u64) -> Vec<Event> {
    (from..=to).map(event).collect()
}

fn at(after: u64) -> Cursor {
    Cursor { incarnation: INCARNATION, after }
}

/// The result of a future that is ready at once. In memory, this is every future that does not wait for an event.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing to wait for")
}

fn commit(store: &Store, events: &[Event]) {
    now(store.commit(events.iter().cloned().map(Record::Event).collect())).unwrap();
}

/// A feed of a store that holds events up to `last`, none of them in the ring.
fn feed(name: &str, last: u64) -> (Store, Feed) {
    let store = Store::in_memory(name).unwrap();
    commit(&store, &events(1, last));
    let feed = Feed::new(store.readers(), INCARNATION, last);
    (store, feed)
}

fn numbers(batch: &Batch) -> Vec<u64> {
    batch.events().iter().map(|event| event.sequence).collect()
}

fn gap(batch: Batch) -> (u64, u64) {
    match batch {
        Batch::Gap { first, last } => (first, last),
        Batch::Events(events) => panic!("no gap, but {events:?}"),
    }
}

#[test]
fn history_and_ring_join_without_a_gap() {
    let (store, feed) = feed("feed-joins", 100);
    let newer = events(101, 101 + RING as u64 + 50);
    commit(&store, &newer);
    feed.publish(newer);
    let (mut cursor, mut seen) = (Cursor::default(), Vec::new());
    while cursor.after < feed.last() {
        let batch = now(feed.next(crate::keep::turns::PROGRAM, cursor, 37)).unwrap();
        seen.extend(numbers(&batch));
        cursor = batch.end(INCARNATION);
    }
    assert_eq!(seen, (1..=feed.last()).collect::<Vec<_>>());
}

#[test]
fn what_is_committed_and_not_published_waits() {
    let (store, feed) = feed("feed-ahead", 3);
    commit(&store, &events(4, 6));
    let batch = now(feed.next(crate::keep::turns::PROGRAM, at(1), 100)).unwrap();
    assert_eq!(numbers(&batch), [2, 3]);
    feed.publish(events(4, 6));
    assert_eq!(numbers(&now(feed.next(crate::keep::turns::PROGRAM, batch.end(INCARNATION), 100)).unwrap()), [4, 5, 6]);
}

#[test]
fn a_cursor_that_is_not_of_this_life_gets_a_gap() {
    let (_store, feed) = feed("feed-gap", 9);
    let foreign = |after| Cursor { incarnation: INCARNATION + 1, after };
    assert_eq!(gap(now(feed.next(crate::keep::turns::PROGRAM, foreign(4), 10)).unwrap()), (5, 9));
    assert_eq!(
        gap(now(feed.next(crate::keep::turns::PROGRAM, foreign(400), 10)).unwrap()),
        (9, 9),
        "a gap is never empty"
    );
    assert_eq!(numbers(&now(feed.next(crate::keep::turns::PROGRAM, Cursor::default(), 2)).unwrap()), [1, 2]);
}

/// A subscriber sends a cursor that is beyond the newest event.
#[test]
fn a_cursor_beyond_the_newest_event_waits_for_what_follows_it() {
    let (_store, feed) = feed("feed-beyond", 9);
    let mut waits = Box::pin(feed.next(crate::keep::turns::PROGRAM, at(11), 10));
    assert!(waits.as_mut().now_or_never().is_none());
    feed.publish(events(10, 11));
    assert!(waits.as_mut().now_or_never().is_none());
    feed.publish(events(12, 12));
    assert_eq!(numbers(&now(waits).unwrap()), [12]);
}

#[test]
fn subscribers_share_an_event_and_wait_without_polling() {
    let (_store, feed) = feed("feed-many", 5);
    let mut waiting: Vec<_> = (0..1_000).map(|_| Box::pin(feed.next(crate::keep::turns::PROGRAM, at(5), 10))).collect();
    assert!(waiting.iter_mut().all(|next| next.as_mut().now_or_never().is_none()));
    feed.publish(events(6, 7));
    let batches: Vec<Batch> = waiting.into_iter().map(|next| now(next).unwrap()).collect();
    let Batch::Events(first) = &batches[0] else { panic!("a gap") };
    for batch in &batches {
        assert_eq!(numbers(batch), [6, 7]);
        assert!(Rc::ptr_eq(&batch.events()[0], &first[0]));
    }
}

#[test]
fn a_dropped_wait_loses_nothing() {
    let (_store, feed) = feed("feed-dropped", 0);
    {
        let waits = pin!(feed.next(crate::keep::turns::PROGRAM, at(0), 10));
        assert!(waits.now_or_never().is_none());
    }
    feed.publish(events(1, 2));
    assert_eq!(numbers(&now(feed.next(crate::keep::turns::PROGRAM, at(0), 0)).unwrap()), [1], "a limit of 0 means one");
}

#[test]
#[should_panic(expected = "without a gap")]
fn a_gap_is_never_published() {
    let (_store, feed) = feed("feed-order", 2);
    feed.publish(events(4, 4));
}

#[test]
fn a_batch_is_bounded_by_bytes_and_has_at_least_one_event() {
    let large = |sequence: u64| Event {
        fact: Fact::WorkerAttached { worker: "w".repeat(limits::BATCH_BYTES / 3) },
        ..event(sequence)
    };
    let store = Store::in_memory("feed-bytes").unwrap();
    let huge = Event { fact: Fact::WorkerAttached { worker: "w".repeat(2 * limits::BATCH_BYTES) }, ..event(4) };
    let all: Vec<Event> = (1..=3).map(large).chain([huge, event(5)]).collect();
    commit(&store, &all);
    let past = Feed::new(store.readers(), INCARNATION, 5);
    let ring = Feed::new(store.readers(), INCARNATION, 0);
    ring.publish(all);
    for feed in [past, ring] {
        let mut cursor = at(0);
        let mut batches = Vec::new();
        while cursor.after < 5 {
            let batch = now(feed.next(crate::keep::turns::PROGRAM, cursor, 256)).unwrap();
            cursor = batch.end(INCARNATION);
            batches.push(numbers(&batch));
        }
        assert_eq!(batches, [vec![1, 2], vec![3], vec![4], vec![5]]);
    }
}

#[test]
fn large_events_leave_the_ring_sooner_and_are_read_from_history() {
    let (store, feed) = feed("feed-large", 0);
    let large = |sequence| {
        let fact = Fact::Alarm { text: "x".repeat(1 << 20) };
        Event { fact, ..event(sequence) }
    };
    let pushed: Vec<Event> = (1..=40).map(large).collect();
    commit(&store, &pushed);
    feed.publish(pushed);
    let recent = feed.recent.borrow();
    assert!(
        recent.bytes <= RING_BYTES && recent.events.len() == 15,
        "{} of {} bytes",
        recent.events.len(),
        recent.bytes
    );
    drop(recent);
    assert_eq!(numbers(&now(feed.next(crate::keep::turns::PROGRAM, at(0), 1)).unwrap()), [1]);
    assert_eq!(numbers(&now(feed.next(crate::keep::turns::PROGRAM, at(39), 9)).unwrap()), [40]);
}
