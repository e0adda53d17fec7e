//! Checks the promises of turns for any crowd of callers, and that a queue keeps them.

use super::*;
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const BOUNDS: Bounds = Bounds { in_all: 2, each: 1 };

/// A random event in the life of the turns.
#[derive(Clone, Copy, Debug)]
enum Act {
    Join(u8),
    /// The waiting caller at this place leaves. The place is taken modulo the number of waiting callers.
    Leave(usize),
    /// The served caller at this place is done, at this cost. The place is taken modulo the number of served callers.
    Done(usize, i64),
}

fn act() -> impl Strategy<Value = Act> {
    let cost = prop_oneof![1..SHARE, Just(SHARE), 1..20 * SHARE];
    prop_oneof![
        3 => (0..6u8).prop_map(Act::Join),
        1 => any::<usize>().prop_map(Act::Leave),
        3 => (any::<usize>(), cost).prop_map(|(at, cost)| Act::Done(at, cost)),
    ]
}

/// The turns under test, and what a caller outside knows about them.
struct Crowd {
    turns: Turns<u8>,
    bounds: Bounds,
    waiting: Vec<(u8, TurnNumber)>,
    served: Vec<u8>,
}

impl Crowd {
    fn new(bounds: Bounds) -> Crowd {
        Crowd { turns: Turns::new(bounds), bounds, waiting: Vec::new(), served: Vec::new() }
    }

    fn join(&mut self, who: u8) {
        let ticket = self.turns.join(&who);
        self.waiting.push((who, ticket));
    }

    /// Serves as many callers as the bounds allow, and returns their lines in order.
    fn advance(&mut self) -> Vec<u8> {
        let mut called = Vec::new();
        while let Some(ticket) = self.turns.serve() {
            let at = self.waiting.iter().position(|(_, waiting)| *waiting == ticket).expect("it waits");
            let (who, _) = self.waiting.remove(at);
            let is_first = self.waiting.iter().all(|(other, later)| *other != who || *later > ticket);
            assert!(is_first, "each line is in order");
            called.push(who);
        }
        self.served.extend(&called);
        called
    }

    fn done(&mut self, at: usize, cost: i64) {
        let who = self.served.remove(at % self.served.len());
        self.turns.done(&who, cost);
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Join(who) => self.join(who),
            Act::Leave(at) if !self.waiting.is_empty() => {
                let (who, ticket) = self.waiting.remove(at % self.waiting.len());
                self.turns.leave(&who, ticket);
            }
            Act::Done(at, cost) if !self.served.is_empty() => self.done(at, cost),
            Act::Leave(_) | Act::Done(..) => {}
        }
        self.advance();
        self.check();
    }

    fn check(&self) {
        let of = |who: u8| self.served.iter().filter(|served| **served == who).count();
        assert!(self.served.len() <= self.bounds.in_all && (0..6).all(|who| of(who) <= self.bounds.each));
        assert_eq!(self.turns.serving(), self.served.len());
        let could_be_served = |(who, _): &(u8, TurnNumber)| of(*who) < self.bounds.each;
        let is_idle = self.served.len() < self.bounds.in_all && self.waiting.iter().any(could_be_served);
        assert!(!is_idle, "there is room, and somebody waits who may have it");
        if self.waiting.is_empty() && self.served.is_empty() {
            assert_eq!(self.turns.lines(), 0, "nothing is kept of a crowd that is gone");
        }
    }
}

