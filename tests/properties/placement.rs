//! Placement alone, against a simple model: random tickets, time, and workers that ask, accept, fall silent, break and drain.
//! After every move the promises of placement hold. When the faults stop, everything ends and every gauge is zero.

use master::decide::placement::{
    Accepted, Class, Decision, Fault, Gauges, KEPT_AFTER, Lease, LeaseState, LeaseToken, Need, Offer, Placement,
    PlacementTerms, PoolTerms, Session, SessionId, Ticket, TimeLimits,
};
use master::decide::steady::Steady;
use schema::values::{Resources, Time, Want};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use support::seed::{Random, with_seeds};

const MOVES: usize = 150;
const OFFER: Duration = Duration::from_secs(10);
const TERM: Duration = Duration::from_secs(60);
const POOL: &str = "default";
/// The workers, each with its name, its platform, its number of cores and its labels.
const WORKERS: [(&str, &str, u32, &[&str]); 4] =
    [("w0", "linux", 2, &[]), ("w1", "linux", 4, &["gpu"]), ("w2", "mac", 2, &[]), ("w3", "linux", 1, &[])];

#[test]
fn placement_keeps_its_promises_under_random_moves() {
    with_seeds("placement_keeps_its_promises_under_random_moves", 600, |seed| {
        let mut world = World::new(seed);
        for _ in 0..MOVES {
            world.random_move();
            world.settle();
        }
        world.calm_down();
    });
}

/// `Waiting` is a queued ticket, with the number of its arrival as the queue counts it.
#[derive(Debug)]
struct Waiting {
    ticket: Ticket<u32>,
    arrival: u64,
}

/// `Worker` is the state that a worker believes in.
#[derive(Default)]
struct Worker {
    session: Option<SessionId>,
    offered: Vec<LeaseToken>,
    /// The work that runs on the worker, with the time at which it stops if nobody renews its lease.
    running: BTreeMap<LeaseToken, Running>,
    /// The free room of the worker, if it waits for an offer.
    asks: Option<Resources>,
    is_stopped: bool,
    drains: bool,
}

struct Running {
    owner: u32,
    room: Resources,
    until: Steady,
}

struct World {
    random: Random,
    now: Steady,
    it: Placement<u32>,
    workers: Vec<Worker>,
    waiting: BTreeMap<u32, Waiting>,
    /// The tickets of owners whose work has not ended, as they were enqueued last.
    tickets: BTreeMap<u32, Ticket<u32>>,
    owners: u32,
    arrivals: u64,
}

impl World {
    fn new(seed: u64) -> World {
        World {
            random: Random::new(seed),
            now: Steady(1_000_000),
            it: Placement::new(terms(None), [7; 32]),
            workers: (0..WORKERS.len()).map(|_| Worker::default()).collect(),
            waiting: BTreeMap::new(),
            tickets: BTreeMap::new(),
            owners: 0,
            arrivals: 0,
        }
    }

    fn random_move(&mut self) {
        let worker = self.random.below(WORKERS.len());
        match self.random.below(18) {
            0..=2 => self.come(),
            3 => self.attach(worker),
            4..=6 => self.take(worker),
            7 | 8 => self.accept(worker),
            9 | 10 => self.complete(worker),
            11 => self.decline(worker),
            12 => self.detach(worker),
            13 => self.hold(worker),
            14 => self.withdraw(),
            15 => self.renew(worker),
            16 => self.meddle(worker),
            _ => self.pass_time(),
        }
    }

    /// Serves the timers that are due, and checks all promises.
    fn settle(&mut self) {
        while self.it.next_timeout().is_some_and(|time| time <= self.now) {
            if let Some(decision) = self.it.tick(self.now) {
                self.decided(decision);
            }
        }
        self.it.check();
        self.check_nobody_starves();
        self.check_kept();
        self.check_leases();
    }

    fn decided(&mut self, decision: Decision<u32>) {
        match decision {
            Decision::Offer(offer) => self.offered(Some(offer)),
            Decision::WentBack(token, lease) => self.went_back(token, &lease),
            Decision::Lapsed(token) => {
                let owner = self.it.lease(token).expect("it lapsed just now").owner;
                if self.random.chance(70) {
                    self.enqueue_again(owner);
                } else {
                    self.end(token);
                }
            }
            Decision::Outstayed(token) | Decision::Overdue(token) => self.end(token),
        }
    }

