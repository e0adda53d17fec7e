//! A small scene for scripts: a few workers, and a master whose clock the test sets.

use master::decide::coordinator::record::{GrantId, JobKey, LeaseToken, RequestId};
use master::decide::coordinator::{Arrival, Coordinator, Effect, GrantOrder, Planned, ROOT, Request, SessionId, Terms};
use schema::sturdy_ref::Fingerprint;
use schema::values::{
    Assignment, Change, Description, GrantKind, JobPlan, Outcome, Plan, Resources, State, Time, Trust, What,
};
use support::hall::step;
use support::ledger::Ledger;

const ROOM: Resources = Resources { slots: 9, cpus_milli: 9_000, memory: 9 << 30 };

/// Workers by their number, and a master that is told what happens.
pub(crate) struct Stage {
    pub(crate) it: Coordinator,
    pub(crate) now: Time,
    pub(crate) ledger: Ledger,
    grants: Vec<GrantId>,
    offers: Vec<(SessionId, Assignment)>,
    builds: u64,
}

impl Stage {
    pub(crate) fn new(workers: u8) -> Stage {
        let now = Time(1_000_000);
        let it = Coordinator::load(now, Terms::default(), Ledger::default().load(), [3; 32]);
        let (ledger, grants, offers) = (Ledger::default(), Vec::new(), Vec::new());
        let mut stage = Stage { it, now, ledger, grants, offers, builds: 0 };
        stage.it.found(now);
        for number in 1..=workers {
            let (kind, name) = (GrantKind::Worker, format!("w{number}"));
            let order = GrantOrder { kind, name, what: What::default(), lifetime: None, join_hash: [number; 32] };
            let request = Request { id: RequestId([number; 16]), by: ROOT, body: [0; 32] };
            let grant = stage.it.issue(now, request, order).expect("the root may issue");
            stage.it.redeem(now, [number; 32], [number + 100; 32], Fingerprint([number; 32])).expect("a fresh join");
            stage.grants.push(grant);
        }
        stage.settle();
        stage
    }

    pub(crate) fn settle(&mut self) {
        while let Some(effect) = self.it.poll_effect() {
            match effect {
                Effect::Record(record) => self.ledger.write(record),
                Effect::Offer { session, assignment } => self.offers.push((session, *assignment)),
                Effect::Plan { .. }
                | Effect::Cancel { .. }
                | Effect::Withdraw { .. }
                | Effect::Revoke { .. }
                | Effect::EndSession { .. }
                | Effect::Finished { .. } => {}
            }
        }
        self.it.check();
    }

    pub(crate) fn attach(&mut self, worker: usize, running: Vec<LeaseToken>) -> SessionId {
        let description = Description { total: ROOM, ..Description::default() };
        let arrival = Arrival { instance: [7; 16], running, description, keeps_terms: true, ..Arrival::default() };
        let attached = self.it.attach(self.now, self.grants[worker], arrival).expect("its grant is in force");
        self.settle();
        attached.session
    }

    /// A job that waits, or is offered to whoever asked.
    pub(crate) fn submit(&mut self, job: JobPlan) -> JobKey {
        self.builds += 1;
        let change = Change {
            project: "p".to_owned(),
            ref_name: format!("refs/heads/b{}", self.builds),
            revision: format!("{:040x}", self.builds),
            ..Change::default()
        };
        let build = self.it.submit_change(self.now, ROOT, change).expect("another revision");
        let plan = Plan { version: 1, jobs: vec![job], trust: Trust::Trusted };
        self.it.plan_ready(self.now, build, Planned::Plan(plan));
        self.settle();
        JobKey { build, index: 0 }
    }

    pub(crate) fn ask(&mut self, session: SessionId) {
        self.it.worker_ready(self.now, session, ROOM);
        self.settle();
    }

    /// The master is killed and comes back under these terms.
    pub(crate) fn restart(&mut self, terms: Terms) {
        self.it = Coordinator::load(self.now, terms, self.ledger.load(), [4; 32]);
        self.settle();
    }

    /// What was offered since the last look, and to whom.
    pub(crate) fn offered(&mut self) -> Vec<(SessionId, LeaseToken)> {
        let offers = std::mem::take(&mut self.offers);
        offers.into_iter().map(|(session, assignment)| (session, LeaseToken(assignment.token))).collect()
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        self.now = Time(self.now.0 + ms);
        self.it.handle_timeout(self.now);
        self.settle();
    }

    /// How many milliseconds pass until this session, which asks, is offered something; in steps of 100.
    pub(crate) fn asked_after(&mut self, session: SessionId) -> u64 {
        self.ask(session);
        for tenths in 0..2_000 {
            if self.offered().iter().any(|(to, _)| *to == session) {
                return tenths * 100;
            }
            self.pass(100);
        }
        panic!("it is never asked again");
    }

    pub(crate) fn accept(&mut self, token: LeaseToken) {
        self.it.accept(self.now, token).expect("the offer stands");
        self.settle();
    }

    pub(crate) fn outcome(&self, job: JobKey) -> Option<(Outcome, String)> {
        let row = self.ledger.jobs.values().find(|row| row.key == job).expect("it was recorded");
        Some((row.outcome?, row.reason.clone()))
    }

    pub(crate) fn state(&self, job: JobKey) -> State {
        self.ledger.jobs.values().find(|row| row.key == job).expect("it was recorded").state
    }
}

pub(crate) fn one() -> JobPlan {
    JobPlan { name: "j".to_owned(), retry_infra: 2, steps: vec![step("s")], ..JobPlan::default() }
}
