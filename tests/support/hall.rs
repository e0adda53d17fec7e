//! A coordinator with any number of workers and of queued jobs, to measure how the cost of a decision grows with both. Half of the
//! jobs want a worker with one label, a quarter want a platform, and a quarter take any worker.

use master::decide::coordinator::record::{GrantId, LeaseToken, Loaded, RequestId};
use master::decide::coordinator::{Arrival, Coordinator, Effect, GrantOrder, Planned, ROOT, Request, SessionId, Terms};
use schema::sturdy_ref::Fingerprint;
use schema::values::{
    Assignment, Change, Command, Description, Exit, GrantKind, JobPlan, Outcome, Plan, Resources, StepEnd, StepPlan,
    Time, Trust, What,
};

/// The number of values of the workers' label `kind`, and so of the kinds of workers that jobs want.
const KINDS: usize = 50;
const PLATFORMS: [&str; 2] = ["linux-x86_64", "linux-aarch64"];
const ROOM: Resources = Resources { slots: 1, cpus_milli: 4_000, memory: 8 << 30 };

pub struct Hall {
    pub it: Coordinator,
    now: Time,
    sessions: Vec<SessionId>,
    /// The offers that [`Hall::decide`] has not returned yet.
    offered: Vec<Assignment>,
    submitted: usize,
}

impl Hall {
    pub fn new(workers: usize, waiting: usize) -> Hall {
        let now = Time(1_000_000);
        let it = Coordinator::load(now, Terms::default(), Loaded::default(), [7; 32]);
        let mut hall = Hall { it, now, sessions: Vec::new(), offered: Vec::new(), submitted: 0 };
        hall.it.found(now);
        for number in 0..workers {
            hall.attach(number);
        }
        for _ in 0..waiting {
            hall.submit();
        }
        assert_eq!(hall.it.queue_length(), waiting, "no worker asks yet");
        hall
    }

    pub fn now(&self) -> Time {
        self.now
    }

    pub fn workers(&self) -> usize {
        self.sessions.len()
    }

    /// Lets a worker ask for work, and returns the offer that the coordinator makes.
    pub fn decide(&mut self, worker: usize) -> Option<Assignment> {
        self.it.worker_ready(self.now, self.sessions[worker], ROOM);
        self.settle();
        self.offered.pop()
    }

    /// Gives an offer back, so that its job is queued again.
    pub fn give_back(&mut self, offer: &Assignment) {
        self.it.give_back(self.now, LeaseToken(offer.token));
        self.settle();
    }

    /// Plays a worker from the acceptance of an offer to the end of its build.
    pub fn work(&mut self, offer: &Assignment) {
        let (now, token) = (self.now, LeaseToken(offer.token));
        let end = StepEnd {
            outcome: Outcome::Succeeded,
            exit: Exit::Code(0),
            time: now,
            log_size: 0,
            log_hash: Vec::new(),
            tests: None,
        };
        let done = self
            .it
            .accept(now, token)
            .and_then(|()| self.it.step_started(now, token, 0, now))
            .and_then(|()| self.it.step_finished(now, token, 0, end))
            .and_then(|()| self.it.complete(now, token, Outcome::Succeeded, ""));
        done.expect("the lease is live");
        self.settle();
    }

    /// Submits one more build, whose only job is then queued.
    pub fn submit(&mut self) {
        self.submitted += 1;
        let number = self.submitted;
        let change = Change {
            project: "hall".to_owned(),
            ref_name: format!("refs/heads/b{}", number % 100),
            revision: format!("{number:040x}"),
            ..Change::default()
        };
        let build = self.it.submit_change(self.now, ROOT, change).expect("each revision is another");
        let plan = Plan { version: 1, jobs: vec![job(number)], trust: Trust::Trusted };
        self.it.plan_ready(self.now, build, Planned::Plan(plan));
        self.settle();
    }

    fn attach(&mut self, number: usize) {
        let join = number_in_32(number);
        let labels = vec![("kind".to_owned(), format!("k{}", number % KINDS))];
        let order = GrantOrder {
            kind: GrantKind::Worker,
            name: format!("w{number}"),
            what: What { labels, ..What::default() },
            lifetime: None,
            join_hash: join,
        };
        let mut id = [0; 16];
        id[..8].copy_from_slice(&(number as u64).to_be_bytes());
        let request = Request { id: RequestId(id), by: ROOT, body: join };
        let grant: GrantId = self.it.issue(self.now, request, order).expect("the root may issue");
        self.it.redeem(self.now, join, join, Fingerprint(join)).expect("a fresh join");
        let description = Description {
            platform: PLATFORMS[number % PLATFORMS.len()].to_owned(),
            total: ROOM,
            ..Description::default()
        };
        let arrival = Arrival { instance: id, description, keeps_terms: true, ..Arrival::default() };
        let attached = self.it.attach(self.now, grant, arrival).expect("its grant is in force");
        self.sessions.push(attached.session);
        self.settle();
    }

    /// Takes the effects of the coordinator and keeps the offers. Records are dropped, because there is no store.
    fn settle(&mut self) {
        while let Some(effect) = self.it.poll_effect() {
            if let Effect::Offer { assignment, .. } = effect {
                self.offered.push(*assignment);
            }
        }
    }
}

fn job(number: usize) -> JobPlan {
    let (on, want) = match number % 4 {
        0 => (String::new(), Vec::new()),
        1 => (PLATFORMS[number / 4 % PLATFORMS.len()].to_owned(), Vec::new()),
        _ => (String::new(), vec![format!("kind=k{}", number % KINDS)]),
    };
    JobPlan { name: "run".to_owned(), on, want, steps: vec![step("run")], ..JobPlan::default() }
}

/// Returns a step that runs `true`, with all other settings at their defaults.
pub fn step(name: &str) -> StepPlan {
    StepPlan {
        name: name.to_owned(),
        command: Command::Exec(vec!["true".to_owned()]),
        env: Vec::new(),
        dir: String::new(),
        timeout_ms: 0,
        idle_ms: 0,
        always: false,
        continue_on_failure: false,
        reports: Vec::new(),
    }
}

fn number_in_32(number: usize) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(number as u64 + 1).to_be_bytes());
    bytes
}