    fn come(&mut self) {
        self.owners += 1;
        let class = if self.random.chance(70) { Class::Normal } else { Class::Idle };
        let want = if self.random.chance(20) { BTreeSet::from([Want::read("gpu")]) } else { BTreeSet::new() };
        let on = ["", "linux", "mac"][self.random.below(3)].to_owned();
        let (pools, room) = (BTreeSet::from([POOL.to_owned()]), room(self.random.below(4) as u32));
        let need = Need { on, want, pools, isolation: None, room };
        let priority = self.random.below(3) as i32;
        let ticket = Ticket { owner: self.owners, need, class, priority, queued: self.now, term: TERM };
        self.tickets.insert(self.owners, ticket);
        self.enqueue_again(self.owners);
    }

    fn enqueue_again(&mut self, owner: u32) {
        let ticket = Ticket { queued: self.now, ..self.tickets[&owner].clone() };
        self.arrivals += 1;
        self.waiting.insert(owner, Waiting { ticket: ticket.clone(), arrival: self.arrivals });
        let offer = self.it.enqueue(self.now, ticket);
        self.offered(offer);
    }

    /// Checks that an offer is first among all tickets that this worker could have, and that an idle worker gets it if it must.
    fn offered(&mut self, offer: Option<Offer<u32>>) {
        let Some(offer) = offer else { return };
        let index = self.index_of(offer.session);
        let waiting = self.waiting.remove(&offer.owner).expect("what is offered waits");
        assert!(self.fits_now(index, &waiting.ticket), "{:?} does not fit", waiting.ticket);
        let ahead = self.waiting.values().filter(|other| self.fits_now(index, &other.ticket));
        for other in ahead {
            assert!(rank(&waiting) < rank(other), "{:?} goes before {:?}", waiting.ticket, other.ticket);
        }
        assert!(
            waiting.ticket.class == Class::Normal || !self.is_wanted(index),
            "idle work goes where normal work waits"
        );
        self.check_is_not_passed_for_ever(index, &waiting);
        if let Some((token, lease)) = offer.replaced {
            assert_eq!((lease.owner, lease.state), (offer.owner, LeaseState::Lapsed), "{token:?}");
            assert!(self.workers.iter().all(|worker| !worker.running.contains_key(&token)), "{token:?} still runs");
        }
        self.workers[index].asks = None;
        self.workers[index].offered.push(offer.token);
    }

    fn attach(&mut self, index: usize) {
        let (name, platform, cores, labels) = WORKERS[index];
        let labels = labels.iter().map(|label| ((*label).to_owned(), "yes".to_owned())).collect();
        let mut session = Session::new(name.to_owned(), Time(self.now.0), self.now);
        (session.platform, session.total, session.labels) = (platform.to_owned(), total(cores), labels);
        session.pools = Box::from([POOL.to_owned()]);
        session.stopped = self.workers[index].is_stopped;
        self.detach(index);
        let id = self.it.attach(session);
        let worker = &mut self.workers[index];
        (worker.session, worker.drains) = (Some(id), false);
        for token in worker.running.keys().copied().collect::<Vec<_>>() {
            match self.it.rejoin(self.now, token, id) {
                Some(renewed) => self.runs_on(index, token, renewed.owner, renewed.had_lapsed, renewed.term),
                None => drop(self.workers[index].running.remove(&token)),
            }
        }
    }

    /// Lets a worker ask for work, with the room that its running work and its offers leave.
    fn take(&mut self, index: usize) {
        let Some(session) = self.workers[index].session else { return };
        let worker = &self.workers[index];
        let offered = worker.offered.iter().filter_map(|token| self.it.lease(*token));
        let offered = offered.map(|lease| self.tickets[&lease.owner].need.room);
        let used = worker.running.values().map(|running| running.room).chain(offered);
        let free = used.fold(total(WORKERS[index].2), |free, room| free.minus(&room));
        self.workers[index].asks = Some(free);
        let offer = self.it.take(self.now, session, free);
        self.offered(offer);
    }