proptest! {
    #[test]
    fn no_room_is_wasted_and_no_bound_is_passed(
        acts in prop::collection::vec(act(), 1..200),
        in_all in 1..5usize,
        each in 1..4usize,
    ) {
        let mut crowd = Crowd::new(Bounds { in_all, each });
        acts.into_iter().for_each(|act| crowd.act(act));
        // every caller that still waits is served in the end
        while !crowd.served.is_empty() {
            crowd.act(Act::Done(0, 30 * SHARE));
        }
        prop_assert!(crowd.waiting.is_empty());
        prop_assert_eq!(crowd.turns.lines(), 0);
    }

    /// Between two turns of a line that waits, each other line has at most one, however much the others ask for.
    #[test]
    fn each_is_served_within_as_many_turns_as_there_are_lines(
        depths in prop::collection::vec(1..40usize, 2..6),
        costs in prop::collection::vec(1..=SHARE, 20),
    ) {
        let mut crowd = Crowd::new(Bounds { in_all: 1, each: 1 });
        for (who, depth) in (0..).zip(&depths) {
            (0..*depth).for_each(|_| crowd.join(who));
        }
        let mut since = vec![0; depths.len()];
        let mut costs = costs.into_iter().cycle();
        while let [who] = crowd.advance()[..] {
            since.iter_mut().for_each(|turns| *turns += 1);
            prop_assert!(since[usize::from(who)] <= depths.len(), "{since:?}");
            since[usize::from(who)] = 0;
            crowd.done(0, costs.next().unwrap_or(1));
        }
    }

    /// An expensive line beside a line that always waits: the expensive one is served once for each share that it uses.
    #[test]
    fn who_asks_for_much_waits_for_longer(dear in 1..50 * SHARE, cheap in 1..SHARE) {
        let mut crowd = Crowd::new(Bounds { in_all: 1, each: 1 });
        (0..1_000).for_each(|_| (0..2).for_each(|who| crowd.join(who)));
        let mut served = [0, 0];
        for _ in 0..1_000 {
            let [who] = crowd.advance()[..] else { break };
            served[usize::from(who)] += 1;
            crowd.done(0, [dear, cheap][usize::from(who)]);
            prop_assert!((served[0] - 1) * dear <= (served[1] + 2) * SHARE, "{served:?}");
        }
    }
}

#[test]
fn newcomers_keep_nobody_in_debt_out_for_ever() {
    let mut crowd = Crowd::new(Bounds { in_all: 1, each: 1 });
    crowd.join(0);
    assert_eq!(crowd.advance(), [0]);
    crowd.join(0);
    crowd.join(1);
    crowd.done(0, 10 * SHARE);
    let passed_over = (2..=u8::MAX).take_while(|newcomer| {
        crowd.join(*newcomer);
        let is_other = crowd.advance() != [0];
        crowd.done(0, 1);
        is_other
    });
    // two others always wait beside it, and each of its nine visits in debt comes after two turns of others
    assert_eq!(passed_over.count(), 19);
}

#[tokio::test]
async fn callers_wait_come_and_go() {
    let queue = TurnQueue::new(BOUNDS);
    let (first, other) = (queue.turn('a').await, queue.turn('b').await);
    let mut gone = Box::pin(queue.turn('a'));
    assert!(futures::poll!(&mut gone).is_pending());
    assert_eq!(queue.counts(), QueueLoad { serving: 2, waiting: 1, most: 2 });
    drop(gone);
    assert_eq!(queue.counts().waiting, 0);
    // a caller whose turn has come and who is dropped before it is polled passes its turn on
    let (mut called, mut next) = (Box::pin(queue.turn('a')), Box::pin(queue.turn('a')));
    assert!(futures::poll!(&mut called).is_pending() && futures::poll!(&mut next).is_pending());
    drop(first);
    assert_eq!(queue.counts(), QueueLoad { serving: 2, waiting: 1, most: 2 });
    drop(called);
    let mut last = next.await;
    last.charge(Duration::from_millis(5));
    drop((last, other));
    assert_eq!(queue.counts(), QueueLoad { serving: 0, waiting: 0, most: 2 });
}

#[tokio::test]
async fn work_is_begun_though_nobody_polls_whoever_waits_for_it() {
    let queue = TurnQueue::new(Bounds { in_all: 1, each: 1 });
    let first = queue.turn('a').await;
    let done = Arc::new(AtomicUsize::new(0));
    let work = || {
        let done = done.clone();
        move |turn: Turn<char>| {
            done.fetch_add(1, Ordering::Relaxed);
            drop(turn);
        }
    };
    let (_one, taken_back, _other) = (queue.start('a', work()), queue.start('b', work()), queue.start('a', work()));
    drop(taken_back);
    let last = queue.turn('a');
    drop(first);
    assert_eq!(done.load(Ordering::Relaxed), 2, "each was begun as the one before it ended");
    drop(last.await);
    assert_eq!(queue.counts(), QueueLoad { serving: 0, waiting: 0, most: 1 });
}
