//! The coordinator under random moves: changes, plans, workers that come, go, lie and return, cancels, time and crashes. After
//! every move its invariants and the promises about jobs and leases hold. When the faults stop, everything ends.

use crate::world::World;
use master::decide::coordinator::record::{BuildId, BuildRow, JobKey, LeaseToken};
use master::decide::coordinator::{
    AddedJob, Arrival, Effect, Planned, PoolTerms, ProjectTerms, ROOT, Resumption, SessionId, Terms,
};
use master::explain::Explainer;
use schema::values::{
    Assignment, Change, Description, Exit, Home, JobPlan, Outcome, Plan, Resources, State, StepEnd, Time, Trust, What,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use support::hall::step;
use support::seed::{Random, with_seeds};

const WORKERS: usize = 3;
const MOVES: usize = 100;
/// The lengths of leases that the master file may name, in seconds: the general one, and the one of the pool.
const LEASES: [(u64, Option<u64>); 5] = [(60, None), (20, None), (60, Some(5)), (20, Some(40)), (5, None)];
/// The index of the worker of version 0.1. Such a worker obeys the term of leases that it got when it attached, and does not report its
/// machine.
const OLD: usize = 2;

#[test]
fn random_moves_keep_every_promise() {
    with_seeds("random_moves_keep_every_promise", 2_000, |seed| {
        let mut model = Model::new(seed);
        for _ in 0..MOVES {
            model.random_move();
        }
        model.calm_down();
    });
}

/// A job waits for its workers while they are not connected. The coordinator says "no worker can take it" only if that is true.
#[test]
fn workers_that_are_away_are_waited_for() {
    let mut model = Model::new(1);
    model.attach(0);
    model.lose_link(0);
    model.crash();
    while model.world.plans.is_empty() {
        model.submit();
        model.drain();
    }
    let build = model.world.plans.pop().expect("a plan was asked for");
    let job = |name: &str, want: &[&str]| JobPlan {
        name: name.to_owned(),
        want: want.iter().map(|want| (*want).to_owned()).collect(),
        steps: vec![step("step")],
        ..JobPlan::default()
    };
    let jobs = vec![job("any", &[]), job("gpu", &["gpu"])];
    let mut world = model.world;
    world.plan(build, jobs);
    let why = |world: &World, index| Explainer::new(&world.it, world.now).why(JobKey { build, index });
    assert_eq!(why(&world, 0), "waiting for worker w0 to connect: no other worker can run this job");
    assert_eq!(why(&world, 1), "no worker of pool default has `gpu`");
    let gpu = JobKey { build, index: 1 };
    assert_eq!(world.it.unplaceable(build), [gpu], "only the job that no known worker could take");
    for job in [JobKey { build, index: 0 }, gpu] {
        world.it.fail_unplaceable(world.now, job, "nobody could");
    }
    assert_eq!(why(&world, 1), "");
    let request = world.request();
    let grant = world.grants[0];
    world.it.revoke(world.now, request, grant, "test").expect("the root may revoke");
    assert_eq!(why(&world, 0), "there is no worker of pool default");
}

/// `Worker` is the state that one worker believes in.
#[derive(Default)]
struct Worker {
    session: Option<SessionId>,
    /// The offers that it has not accepted; `running` has the leases that it runs.
    offered: Vec<Assignment>,
    running: BTreeMap<LeaseToken, Assignment>,
    /// The length of leases that the worker got when it attached.
    told: Duration,
}

/// `Model` has workers that come, go, lie and return, and a model of their leases.
struct Model {
    random: Random,
    world: World,
    workers: Vec<Worker>,
    /// The model of leases: the job of each, and the latest time at which its holder must have stopped.
    held: BTreeMap<LeaseToken, (JobKey, Time)>,
    /// The number of times that each job was begun.
    begun: BTreeMap<JobKey, u32>,
    /// The jobs whose cancel was acknowledged while they ran.
    cancelled: BTreeSet<JobKey>,
    /// Whether the master file names only a pool for the project that has no worker.
    is_closed: bool,
    /// The index in [`LEASES`] of the setting in force.
    leases: usize,
}

impl Model {
    fn new(seed: u64) -> Model {
        let mut world = World::new(terms(false, 0));
        let enrolled = (0..WORKERS).map(|index| world.enroll(&format!("w{index}"), What::default()));
        let workers = enrolled.map(|_| Worker::default()).collect();
        let (held, begun, cancelled) = Default::default();
        Model { random: Random::new(seed), world, workers, held, begun, cancelled, is_closed: false, leases: 0 }
    }

    fn random_move(&mut self) {
        let worker = self.random.below(WORKERS);
        match self.random.below(16) {
            0 => self.submit(),
            1 => self.plan(),
            2 => self.attach(worker),
            3 | 4 => self.take(worker),
            5 | 6 => self.accept(worker),
            7 | 8 => self.work(worker),
            9 => self.renew(worker),
            10 => self.lose_link(worker),
            11 => self.cancel(),
            12 => self.pass_time(),
            13 if self.random.chance(20) => self.crash(),
            14 => self.reload(),
            15 if self.random.chance(40) => self.append(),
            15 if self.random.chance(30) => self.copy(worker),
            _ => self.forget_work(worker),
        }
        self.drain();
    }

    /// Stops all faults, after which every build must end.
    fn calm_down(&mut self) {
        if self.is_closed {
            self.reload();
        }
        for _ in 0..2_000 {
            if self.world.ledger.builds.values().all(|row| row.state == State::Finished) {
                return;
            }
            while !self.world.plans.is_empty() {
                self.plan();
                self.drain();
            }
            for worker in 0..WORKERS {
                if self.workers[worker].session.is_none() {
                    self.attach(worker);
                }
                self.take(worker);
                self.drain();
                while !self.workers[worker].offered.is_empty() {
                    self.accept(worker);
                }
                self.finish_work(worker);
                self.drain();
            }
            self.pass_time();
            self.drain();
        }
        panic!("builds never end:\n{}", self.world.it.dump(self.world.now));
    }

    fn submit(&mut self) {
        let revision = format!("{:040x}", self.random.below(5));
        let deleted = self.random.chance(15);
        let change = Change {
            project: "p".to_owned(),
            ref_name: format!("refs/heads/b{}", self.random.below(2)),
            revision: if deleted { String::new() } else { revision },
            ..Change::default()
        };
        let first = self.world.it.submit_change(self.world.now, ROOT, change.clone());
        if first.is_some() {
            let again = self.world.it.submit_change(self.world.now, ROOT, change);
            assert_eq!(again, None, "one change made two builds");
        }
    }

    fn plan(&mut self) {
        let Some(build) = self.world.plans.pop() else { return };
        let planned = match self.random.below(10) {
            0 => Planned::Broken("broken".to_owned()),
            1 => Planned::Skip("not wanted".to_owned()),
            _ => Planned::Plan(self.random_plan()),
        };
        self.world.it.plan_ready(self.world.now, build, planned);
    }

    /// Adds one job to a build that is planned and not finished.
    fn append(&mut self) {
        let is_open = |row: &&BuildRow| !matches!(row.state, State::Planning | State::Finished);
        let open: Vec<BuildId> = self.world.ledger.builds.values().filter(is_open).map(|row| row.id).collect();
        let Some(build) = self.random.pick(&open).copied() else { return };
        let names: Vec<String> = self.world.ledger.plans[&build].jobs.iter().map(|job| job.name.clone()).collect();
        let name = format!("added{}", names.len());
        let needs = names.into_iter().filter(|_| self.random.chance(30)).collect();
        let plan = JobPlan { name, retry_infra: 1, timeout_ms: 1_000, steps: vec![step("step")], ..JobPlan::default() };
        self.world.it.append(self.world.now, build, vec![AddedJob { plan, needs }]).expect("it is open");
    }

    fn random_plan(&mut self) -> Plan {
        let count = 1 + self.random.below(4);
        let jobs = (0..count).map(|index| {
            let needs = (0..index as u32).filter(|_| self.random.chance(40)).collect();
            let side_effects = self.random.chance(20);
            JobPlan {
                name: format!("j{index}"),
                base: format!("j{index}"),
                needs,
                side_effects,
                retry_infra: if side_effects { 0 } else { self.random.below(3) as u16 },
                priority: self.random.below(3) as i32,
                timeout_ms: 1_000,
                skipped: if self.random.chance(10) { "`when` says no".to_owned() } else { String::new() },
                steps: vec![step("step")],
                ..JobPlan::default()
            }
        });
        Plan { version: 1, jobs: jobs.collect(), trust: Trust::Trusted }
    }

    fn arrival(&self, index: usize) -> Arrival {
        let total = Resources { slots: 2, cpus_milli: 2_000, memory: 1 << 30 };
        let home = Home { boot: "boot".to_owned(), inode: index as u64, ..Home::default() };
        Arrival {
            instance: [index as u8; 16],
            running: self.workers[index].running.keys().copied().collect(),
            description: Description { platform: "linux-x86_64".to_owned(), total, ..Description::default() },
            keeps_terms: index != OLD,
            home: (index != OLD).then_some(home),
            ..Arrival::default()
        }
    }

    /// Returns the term that a worker obeys, if the master sent it the term `told` with a lease.
    fn lived(&self, index: usize, told: Duration) -> Duration {
        if index == OLD { self.workers[index].told } else { told }
    }

    /// Attaches and detaches a copy of the worker's directory. This must end nothing that the worker itself runs.
    fn copy(&mut self, index: usize) {
        let home = Some(Home { boot: "boot".to_owned(), inode: 99, ..Home::default() });
        let copy = Arrival { instance: [99; 16], running: Vec::new(), home, ..self.arrival(index) };
        let attached =
            self.world.it.attach(self.world.now, self.world.grants[index], copy).expect("its grant is in force");
        self.workers[index].session = None;
        self.workers[index].offered.clear();
        self.world.it.session_lost(self.world.now, attached.session, "cut");
    }

    fn attach(&mut self, index: usize) {
        let arrival = self.arrival(index);
        let running = arrival.running.clone();
        self.workers[index].offered.clear();
        let attached =
            self.world.it.attach(self.world.now, self.world.grants[index], arrival).expect("its grant is in force");
        let worker = &mut self.workers[index];
        (worker.session, worker.told) = (Some(attached.session), attached.term);
        for (token, (standing, term)) in running.iter().zip(attached.standing.into_iter().zip(attached.terms)) {
            match standing {
                Resumption::Resumed => {
                    let job = self.held.get(token).map_or_else(|| panic!("{token:?} was given away"), |(job, _)| *job);
                    self.held.insert(*token, (job, self.world.now.after(self.lived(index, term))));
                }
                Resumption::Stale => {
                    self.workers[index].running.remove(token);
                    self.held.remove(token);
                }
            }
        }
        self.drain();
        if index == OLD {
            // nobody knows where the old worker ran the jobs that it does not name, so the ends of their leases decide
            return;
        }
        // the jobs that the worker did not name do not run there, because it came back without them
        let name = format!("w{index}");
        let ledger = &self.world.ledger;
        let named = &self.workers[index].running;
        self.held.retain(|token, (job, _)| {
            let attempt = ledger.attempts.values().find(|attempt| attempt.job == *job && attempt.token == *token);
            named.contains_key(token) || attempt.is_none_or(|attempt| attempt.worker != name)
        });
        self.drain();
        let of_worker = self.world.ledger.attempts.values().filter(|row| row.worker == name && row.finished.is_none());
        for row in of_worker {
            assert!(running.contains(&row.token), "{name} came back without {:?}, which still holds its job", row.job);
        }
    }

    fn take(&mut self, index: usize) {
        let Some(session) = self.workers[index].session else { return };
        if self.random.chance(10) {
            return self.world.it.worker_unready(session);
        }
        let slots = 2u16.saturating_sub(self.workers[index].running.len() as u16);
        self.world.it.worker_ready(self.world.now, session, Resources { slots, cpus_milli: 2_000, memory: 1 << 30 });
    }

    fn accept(&mut self, index: usize) {
        let Some(assignment) = self.workers[index].offered.pop() else { return };
        let token = LeaseToken(assignment.token);
        if self.random.chance(10) {
            return self.world.it.give_back(self.world.now, token);
        }
        if self.world.it.accept(self.world.now, token).is_ok() {
            let (job, _) = self.world.it.lease_job(token).expect("an accepted lease has a job");
            let term = self.lived(index, Duration::from_millis(assignment.term_ms));
            self.begin(token, job, &assignment, term);
            self.workers[index].running.insert(token, assignment);
            assert!(self.world.it.accept(self.world.now, token).is_ok(), "`accept` may be repeated");
        }
    }

    /// Begins an attempt in the model. Checks that no other attempt of the job runs, that there are no more attempts than allowed, and
    /// that a job with side effects begins only once.
    fn begin(&mut self, token: LeaseToken, job: JobKey, assignment: &Assignment, term: Duration) {
        for (other, (held, until)) in &self.held {
            let over = *held != job || *until <= self.world.now;
            assert!(over, "{token:?} and {other:?} run {job:?} at once");
        }
        self.held.insert(token, (job, self.world.now.after(term)));
        let begun = self.begun.entry(job).or_default();
        *begun += 1;
        assert!(*begun <= 1 + u32::from(assignment.job.retry_infra), "{job:?} was begun {begun} times");
    }

    fn work(&mut self, index: usize) {
        let Some((token, assignment)) = self.some_running(index) else { return };
        let started = self.world.it.step_started(self.world.now, token, 0, self.world.now);
        let outcome = match self.random.below(6) {
            0 => Outcome::Failed,
            1 => Outcome::Errored,
            _ => Outcome::Succeeded,
        };
        assert!(
            self.world.it.step_started(self.world.now, token, 9, self.world.now).is_err(),
            "there is no tenth step"
        );
        if started.is_ok() && self.random.chance(70) {
            self.world
                .it
                .step_finished(self.world.now, token, 0, end(outcome, self.world.now))
                .expect("the lease is live");
            self.complete(index, token, &assignment, outcome);
        }
    }

    fn finish_work(&mut self, index: usize) {
        while let Some((token, assignment)) = self.some_running(index) {
            let _ = self.world.it.step_started(self.world.now, token, 0, self.world.now);
            if self.world.it.step_finished(self.world.now, token, 0, end(Outcome::Succeeded, self.world.now)).is_err() {
                self.workers[index].running.remove(&token);
                self.held.remove(&token);
                continue;
            }
            self.complete(index, token, &assignment, Outcome::Succeeded);
            self.drain();
        }
    }

    fn complete(&mut self, index: usize, token: LeaseToken, _: &Assignment, outcome: Outcome) {
        self.world.it.complete(self.world.now, token, outcome, "").expect("the lease is live");
        assert!(self.world.it.complete(self.world.now, token, outcome, "").is_err(), "an ended lease answers stale");
        self.workers[index].running.remove(&token);
        self.held.remove(&token);
    }

    fn renew(&mut self, index: usize) {
        if self.workers[index].session.is_none() {
            return;
        }
        let tokens: Vec<LeaseToken> = self.workers[index].running.keys().copied().collect();
        let terms = self.world.it.renew(self.world.now, &format!("w{index}"), &tokens);
        let is_answer_lost = self.random.chance(20);
        for (token, term) in tokens.into_iter().zip(terms) {
            let lived = term.map(|term| self.lived(index, term));
            match (lived, self.held.get_mut(&token)) {
                (None, _) => {
                    self.workers[index].running.remove(&token);
                    self.held.remove(&token);
                }
                (Some(lived), Some(held)) if !is_answer_lost => held.1 = self.world.now.after(lived),
                (Some(_), _) => {}
            }
        }
    }

    fn lose_link(&mut self, index: usize) {
        let Some(session) = self.workers[index].session.take() else { return };
        self.workers[index].offered.clear();
        self.world.it.session_lost(self.world.now, session, "cut");
    }

    /// Sometimes a worker loses its disk, so it comes back without the jobs that it ran.
    fn forget_work(&mut self, index: usize) {
        if self.random.chance(20) {
            self.workers[index].running.clear();
        }
    }

    fn cancel(&mut self) {
        let open: Vec<BuildId> =
            self.world.ledger.builds.values().filter(|row| row.state != State::Finished).map(|row| row.id).collect();
        let Some(build) = self.random.pick(&open).copied() else { return };
        let request = self.world.request();
        let job = self.random.chance(50).then_some("j0");
        let first = self.world.it.cancel(self.world.now, request, build, job, "test");
        if first.is_ok() {
            assert!(
                self.world.it.cancel(self.world.now, request, build, job, "test").is_ok(),
                "a request may be repeated"
            );
            self.drain();
            let of_build =
                self.world.ledger.jobs.values().filter(|row| row.key.build == build && row.state != State::Finished);
            let asked = of_build.filter(|row| job.is_none_or(|job| row.name == job)).map(|row| row.key);
            self.cancelled.extend(asked);
        }
    }

    fn pass_time(&mut self) {
        let step = [100, 5_000, 20_000, 61_000][self.random.below(4)];
        self.world.now = Time(self.world.now.0 + step);
        // a supervisor stops its step at the lease's end, whatever its worker does
        let now = self.world.now;
        let ended: Vec<LeaseToken> =
            self.held.iter().filter(|(_, (_, until))| *until <= now).map(|(token, _)| *token).collect();
        for token in ended {
            // the result may still be reported until the job is placed again
            self.held.insert(token, (self.held[&token].0, now));
        }
        self.world.it.handle_timeout(self.world.now);
    }

    /// Loads another master file. Offers and attempts stay as they are, and queued jobs follow the new file.
    fn reload(&mut self) {
        self.is_closed = !self.is_closed;
        self.leases = self.random.below(LEASES.len());
        let waiting = self.world.it.queue_length();
        self.world.it.set_terms(self.world.now, terms(self.is_closed, self.leases));
        assert!(!self.is_closed || self.world.it.queue_length() == waiting, "a reload lost jobs that wait");
    }

    /// Kills the master and starts it from its records. Every worker must attach again.
    fn crash(&mut self) {
        self.drain();
        self.world.restart(terms(self.is_closed, self.leases));
        for worker in &mut self.workers {
            worker.session = None;
            worker.offered.clear();
        }
    }

    /// Delivers the master's offers and orders to the workers.
    fn drain(&mut self) {
        self.world.settle();
        for (session, assignment) in std::mem::take(&mut self.world.offers) {
            assert!(!self.is_closed, "{} was offered to a pool that its project may not use", assignment.job.name);
            let worker = self.workers.iter_mut().find(|worker| worker.session == Some(session));
            worker.expect("an offer goes to a live session").offered.push(assignment);
        }
        for effect in std::mem::take(&mut self.world.told) {
            if let Effect::Withdraw { token, begun, .. } = effect {
                self.withdrawn(token, begun.is_some());
            }
        }
        for job in &self.cancelled {
            let row = &self.world.ledger.jobs[job];
            let is_so = row.state != State::Finished || row.outcome == Some(Outcome::Cancelled);
            assert!(is_so, "the cancel of {} was acknowledged", row.name);
        }
    }

    fn withdrawn(&mut self, token: LeaseToken, has_logs: bool) {
        let was_accepted = self.world.ledger.attempts.values().any(|row| row.token == token);
        assert_eq!(has_logs, was_accepted, "the logs of an attempt end, and of no other");
        // the gate of the lease is closed, so a step that still runs stops at once, or at the lease's end
        for worker in &mut self.workers {
            worker.offered.retain(|assignment| assignment.token != token.0);
            if worker.session.is_some() && worker.running.remove(&token).is_some() {
                self.held.remove(&token);
            }
        }
    }

    fn some_running(&mut self, index: usize) -> Option<(LeaseToken, Assignment)> {
        self.workers[index].session?;
        let tokens: Vec<LeaseToken> = self.workers[index].running.keys().copied().collect();
        let token = self.random.pick(&tokens).copied()?;
        if self.world.it.lease_job(token).is_none() {
            self.workers[index].running.remove(&token);
            return None;
        }
        Some((token, self.workers[index].running[&token].clone()))
    }
}

fn terms(is_closed: bool, leases: usize) -> Terms {
    let (lease, of_pool) = LEASES[leases];
    let pool = PoolTerms { lease: of_pool.map(Duration::from_secs), ..PoolTerms::default() };

    let pools = if is_closed { BTreeSet::from(["nobody's".to_owned()]) } else { BTreeSet::new() };
    let projects = BTreeMap::from([("p".to_owned(), ProjectTerms { pools })]);
    let pools = BTreeMap::from([("default".to_owned(), pool)]);
    Terms { lease: Duration::from_secs(lease), projects, pools, ..Terms::default() }
}

fn end(outcome: Outcome, time: Time) -> StepEnd {
    StepEnd { outcome, exit: Exit::Code(0), time, log_size: 0, log_hash: Vec::new(), tests: None }
}