    /// Accepts an offer. Checks that its work fits, and that no other work of its owner runs.
    fn accept(&mut self, index: usize) {
        let Some(token) = self.workers[index].offered.pop() else { return };
        let limits = TimeLimits { given: Duration::from_secs(600), for_logs: Duration::from_secs(60) };
        let Some(accepted) = self.it.accept(self.now, token, limits) else { return };
        let lease = self.it.lease(token).expect("it was accepted");
        let (owner, until) = (lease.owner, self.now.after(lease.term));
        for running in self.workers.iter().flat_map(|worker| worker.running.values()) {
            assert!(running.owner != owner || running.until <= self.now, "{owner} runs twice");
        }
        let room = self.tickets[&owner].need.room;
        self.workers[index].running.insert(token, Running { owner, room, until });
        let used = self.workers[index].running.values().map(|running| running.room);
        assert!(total(WORKERS[index].2).holds(&used.fold(Resources::default(), |sum, room| sum.plus(&room))));
        match accepted {
            Accepted::Begun(next) => self.offered(next),
            Accepted::Again(_) => panic!("an offer is accepted once"),
        }
    }

    fn complete(&mut self, index: usize) {
        let Some(token) = self.some_running(index) else { return };
        self.workers[index].running.remove(&token);
        if self.it.lease(token).is_some_and(|lease| lease.state == LeaseState::Lapsed) {
            let renewed = self.it.resume(self.now, token).expect("it has begun");
            self.waiting.remove(&renewed.owner);
        }
        let Some(lease) = self.it.complete(self.now, token) else { return };
        if self.random.chance(20) {
            self.it.pass_over(self.now, &lease, 1);
            self.enqueue_again(lease.owner);
        } else {
            self.tickets.remove(&lease.owner);
            self.it.withdraw(self.now, lease.owner);
        }
    }

    fn decline(&mut self, index: usize) {
        let Some(token) = self.workers[index].offered.pop() else { return };
        if let Some(lease) = self.it.give_back(self.now, token, Fault::Declined) {
            self.went_back(token, &lease);
        }
    }

    fn went_back(&mut self, token: LeaseToken, lease: &Lease<u32>) {
        self.workers.iter_mut().for_each(|worker| worker.offered.retain(|offered| *offered != token));
        self.enqueue_again(lease.owner);
    }

    fn detach(&mut self, index: usize) {
        let Some(id) = self.workers[index].session.take() else { return };
        self.workers[index].asks = None;
        self.workers[index].offered.clear();
        let detached = self.it.detach(self.now, id).expect("it was attached");
        assert_eq!(detached.worker, WORKERS[index].0);
        for (token, lease) in detached.offers {
            self.went_back(token, &lease);
        }
    }

    fn hold(&mut self, index: usize) {
        self.workers[index].is_stopped = self.random.chance(40);
        let offer = self.it.hold(self.now, WORKERS[index].0, self.workers[index].is_stopped);
        self.offered(offer);
    }

    fn withdraw(&mut self) {
        let owners: Vec<u32> = self.tickets.keys().copied().collect();
        let Some(owner) = self.random.pick(&owners).copied() else { return };
        self.tickets.remove(&owner);
        self.waiting.remove(&owner);
        if let Some((token, _)) = self.it.withdraw(self.now, owner) {
            self.forget(token);
        }
    }

    fn renew(&mut self, index: usize) {
        for token in self.workers[index].running.keys().copied().collect::<Vec<_>>() {
            match self.it.renew(self.now, WORKERS[index].0, token) {
                Some(renewed) => self.runs_on(index, token, renewed.owner, renewed.had_lapsed, renewed.term),
                None => drop(self.workers[index].running.remove(&token)),
            }
        }
    }

    fn runs_on(&mut self, index: usize, token: LeaseToken, owner: u32, had_lapsed: bool, term: Duration) {
        if had_lapsed {
            assert!(self.waiting.remove(&owner).is_some(), "{owner} lapsed and did not wait");
        }
        if let Some(running) = self.workers[index].running.get_mut(&token) {
            running.until = self.now.after(term);
        }
    }

    fn meddle(&mut self, index: usize) {
        match (self.random.below(5), self.some_running(index)) {
            (0, Some(token)) => drop(self.it.end_by(token, self.now.after(Duration::from_secs(30)))),
            (1, Some(token)) => self.it.note_sign(self.now, token),
            (2, _) => self.it.hears_again(self.now),
            (3, _) => self.reload(),
            (_, _) => {
                let Some(session) = self.workers[index].session else { return };
                self.workers[index].drains = true;
                self.it.drain(session);
            }
        }
    }

