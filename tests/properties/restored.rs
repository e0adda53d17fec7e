//! The coordinator of a store that was restored: plans and jobs of a project wait until its repository was looked at once, over
//! restarts, and nobody else's do.

use master::decide::coordinator::record::{BuildId, GrantId, JobKey, RefScope, RequestId};
use master::decide::coordinator::{
    Arrival, Coordinator, Effect, GrantOrder, HeldProject, Planned, ROOT, Request, Terms,
};
use master::explain::Explainer;
use schema::sturdy_ref::Fingerprint;
use schema::values::{Assignment, Change, Description, GrantKind, JobPlan, Plan, Resources, Time, Trust, What};
use support::hall::step;
use support::ledger::Ledger;

const NOW: Time = Time(1_000_000);
const ROOM: Resources = Resources { slots: 9, cpus_milli: 9_000, memory: 1 << 30 };
const RESTORED: u64 = 9;

struct World {
    it: Coordinator,
    ledger: Ledger,
    worker: GrantId,
    /// What the coordinator asked for since the last look.
    plans: Vec<BuildId>,
    offers: Vec<Assignment>,
}

impl World {
    /// Each project has a build with a job that is queued, and one whose plan was asked for.
    fn new(projects: &[&str]) -> World {
        let it = Coordinator::load(NOW, Terms::default(), Ledger::default().load(), [7; 32]);
        let (ledger, worker) = (Ledger::default(), GrantId(0));
        let mut world = World { it, ledger, worker, plans: Vec::new(), offers: Vec::new() };
        world.it.found(NOW);
        world.enroll();
        for project in projects {
            world.looked(project);
            world.submit(project, "main");
            world.submit(project, "dev");
            let build = world.plans[0];
            world.plan(build);
            world.plans.clear();
        }
        world
    }

    fn enroll(&mut self) {
        let (kind, name, what) = (GrantKind::Worker, "w".to_owned(), What::default());
        let order = GrantOrder { kind, name, what, lifetime: None, join_hash: [1; 32] };
        let request = Request { id: RequestId([1; 16]), by: ROOT, body: [1; 32] };
        self.worker = self.it.issue(NOW, request, order).unwrap();
        self.it.redeem(NOW, [1; 32], [2; 32], Fingerprint([3; 32])).unwrap();
        self.drain();
    }

    fn submit(&mut self, project: &str, branch: &str) {
        let ref_name = format!("refs/heads/{branch}");
        let change = Change { project: project.to_owned(), ref_name, revision: "a".repeat(40), ..Change::default() };
        self.it.submit_change(NOW, ROOT, change).unwrap();
        self.drain();
    }

    fn plan(&mut self, build: BuildId) {
        let job = JobPlan { name: "test".to_owned(), steps: vec![step("run")], ..JobPlan::default() };
        let needing = JobPlan { name: "after".to_owned(), needs: vec![0], ..job.clone() };
        let plan = Plan { version: 1, jobs: vec![job, needing], trust: Trust::Trusted };
        self.it.plan_ready(NOW, build, Planned::Plan(plan));
        self.drain();
    }

    fn looked(&mut self, project: &str) {
        self.it.looked_at_all(NOW, project, "/srv/it", &RefScope::default());
        self.drain();
    }

    /// Another start of a master on what is stored; a worker with room asks for work.
    fn start(&mut self, incarnation: u64) {
        let mut loaded = self.ledger.load();
        loaded.incarnation = incarnation;
        self.it = Coordinator::load(NOW, Terms::default(), loaded, [8; 32]);
        (self.plans, self.offers) = (Vec::new(), Vec::new());
        let description = Description { total: ROOM, ..Description::default() };
        let arrival = Arrival { instance: [1; 16], description, keeps_terms: true, ..Arrival::default() };
        let session = self.it.attach(NOW, self.worker, arrival).unwrap().session;
        self.it.worker_ready(NOW, session, ROOM);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(effect) = self.it.poll_effect() {
            if let Effect::Record(record) = effect {
                self.ledger.write(record);
            } else if let Effect::Plan { build } = effect {
                self.plans.push(build);
            } else if let Effect::Offer { assignment, .. } = effect {
                self.offers.push(*assignment);
            }
        }
        self.it.check();
    }
}

#[test]
fn a_project_waits_for_the_first_look_at_its_repository() {
    let mut world = World::new(&["p", "q"]);
    let queued = |build| JobKey { build: BuildId(build), index: 0 };
    for _ in 0..2 {
        // a restart in between changes nothing
        world.start(RESTORED);
        assert_eq!((world.plans.len(), world.offers.len()), (0, 0));
        let held = ["p", "q"].map(|project| HeldProject { project: project.to_owned(), open: 2 });
        assert_eq!(world.it.held_list(), held);
        let why = "the master was restored from a backup, and waits to read the repository of p first";
        assert_eq!(Explainer::new(&world.it, NOW).why(queued(1)), why);
        for job in ["test", "after"] {
            assert_eq!(Explainer::new(&world.it, NOW).explain(BuildId(1), job).unwrap().why.kind(), "restored");
        }
        let listed: Vec<String> = Explainer::new(&world.it, NOW)
            .queue()
            .iter()
            .map(|it| format!("{} {}", it.project, it.why.kind()))
            .collect();
        assert_eq!(listed, ["p restored", "q restored"]);
        assert!(world.it.begin_following("p", &RefScope::default()).is_restored);
        world.drain();
    }
    world.looked("p");
    assert_eq!((world.plans.as_slice(), world.offers.len()), (&[BuildId(2)][..], 1));
    assert_eq!((world.offers[0].project.as_str(), world.it.is_held("p"), world.it.is_held("q")), ("p", false, true));
    assert!(!world.it.begin_following("p", &RefScope::default()).is_restored);
    world.start(RESTORED);
    assert_eq!((world.plans.as_slice(), world.offers.len()), (&[BuildId(2)][..], 1), "q waits still");
    // what is asked for meanwhile waits as well, and what is held back can be cancelled
    world.submit("q", "new");
    assert_eq!(world.plans, [BuildId(2)]);
    let request = Request { id: RequestId([2; 16]), by: ROOT, body: [2; 32] };
    world.it.cancel(NOW, request, BuildId(3), None, "not wanted").unwrap();
    world.drain();
    assert_eq!(world.it.held_list()[0].open, 2);
    world.looked("q");
    assert_eq!(world.plans[1..], [BuildId(4), BuildId(5)]);
}

#[test]
fn a_master_that_was_not_restored_waits_for_nobody() {
    let mut world = World::new(&["p"]);
    world.start(1);
    assert_eq!((world.plans.len(), world.offers.len(), world.it.held_list().len()), (1, 1, 0));
}

#[test]
fn a_project_that_was_never_looked_at_waits_where_it_has_builds() {
    let mut world = World::new(&["p"]);
    world.ledger.followed.clear();
    world.start(RESTORED);
    assert!(world.it.is_held("p") && !world.it.is_held("new"));
    world.looked("p");
    assert_eq!((world.plans.len(), world.offers.len()), (1, 1));
}
