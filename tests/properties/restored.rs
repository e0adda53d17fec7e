//! The coordinator with a store that was restored from a backup: plans and jobs of a project wait until the master has read its
//! repository once, also over restarts. Other projects do not wait for it.

use crate::world::{World, one};
use master::decide::coordinator::record::{BuildId, JobKey, RefScope};
use master::decide::coordinator::{HeldProject, Terms};
use master::explain::Explainer;
use schema::values::JobPlan;

const RESTORED: u64 = 9;

impl World {
    /// Makes a world in which each project has one build with a queued job, and one build that waits for its plan.
    fn of_projects(projects: &[&str]) -> World {
        let mut world = World::of(1);
        for project in projects {
            world.looked(project);
            let build = world.push(project, "main");
            world.push(project, "dev");
            let job = JobPlan { name: "test".to_owned(), ..one() };
            world.plan(build, vec![job.clone(), JobPlan { name: "after".to_owned(), needs: vec![0], ..job }]);
        }
        world
    }

    fn looked(&mut self, project: &str) {
        self.it.looked_at_all(self.now, project, "/srv/it", &RefScope::default());
        self.settle();
    }

    /// Starts a master of this incarnation on the stored state, and lets a worker with room ask for work.
    fn start_as(&mut self, incarnation: u64) {
        let mut loaded = self.ledger.load();
        loaded.incarnation = incarnation;
        self.start(Terms::default(), loaded);
        let session = self.attach(0, Vec::new());
        self.ask(session);
    }
}

#[test]
fn a_project_waits_for_the_first_look_at_its_repository() {
    let mut world = World::of_projects(&["p", "q"]);
    let queued = |build| JobKey { build: BuildId(build), index: 0 };
    for _ in 0..2 {
        // a restart in between changes nothing
        world.start_as(RESTORED);
        assert_eq!((world.plans.len(), world.offers.len()), (0, 0));
        let held = ["p", "q"].map(|project| HeldProject { project: project.to_owned(), open: 2 });
        assert_eq!(world.it.held_list(), held);
        let why = "the master was restored from a backup, and waits to read the repository of p first";
        assert_eq!(Explainer::new(&world.it, world.now).why(queued(1)), why);
        for job in ["test", "after"] {
            assert_eq!(Explainer::new(&world.it, world.now).explain(BuildId(1), job).unwrap().why.kind(), "restored");
        }
        let listed: Vec<String> = Explainer::new(&world.it, world.now)
            .queue()
            .iter()
            .map(|it| format!("{} {}", it.project, it.why.kind()))
            .collect();
        assert_eq!(listed, ["p restored", "q restored"]);
        assert!(world.it.begin_following("p", &RefScope::default()).is_restored);
        world.settle();
    }
    world.looked("p");
    assert_eq!((world.plans.as_slice(), world.offers.len()), (&[BuildId(2)][..], 1));
    assert_eq!((world.offers[0].1.project.as_str(), world.it.is_held("p"), world.it.is_held("q")), ("p", false, true));
    assert!(!world.it.begin_following("p", &RefScope::default()).is_restored);
    world.start_as(RESTORED);
    assert_eq!((world.plans.as_slice(), world.offers.len()), (&[BuildId(2)][..], 1), "q waits still");
    // builds that are requested meanwhile wait too, and builds that are held back can be cancelled
    world.push("q", "new");
    assert_eq!(world.plans, [BuildId(2)]);
    let request = world.request();
    world.it.cancel(world.now, request, BuildId(3), None, "not wanted").unwrap();
    world.settle();
    assert_eq!(world.it.held_list()[0].open, 2);
    world.looked("q");
    assert_eq!(world.plans[1..], [BuildId(4), BuildId(5)]);
}

#[test]
fn a_master_that_was_not_restored_waits_for_nobody() {
    let mut world = World::of_projects(&["p"]);
    world.start_as(1);
    assert_eq!((world.plans.len(), world.offers.len(), world.it.held_list().len()), (1, 1, 0));
}

#[test]
fn a_project_that_was_never_looked_at_waits_where_it_has_builds() {
    let mut world = World::of_projects(&["p"]);
    world.ledger.followed.clear();
    world.start_as(RESTORED);
    assert!(world.it.is_held("p") && !world.it.is_held("new"));
    world.looked("p");
    assert_eq!((world.plans.len(), world.offers.len()), (1, 1));
}