    /// Loads other terms, and enqueues all waiting tickets again in their order.
    fn reload(&mut self) {
        let lease = if self.random.chance(50) { Some(Duration::from_secs(5)) } else { None };
        let before = std::mem::take(&mut self.waiting);
        let mut in_order: Vec<&Waiting> = before.values().collect();
        in_order.sort_by_key(|waiting| rank(waiting));
        let owners = self.it.set_terms(terms(lease));
        assert_eq!(owners, in_order.iter().map(|waiting| waiting.ticket.owner).collect::<Vec<_>>());
        owners.into_iter().for_each(|owner| self.enqueue_again(owner));
    }

    fn pass_time(&mut self) {
        let seconds = [1, 9, 11, 61, 130, 800][self.random.below(6)];
        self.advance(Duration::from_secs(seconds));
    }

    /// Lets time pass, and stops work whose lease was not renewed in time.
    fn advance(&mut self, by: Duration) {
        self.now = self.now.after(by);
        for worker in &mut self.workers {
            worker.running.retain(|_, running| running.until > self.now);
        }
    }

    fn end(&mut self, token: LeaseToken) {
        let lease = self.it.complete(self.now, token).expect("it has begun");
        self.forget(token);
        self.waiting.remove(&lease.owner);
        self.tickets.remove(&lease.owner);
        self.it.withdraw(self.now, lease.owner);
    }

    /// Tells the worker that the lease has ended.
    fn forget(&mut self, token: LeaseToken) {
        for worker in &mut self.workers {
            worker.offered.retain(|offered| *offered != token);
            worker.running.remove(&token);
        }
    }

    /// Stops all faults. Checks that all work that can be placed ends, and that nothing is left.
    fn calm_down(&mut self) {
        for index in 0..WORKERS.len() {
            self.workers[index].is_stopped = false;
            self.attach(index);
            self.settle();
        }
        for _ in 0..2_000 {
            if self.tickets.is_empty() {
                break;
            }
            for index in 0..WORKERS.len() {
                self.take(index);
                self.accept(index);
                self.complete(index);
                self.settle();
            }
            self.drop_unplaceable();
            self.advance(Duration::from_secs(1));
            self.settle();
        }
        assert!(self.tickets.is_empty(), "these are never placed: {:#?}", self.tickets);
        for (index, (worker, ..)) in WORKERS.iter().enumerate() {
            self.detach(index);
            self.it.forget(worker);
        }
        self.advance(Duration::from_secs(86_400));
        self.settle();
        assert_eq!(self.it.gauges(), Gauges::default());
    }

    /// Drops the tickets that no worker could ever take.
    fn drop_unplaceable(&mut self) {
        let fits = |ticket: &Ticket<u32>| (0..WORKERS.len()).any(|index| could_have(index, ticket));
        for owner in self.waiting.keys().copied().collect::<Vec<_>>() {
            let can = self.it.is_placeable(owner, std::iter::empty());
            assert_eq!(can, fits(&self.tickets[&owner]), "all workers are connected");
            if !can {
                self.waiting.remove(&owner);
                self.tickets.remove(&owner);
                self.it.withdraw(self.now, owner);
            }
        }
    }

    /// Checks that no ticket waits if it could be placed on a worker that asks.
    fn check_nobody_starves(&self) {
        for waiting in self.waiting.values() {
            for (index, (worker, ..)) in WORKERS.iter().enumerate() {
                let is_kept = waiting.ticket.class == Class::Idle && self.is_wanted(index);
                let may = self.may_have(index, &waiting.ticket) && !is_kept && !self.is_kept_from(index, waiting);
                assert!(!may, "{:?} waits, and {worker} asks", waiting.ticket);
            }
        }
    }

    /// Checks that room is kept only for one ticket that has waited long, on a worker where something runs.
    fn check_kept(&self) {
        for (index, (worker, ..)) in WORKERS.iter().enumerate() {
            let Some(owner) = self.it.kept_for(worker) else { continue };
            let kept = &self.waiting[&owner].ticket;
            assert_eq!(self.it.keeper_of(owner), Some(*worker), "two workers keep room for {owner}");
            assert!(kept.class == Class::Normal && could_have(index, kept), "{worker} keeps its room in vain");
            assert!(self.now.since(kept.queued) >= KEPT_AFTER, "{owner} came a moment ago");
            assert!(self.it.leases_of(worker).next().is_some(), "nothing that ends on {worker} makes room");
        }
    }

