//! Every remedy that the master explains for a waiting job gets that job placed. A random set of workers and jobs is made twice from
//! one seed. The first tells the remedies of a job. In the second one of them is applied, and the job must run.

use crate::world::World;
use master::decide::coordinator::placed::Because;
use master::decide::coordinator::record::{BuildId, JobKey, LeaseToken};
use master::decide::coordinator::{Arrival, PoolTerms, ProjectTerms, SessionId, Terms};
use master::explain::{Explainer, Explanation, Remedy, RemedyStep, waited_text};
use schema::values::{Description, JobPlan, Outcome, Resources, State, Time, Want, What};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use support::hall::step;
use support::seed::{Random, with_seeds};

const PLATFORMS: [&str; 2] = ["linux-x86_64", "linux-aarch64"];
const LABELS: [(&str, &str); 3] = [("gpu", "yes"), ("gpu", "old"), ("disk", "fast")];
const WANTS: [&str; 6] = ["gpu", "gpu=yes", "gpu=new", "disk", "cpus>=4", "memory>=2GiB"];

#[test]
fn each_remedy_places_its_job() {
    let kinds: RefCell<BTreeMap<&'static str, u32>> = RefCell::default();
    let kinds = std::panic::AssertUnwindSafe(&kinds);
    with_seeds("each_remedy_places_its_job", 150, |seed| {
        let waiting = Floor::new(seed).waiting();
        for (job, told) in &waiting {
            *kinds.borrow_mut().entry(told.why.kind()).or_default() += 1;
            assert!(!told.remedies.is_empty(), "{job:?} waits for ever: {told:?}");
            for remedy in &told.remedies {
                let mut floor = Floor::new(seed);
                floor.apply(remedy);
                let state = floor.world.ledger.jobs[job].state;
                let is_placed = matches!(state, State::Running | State::Finished);
                assert!(
                    is_placed,
                    "`{}` left {job:?} {state}: {told:#?}\n{}",
                    remedy.text(),
                    floor.world.it.dump(floor.world.now)
                );
            }
        }
    });
    println!("{:?}", kinds.borrow());
}

/// A job that no worker can ever run gets no remedy, and a reason.
#[test]
fn what_nobody_can_have_has_no_remedy() {
    let mut floor = Floor::empty();
    floor.submit(vec![JobPlan { want: vec!["licences>=3".to_owned()], ..plan("odd") }]);
    let (_, told) = floor.waiting().pop().expect("it waits");
    assert_eq!(told.remedies, []);
    assert!(told.hints.iter().any(|hint| hint.contains("only for `memory` and `cpus`")), "{:?}", told.hints);
    floor.submit(vec![JobPlan { want: vec!["gpu=old".to_owned(), "gpu=new".to_owned()], ..plan("torn") }]);
    let (_, told) = floor.waiting().pop().expect("it waits");
    assert_eq!(told.remedies, []);
    assert!(told.hints.iter().any(|hint| hint.contains("contradict")), "{:?}", told.hints);
}

/// Each attempt records why it went to its worker, and what its job had waited for.
#[test]
fn an_attempt_keeps_why_it_is_there() {
    let mut floor = Floor::empty();
    let placed = |floor: &Floor, build: u64| {
        let job = JobKey { build: BuildId(build), index: 0 };
        let attempt = &floor.world.ledger.attempts[&(job, floor.world.ledger.jobs[&job].attempt)];
        let placed = attempt.placed.clone().expect("it is recorded");
        (attempt.worker.clone(), placed.because, placed.able, placed.free, waited_text(&placed, &attempt.worker))
    };
    let one_job = |floor: &mut Floor| floor.submit_of("p", vec![plan("run")]);
    let nothing = String::new;

    one_job(&mut floor);
    floor.world.now = Time(floor.world.now.0 + 5);
    floor.join("w0");
    assert_eq!(placed(&floor, 1), ("w0".to_owned(), Because::Only, 1, 1, "w0 to connect".to_owned()));

    one_job(&mut floor);
    floor.world.now = Time(floor.world.now.0 + 5);
    floor.finish("p/1/run");
    floor.settle();
    assert_eq!(placed(&floor, 2), ("w0".to_owned(), Because::Only, 1, 1, "w0 to end p/1/run".to_owned()));
    floor.finish("p/2/run");

    one_job(&mut floor);
    assert_eq!(placed(&floor, 3), ("w0".to_owned(), Because::Only, 1, 1, nothing()));
    floor.join("w1");
    one_job(&mut floor);
    assert_eq!(placed(&floor, 4), ("w1".to_owned(), Because::OnlyFree, 2, 1, nothing()));

    one_job(&mut floor);
    floor.finish("p/4/run");
    floor.settle();
    assert_eq!(placed(&floor, 5), ("w1".to_owned(), Because::Asked, 2, 1, "w1 to end p/4/run".to_owned()));
    floor.finish("p/3/run");
    floor.finish("p/5/run");
    one_job(&mut floor);
    assert_eq!(placed(&floor, 6), ("w0".to_owned(), Because::ConnectedLongest, 2, 2, nothing()));

    floor.finish("p/6/run");
    for worker in ["w0", "w1"] {
        let request = floor.world.request();
        floor.world.it.hold(floor.world.now, request, worker, "test").expect("it is known");
    }
    one_job(&mut floor);
    floor.world.now = Time(floor.world.now.0 + 5);
    floor.apply(&Remedy { steps: vec![RemedyStep::Resume("w1".to_owned())], ..Remedy::default() });
    assert_eq!(placed(&floor, 7), ("w1".to_owned(), Because::Asked, 2, 1, "w1 to be resumed".to_owned()));
}

