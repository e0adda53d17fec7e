//! A large ticket begins within a bounded time, even if a stream of small ones never ends (case C20 of `tests/cases.tsv`).

use master::decide::placement::{
    Class, Decision, KEPT_AFTER, LeaseToken, Need, Offer, Placement, PlacementTerms, Session, SessionId, Ticket,
    TimeLimits,
};
use master::decide::steady::Steady;
use schema::values::{Resources, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use support::seed::{Random, with_seeds};

/// The owner of the large ticket. The owners of small ones count from 1.
const LARGE: u32 = 0;
const POOL: &str = "default";
/// The longest time that the work of a small ticket runs, in seconds.
const SMALL_MAX: u64 = 20;
const CORES: u32 = 4;

struct Hall {
    now: Steady,
    it: Placement<u32>,
    sessions: Vec<SessionId>,
    /// The work on each worker: its lease, its cores, and the time of its end.
    running: Vec<Vec<(LeaseToken, u32, Steady)>>,
    rooms: BTreeMap<u32, u32>,
    /// The time that each small one runs, in seconds. `None` means a random time.
    seconds: Option<u64>,
    /// The time at which the large one began.
    began: Option<Steady>,
}

impl Hall {
    fn new(workers: usize) -> Hall {
        let terms = PlacementTerms { offer: Duration::from_secs(10), pools: BTreeMap::new() };
        let (now, mut it) = (Steady(1_000_000), Placement::new(terms, [7; 32]));
        let sessions = (0..workers).map(|number| {
            let mut session = Session::new(format!("w{number}"), Time(now.0), now);
            (session.total, session.pools) = (room(CORES), Box::from([POOL.to_owned()]));
            it.attach(session)
        });
        let sessions: Vec<SessionId> = sessions.collect();
        let running = sessions.iter().map(|_| Vec::new()).collect();
        Hall { now, it, sessions, running, rooms: BTreeMap::new(), seconds: None, began: None }
    }

    fn come(&mut self, owner: u32, cores: u32, priority: i32) {
        self.rooms.insert(owner, cores);
        let pools = BTreeSet::from([POOL.to_owned()]);
        let need = Need { on: String::new(), want: BTreeSet::new(), pools, isolation: None, room: room(cores) };
        let term = Duration::from_secs(3600);
        let ticket = Ticket { owner, need, class: Class::Normal, priority, queued: self.now, term };
        let offer = self.it.enqueue(self.now, ticket);
        self.begin(offer, owner);
    }

    /// Lets the worker begin what it is offered, and ask for more.
    fn begin(&mut self, offer: Option<Offer<u32>>, seed: u32) {
        let Some(offer) = offer else { return };
        let limits = TimeLimits { given: Duration::from_secs(600), for_logs: Duration::from_secs(60) };
        self.it.accept(self.now, offer.token, limits).expect("it was offered");
        let index = self.sessions.iter().position(|id| *id == offer.session).expect("it is connected");
        let by_chance = 1 + u64::from(seed.wrapping_mul(2_654_435_761)) % SMALL_MAX;
        let seconds = self.seconds.unwrap_or(by_chance);
        let end = self.now.after(Duration::from_secs(seconds));
        self.running[index].push((offer.token, self.rooms[&offer.owner], end));
        if offer.owner == LARGE {
            self.began = Some(self.now);
        }
        self.ask(index);
    }

    fn ask(&mut self, index: usize) {
        let used: u32 = self.running[index].iter().map(|(_, cores, _)| cores).sum();
        let offer = self.it.take(self.now, self.sessions[index], room(CORES - used));
        let seed = offer.as_ref().map_or(0, |offer| offer.owner);
        self.begin(offer, seed);
    }

    /// Lets a second pass: timers fire, and work ends.
    fn pass(&mut self) {
        self.now = self.now.after(Duration::from_secs(1));
        while self.it.next_timeout().is_some_and(|time| time <= self.now) {
            if let Some(Decision::Offer(offer)) = self.it.tick(self.now) {
                let seed = offer.owner;
                self.begin(Some(offer), seed);
            }
        }
        for index in 0..self.sessions.len() {
            let (over, left) = self.running[index].drain(..).partition(|(_, _, end)| *end <= self.now);
            self.running[index] = left;
            let over: Vec<(LeaseToken, u32, Steady)> = over;
            for (token, ..) in &over {
                let lease = self.it.complete(self.now, *token).expect("it runs");
                self.it.withdraw(self.now, lease.owner);
            }
            if !over.is_empty() {
                self.ask(index);
            }
        }
    }
}

/// Returns room for this many cores, with a slot for each.
fn room(cores: u32) -> Resources {
    Resources { slots: cores as u16, cpus_milli: cores * 1_000, memory: 0 }
}

/// Returns how long a large ticket of this priority waits behind random small ones. `None` means that it never began.
fn waits(seed: u64, priority: i32) -> Option<Duration> {
    let mut random = Random::new(seed);
    let mut hall = Hall::new(1 + random.below(3));
    (0..hall.sessions.len()).for_each(|index| hall.ask(index));
    let mut owners = LARGE;
    let mut came = None;
    for second in 0..300 {
        // more work arrives than all workers together can do
        for _ in 0..1 + random.below(3) {
            owners += 1;
            hall.come(owners, 1 + random.below(CORES as usize - 1) as u32, 0);
        }
        if second == 20 {
            came = Some(hall.now);
            hall.come(LARGE, CORES, priority);
        }
        hall.pass();
    }
    hall.it.check();
    Some(hall.began?.since(came?))
}

#[test]
fn a_large_ticket_is_not_passed_for_ever() {
    with_seeds("a_large_ticket_is_not_passed_for_ever", 60, |seed| {
        let most = KEPT_AFTER + Duration::from_secs(SMALL_MAX + 2);
        let waited = waits(seed, 100).expect("it began");
        assert!(waited <= most, "it waited for {waited:?}");
    });
}

/// Case C20: the work of small tickets overlaps, so that the whole worker would never be free by itself.
#[test]
fn a_large_ticket_begins_beside_a_stream_that_never_ends() {
    for priority in [0, 100] {
        let mut hall = Hall::new(1);
        hall.seconds = Some(6);
        hall.ask(0);
        let mut came = None;
        for second in 0..300 {
            if second % 3 == 0 {
                hall.come(1 + second, 2, 0);
            }
            if second == 10 {
                came = Some(hall.now);
                hall.come(LARGE, CORES, priority);
            }
            hall.pass();
        }
        let waited = hall.began.expect("it began").since(came.expect("it came"));
        assert!(waited <= KEPT_AFTER + Duration::from_secs(8), "priority {priority}: {waited:?}");
    }
}

#[test]
fn room_is_kept_from_what_stands_behind_and_for_nobody_who_is_gone() {
    let mut hall = Hall::new(1);
    hall.ask(0);
    hall.come(1, 1, 0);
    hall.running[0][0].2 = hall.now.after(Duration::from_secs(300));
    hall.come(LARGE, CORES, 0);
    (0..KEPT_AFTER.as_secs()).for_each(|_| hall.pass());
    hall.come(2, 1, 0);
    assert_eq!(hall.it.kept_for("w0"), Some(LARGE));
    assert_eq!(hall.it.keeper_of(LARGE), Some("w0"));
    assert_eq!(hall.running[0].len(), 1, "the small one waits behind the large one");
    hall.come(3, 1, 1);
    assert_eq!(hall.running[0].len(), 2, "what stands before it does not");
    hall.running[0][1].2 = hall.now.after(Duration::from_secs(300));
    hall.it.withdraw(hall.now, LARGE);
    assert_eq!(hall.it.kept_for("w0"), None);
    hall.pass();
    assert_eq!(hall.running[0].len(), 3, "it was withdrawn: the small one begins by itself");
}