    /// Checks that a busy worker does not pass over the first ticket that has waited long, unless another worker keeps room for it.
    fn check_is_not_passed_for_ever(&self, index: usize, placed: &Waiting) {
        let worker = WORKERS[index].0;
        if self.it.leases_of(worker).count() < 2 {
            return;
        }
        for other in self.waiting.values().filter(|other| rank(other) < rank(placed)) {
            let Ticket { owner, class, queued, .. } = other.ticket;
            let waits_for_long = class == Class::Normal && self.now.since(queued) >= KEPT_AFTER;
            let is_passed_over = self.it.passed_over(owner).any(|passed| passed == worker);
            let is_alike = |before: &&Waiting| before.ticket.need == other.ticket.need && rank(before) < rank(other);
            let is_first = !self.waiting.values().any(|before| is_alike(&before));
            if waits_for_long && is_first && could_have(index, &other.ticket) && !is_passed_over {
                let keeper = self.it.keeper_of(owner);
                assert!(keeper.is_some_and(|keeper| keeper != worker), "{placed:?} passes {owner} on {worker}");
            }
        }
    }

    /// Whether this worker keeps its room for another ticket, which ranks before this one.
    fn is_kept_from(&self, index: usize, waiting: &Waiting) -> bool {
        let kept = self.it.kept_for(WORKERS[index].0);
        kept.is_some_and(|kept| rank(&self.waiting[&kept]) < rank(waiting))
    }

    fn check_leases(&self) {
        let mut owners = BTreeSet::new();
        for (_, lease) in self.it.leases() {
            assert!(owners.insert(lease.owner), "{} has two leases", lease.owner);
            let waits = self.waiting.contains_key(&lease.owner);
            assert_eq!(waits, lease.state == LeaseState::Lapsed, "{} waits, or has a lease", lease.owner);
        }
        let known: Vec<u32> = self.tickets.keys().copied().collect();
        assert!(known.iter().all(|owner| owners.contains(owner) || self.waiting.contains_key(owner)));
    }

    /// Whether a worker that asks may have the ticket now.
    fn may_have(&self, index: usize, ticket: &Ticket<u32>) -> bool {
        self.it.resting(WORKERS[index].0).is_none() && self.fits_now(index, ticket)
    }

    /// Whether a worker that asks has room for the ticket, and is not passed over for it alone.
    fn fits_now(&self, index: usize, ticket: &Ticket<u32>) -> bool {
        let (worker, name) = (&self.workers[index], WORKERS[index].0);
        let takes = !worker.is_stopped && !worker.drains;
        let is_passed_over = self.it.passed_over(ticket.owner).any(|passed| passed == name);
        let has_room = worker.asks.is_some_and(|free| free.holds(&ticket.need.room));
        takes && !is_passed_over && has_room && could_have(index, ticket)
    }

    /// Whether a normal ticket is waiting that this worker could take.
    fn is_wanted(&self, index: usize) -> bool {
        let mut normal = self.waiting.values().filter(|waiting| waiting.ticket.class == Class::Normal);
        normal.any(|waiting| could_have(index, &waiting.ticket))
    }

    fn index_of(&self, session: SessionId) -> usize {
        self.workers.iter().position(|worker| worker.session == Some(session)).expect("it is connected")
    }

    fn some_running(&mut self, index: usize) -> Option<LeaseToken> {
        let tokens: Vec<LeaseToken> = self.workers[index].running.keys().copied().collect();
        self.random.pick(&tokens).copied()
    }
}

fn rank(waiting: &Waiting) -> (Class, Reverse<i32>, u64) {
    (waiting.ticket.class, Reverse(waiting.ticket.priority), waiting.arrival)
}

/// Whether a worker could have the ticket if it had nothing else to do.
fn could_have(index: usize, ticket: &Ticket<u32>) -> bool {
    let (_, platform, cores, labels) = WORKERS[index];
    let Need { on, want, room, .. } = &ticket.need;
    (on.is_empty() || on == platform) && (want.is_empty() || labels == ["gpu"]) && total(cores).holds(room)
}

fn room(cores: u32) -> Resources {
    Resources { slots: 1, cpus_milli: cores * 1_000, memory: 0 }
}

fn total(cores: u32) -> Resources {
    Resources { slots: 3, cpus_milli: cores * 1_000, memory: 1 << 30 }
}

fn terms(lease: Option<Duration>) -> PlacementTerms {
    let pool = PoolTerms { lease, ..PoolTerms::default() };
    PlacementTerms { offer: OFFER, pools: BTreeMap::from([(POOL.to_owned(), pool)]) }
}