/// `Hand` is a worker that asks for work while it has room, and takes what it is offered.
struct Hand {
    name: String,
    description: Description,
    session: Option<SessionId>,
    /// Whether it never asks, although it is connected.
    is_silent: bool,
    running: BTreeMap<LeaseToken, Resources>,
}

/// `Floor` is a set of workers and jobs. It is settled: no worker that asks could take another job.
struct Floor {
    world: World,
    /// The workers, by their numbers in the world.
    hands: Vec<Hand>,
    /// The number of builds so far. Every third build is of the project `q`.
    submitted: usize,
}

impl Floor {
    fn empty() -> Floor {
        let pools = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let mut terms = Terms::default();
        terms.projects.insert("p".to_owned(), ProjectTerms { pools: pools(&["a", "b"]) });
        terms.projects.insert("q".to_owned(), ProjectTerms { pools: pools(&["c"]) });
        terms.pools.insert("b".to_owned(), PoolTerms { wants: vec![Want::read("disk=fast")], ..PoolTerms::default() });
        Floor { world: World::new(terms), hands: Vec::new(), submitted: 0 }
    }

    fn new(seed: u64) -> Floor {
        let mut random = Random::new(seed);
        let mut floor = Floor::empty();
        for number in 0..random.below(5) {
            let hand = floor.random_hand(&mut random, number);
            floor.hands.push(hand);
            if random.chance(80) {
                floor.attach(number);
            }
        }
        floor.submitted = floor.hands.len();
        for _ in 0..1 + random.below(3) {
            let jobs = random_jobs(&mut random);
            floor.submit(jobs);
        }
        for number in 0..floor.hands.len() {
            floor.trouble(&mut random, number);
        }
        for _ in 0..random.below(3) {
            let jobs = random_jobs(&mut random);
            floor.submit(jobs);
        }
        floor
    }

    fn random_hand(&mut self, random: &mut Random, number: usize) -> Hand {
        let pools = ["a", "b", "c"].into_iter().filter(|_| random.chance(50)).map(str::to_owned).collect();
        let labels = LABELS.into_iter().filter(|_| random.chance(30));
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let total = Resources {
            slots: 1 + random.below(3) as u16,
            cpus_milli: 1_000 * (1 + random.below(6) as u32),
            memory: (1 + random.below(4) as u64) << 30,
        };
        let platform = PLATFORMS[random.below(2)].to_owned();
        let name = format!("w{number}");
        self.world.enroll(&name, What { pools, labels, ..What::default() });
        let description = Description { platform, total, ..Description::default() };
        // the master knows the worker, even if it never connects
        Hand { name, description, session: None, is_silent: random.chance(10), running: BTreeMap::new() }
    }

    /// Gives a worker a random trouble, for example a drain or a hold.
    fn trouble(&mut self, random: &mut Random, number: usize) {
        let name = self.hands[number].name.clone();
        let is_known = self.hands[number].session.is_some();
        let request = self.world.request();
        match random.below(8) {
            0 if is_known => self.world.it.drain(self.world.now, request, &name, true).expect("it is known"),
            1 if is_known => self.world.it.hold(self.world.now, request, &name, "its disk").expect("it is known"),
            2 => self.lose(number),
            3 => drop(self.hands[number].session.map(|session| self.world.it.drain_session(session))),
            4 if is_known => {
                self.world.it.drain(self.world.now, request, &name, true).expect("it is known");
                self.lose(number);
            }
            _ => {}
        }
        self.settle();
    }

    /// Returns the jobs that wait, each with its explanation.
    fn waiting(&self) -> Vec<(JobKey, Explanation)> {
        let jobs = self.world.ledger.jobs.values().filter(|row| matches!(row.state, State::Waiting | State::Queued));
        jobs.map(|row| {
            (
                row.key,
                Explainer::new(&self.world.it, self.world.now).explain(row.key.build, &row.name).expect("it is open"),
            )
        })
        .collect()
    }

    fn apply(&mut self, remedy: &Remedy) {
        for step in &remedy.steps {
            self.world.now = Time(self.world.now.0 + 1_000);
            match step {
                RemedyStep::Wait(job) => self.finish(job),
                RemedyStep::Resume(worker) => {
                    let (first, second) = (self.world.request(), self.world.request());
                    self.world.it.drain(self.world.now, first, worker, false).expect("it is known");
                    self.world.it.hold(self.world.now, second, worker, "").expect("it is known");
                }
                RemedyStep::Start { worker, .. } => {
                    let number = self.hands.iter().position(|hand| hand.name == *worker).expect("it is known");
                    self.lose(number);
                    self.hands[number].is_silent = false;
                    self.attach(number);
                }
                RemedyStep::Join(wanted) => {
                    let number = self.hands.len();
                    let name = format!("w{number}");
                    let what =
                        What { pools: [wanted.pool.clone()].into(), labels: wanted.labels.clone(), ..What::default() };
                    self.world.enroll(&name, what);
                    let platform = wanted.platform.clone();
                    let description = Description { platform, total: wanted.room, ..Description::default() };
                    let (session, running) = (None, BTreeMap::new());
                    self.hands.push(Hand { name, description, session, is_silent: false, running });
                    self.attach(number);
                }
            }
            self.settle();
        }
    }

    fn finish(&mut self, selector: &str) {
        let row =
            self.world.ledger.jobs.values().find(|row| self.selector(row.key) == selector).expect("it exists").clone();
        if row.state == State::Finished {
            return;
        }
        assert_eq!(
            row.state,
            State::Running,
            "{selector} is waited for and does not run:\n{}",
            self.world.it.dump(self.world.now)
        );
        let token = self.world.ledger.attempts[&(row.key, row.attempt)].token;
        self.world.it.complete(self.world.now, token, Outcome::Succeeded, "").expect("it runs");
        for number in 0..self.hands.len() {
            if self.hands[number].running.remove(&token).is_some() {
                self.ask(number);
            }
        }
    }

    fn selector(&self, key: JobKey) -> String {
        let build = &self.world.ledger.builds[&key.build];
        format!("{}/{}/{}", build.project, build.number, self.world.ledger.jobs[&key].name)
    }

    fn attach(&mut self, number: usize) {
        let hand = &self.hands[number];
        let running: Vec<LeaseToken> = hand.running.keys().copied().collect();
        let description = hand.description.clone();
        self.world.room = description.total;
        let arrival = Arrival { instance: [1; 16], running, description, keeps_terms: true, ..Arrival::default() };
        self.hands[number].session = Some(self.world.come(number, arrival).session);
        self.ask(number);
        self.settle();
    }

    fn lose(&mut self, number: usize) {
        if let Some(session) = self.hands[number].session.take() {
            self.world.lose(session);
            self.settle();
        }
    }

    fn ask(&mut self, number: usize) {
        let hand = &self.hands[number];
        let free = hand.running.values().fold(hand.description.total, |free, used| free.minus(used));
        if let (Some(session), false, 1..) = (hand.session, hand.is_silent, free.slots) {
            self.world.it.worker_ready(self.world.now, session, free);
        }
    }

    /// Adds a worker with one slot, which connects.
    fn join(&mut self, name: &str) {
        let what = What { pools: ["a"].into(), ..What::default() };
        self.world.enroll(name, what);
        let total = Resources { slots: 1, cpus_milli: 4_000, memory: 1 << 30 };
        let description = Description { platform: PLATFORMS[0].to_owned(), total, ..Description::default() };
        let (name, running) = (name.to_owned(), BTreeMap::new());
        self.hands.push(Hand { name, description, session: None, is_silent: false, running });
        self.attach(self.hands.len() - 1);
    }

    fn submit(&mut self, jobs: Vec<JobPlan>) {
        let project = if self.submitted.is_multiple_of(3) { "q" } else { "p" };
        self.submit_of(project, jobs);
    }

    fn submit_of(&mut self, project: &str, jobs: Vec<JobPlan>) {
        self.submitted += 1;
        let build = self.world.push(project, "main");
        self.world.plan(build, jobs);
        self.settle();
    }

    /// Lets the workers take offers until there are none.
    fn settle(&mut self) {
        self.world.settle();
        while !self.world.offers.is_empty() {
            for (session, assignment) in std::mem::take(&mut self.world.offers) {
                let token = LeaseToken(assignment.token);
                self.world.accept(token);
                let number = self.hands.iter().position(|hand| hand.session == Some(session)).expect("it is connected");
                self.hands[number].running.insert(token, assignment.job.room());
                self.ask(number);
            }
            self.world.settle();
        }
    }
}

fn random_jobs(random: &mut Random) -> Vec<JobPlan> {
    let count = 1 + random.below(4);
    let jobs = (0..count).map(|index| {
        let needs = (0..index as u32).filter(|_| random.chance(35)).collect();
        let mut want: Vec<String> = WANTS.into_iter().filter(|_| random.chance(12)).map(str::to_owned).collect();
        if want.iter().any(|want| want == "gpu=yes") {
            want.retain(|want| want != "gpu=new");
        }
        JobPlan {
            needs,
            want,
            on: if random.chance(25) { PLATFORMS[random.below(2)].to_owned() } else { String::new() },
            cpus_milli: if random.chance(40) { 1_000 * random.below(9) as u32 } else { 0 },
            memory: if random.chance(20) { (random.below(6) as u64) << 30 } else { 0 },
            priority: random.below(3) as i32,
            ..plan(&format!("j{index}"))
        }
    });
    jobs.collect()
}

fn plan(name: &str) -> JobPlan {
    JobPlan { name: name.to_owned(), base: name.to_owned(), steps: vec![step("step")], ..JobPlan::default() }
}
