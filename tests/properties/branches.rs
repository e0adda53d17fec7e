//! The state of a branch is what its definition says. Random histories have pushes, merges, forced pushes, deletions, runs, retries
//! and cancels, with jobs that end in any order, and go through the real coordinator and store. The definition is written here a
//! second time, and looks at the whole history.

use crate::world::World;
use futures::FutureExt as _;
use master::decide::coordinator::lane::RefState;
use master::decide::coordinator::record::{BuildCause, BuildId, BuildRow, JobRow, LeaseToken};
use master::decide::coordinator::{Effect, Order, Origin, Past, Planned, ROOT, SessionId, Terms};
use master::keep::store::{Removal, Store};
use schema::values::{
    Change, Commit, JobPlan, Outcome, Plan, Resources, SourceRevision, SourceStamp, State, Time, Trust, What,
};
use std::collections::{BTreeMap, BTreeSet};
use support::hall::step;
use support::seed::{Random, with_seeds};

const REFS: [&str; 2] = ["refs/heads/main", "refs/heads/topic"];
/// The number of results of a lane that the store keeps one by one. A result that is older than these is left out.
const BUILDS_OF_A_REF: usize = 12;
const MOVES: usize = 90;
const ROOM: Resources = Resources { slots: 200, cpus_milli: 1_000_000, memory: 1 << 40 };

#[test]
fn a_branch_is_what_its_definition_says() {
    with_seeds("a_branch_is_what_its_definition_says", 2_000, |seed| {
        let mut history = History::new(seed);
        (0..MOVES).for_each(|_| history.random_move());
        history.end_all();
        history.check();
    });
}

/// The facts about a build that the definition uses.
struct Known {
    ref_name: usize,
    /// The index of the push of its ref to which the build belongs. `None` means that it belongs to no push.
    push: Option<usize>,
}

/// `History` is one worker that takes every job, two refs, and the facts about them that the definition uses.
struct History {
    random: Random,
    world: World,
    session: SessionId,
    running: Vec<LeaseToken>,
    known: BTreeMap<BuildId, Known>,
    /// The commits that were pushed to each ref, in order.
    pushes: [Vec<String>; 2],
    /// The index of the push that is the tip of each ref. `None` means that the ref does not exist.
    tips: [Option<usize>; 2],
    /// The index of the push that made each ref, or made it again after a deletion. Older pushes do not count.
    born: [usize; 2],
}

impl History {
    fn new(seed: u64) -> History {
        let mut world = World::new(Terms::default());
        world.room = ROOM;
        world.enroll("w", What::default());
        let session = world.attach(0, Vec::new());
        let (running, known, pushes) = Default::default();
        let random = Random::new(seed);
        History { random, world, session, running, known, pushes, tips: [None, None], born: [0, 0] }
    }

    fn random_move(&mut self) {
        self.world.now = Time(self.world.now.0 + 1);
        let at = self.random.below(REFS.len());
        let is_full = self.known.values().filter(|known| known.ref_name == at).count() >= BUILDS_OF_A_REF;
        match self.random.below(13) {
            0 | 1 if !is_full => self.push(at),
            12 if !is_full => self.merge(at),
            2 if !is_full => self.run(at),
            3 | 4 if !is_full => self.retry(at),
            5 if self.random.chance(15) => self.delete(at),
            6 if self.random.chance(40) => self.cancel(),
            7 | 8 => self.plan(),
            _ => self.end_one(),
        }
        self.settle();
    }

    /// Pushes a new commit, or forces the ref to an older commit of either branch.
    fn push(&mut self, at: usize) {
        let old: Vec<String> = self.pushes.iter().flatten().cloned().collect();
        let revision = if self.random.chance(30) { self.random.pick(&old).cloned() } else { None };
        self.update(at, revision.unwrap_or_else(|| self.fresh()));
    }

    /// Merges the other branch into this one, with a merge commit or by a fast-forward to the tip of the other.
    fn merge(&mut self, at: usize) {
        let other = 1 - at;
        let Some(tip) = self.tips[other] else { return };
        let revision = if self.random.chance(50) { self.pushes[other][tip].clone() } else { self.fresh() };
        self.update(at, revision);
    }

    fn fresh(&self) -> String {
        format!("{:040x}", self.world.now.0)
    }

    /// Tells the coordinator that the master has seen a ref at this commit.
    fn update(&mut self, at: usize, revision: String) {
        let change = Change {
            project: "p".to_owned(),
            ref_name: REFS[at].to_owned(),
            revision: revision.clone(),
            ..Change::default()
        };
        let built = self.world.it.submit_change(self.world.now, ROOT, change);
        if built.is_none() && self.tips[at].is_none() {
            // the ref came back to the revision that it had before its deletion
            self.tips[at] = Some(self.pushes[at].len() - 1);
        }
        if let Some(build) = built {
            if self.tips[at].is_none() {
                self.born[at] = self.pushes[at].len();
            }
            self.pushes[at].push(revision);
            self.tips[at] = Some(self.pushes[at].len() - 1);
            self.known.insert(build, Known { ref_name: at, push: self.tips[at] });
        }
    }

    /// Asks for a build of the tip, or of any commit by its id. Only a build of the tip counts for the branch.
    fn run(&mut self, at: usize) {
        let Some(tip) = self.tips[at] else { return };
        let named = self.random.chance(50);
        let commits = self.pushes[at].clone();
        let revision = if named { self.random.pick(&commits).cloned() } else { commits.get(tip).cloned() };
        let Some(revision) = revision else { return };
        let push = (revision == commits[tip]).then_some(tip);
        let origin = if named { Origin::Named } else { Origin::Tip { since: u32::MAX } };
        let source =
            SourceRevision { repository: "p".to_owned(), ref_name: REFS[at].to_owned(), revision, base: String::new() };
        let order = Order {
            project: "p".to_owned(),
            stamp: SourceStamp { sources: vec![source] },
            tip: Commit::default(),
            by: ROOT,
            origin,
        };
        let request = self.world.request();
        let build = self
            .world
            .it
            .run(self.world.now, request, BuildCause::Run { by: "somebody".to_owned() }, order)
            .expect("a run is taken");
        self.known.insert(build, Known { ref_name: at, push });
    }

    /// Retries all of a finished build, or one job of it.
    fn retry(&mut self, at: usize) {
        let is_past = |row: &&BuildRow| row.state == State::Finished && self.known[&row.id].ref_name == at;
        let past: Vec<BuildRow> = self.world.ledger.builds.values().filter(is_past).cloned().collect();
        let Some(row) = self.random.pick(&past).cloned() else { return };
        let Some(plan) = self.world.ledger.plans.get(&row.id).cloned() else { return };
        let jobs: Vec<JobRow> =
            self.world.ledger.jobs.values().filter(|job| job.key.build == row.id).cloned().collect();
        let again = match self.random.chance(50) {
            true => vec![self.random.below(jobs.len())],
            false => (0..jobs.len()).collect(),
        };
        let revision = row.stamp.sources[0].revision.clone();
        let tip = self.tips[at].filter(|tip| self.pushes[at][*tip] == revision);
        let push = tip.or(self.known[&row.id].push);
        let past = Past { row, plan, jobs, removals: self.world.it.removals() };
        let request = self.world.request();
        let build = self.world.it.retry(self.world.now, request, "somebody", past, &again).expect("a retry is taken");
        self.known.insert(build, Known { ref_name: at, push });
    }

    fn delete(&mut self, at: usize) {
        if self.tips[at].take().is_none() {
            return;
        }
        let change = Change { project: "p".to_owned(), ref_name: REFS[at].to_owned(), ..Change::default() };
        assert_eq!(self.world.it.submit_change(self.world.now, ROOT, change), None);
    }

    fn cancel(&mut self) {
        let open = self.world.ledger.builds.values().filter(|row| row.state != State::Finished).map(|row| row.id);
        let open: Vec<BuildId> = open.collect();
        let Some(build) = self.random.pick(&open).copied() else { return };
        let request = self.world.request();
        self.world.it.cancel(self.world.now, request, build, None, "somebody wants it").expect("it is open");
    }

    fn plan(&mut self) {
        if self.world.plans.is_empty() {
            return;
        }
        let index = self.random.below(self.world.plans.len());
        let build = self.world.plans.swap_remove(index);
        let planned = match self.random.below(12) {
            0 => Planned::Broken("broken".to_owned()),
            1 => Planned::Skip("not wanted".to_owned()),
            2 => Planned::Trouble("unreadable".to_owned()),
            _ => Planned::Plan(self.random_plan()),
        };
        self.world.it.plan_ready(self.world.now, build, planned);
    }

    fn random_plan(&mut self) -> Plan {
        let names = ["a", "b", "c"].into_iter().filter(|name| *name == "a" || self.random.chance(70));
        let names: Vec<&str> = names.collect();
        let jobs = names.into_iter().enumerate().map(|(index, name)| JobPlan {
            name: name.to_owned(),
            base: name.to_owned(),
            needs: if index > 0 && self.random.chance(30) { vec![0] } else { Vec::new() },
            skipped: if self.random.chance(25) { "nothing changed".to_owned() } else { String::new() },
            steps: vec![step("step")],
            ..JobPlan::default()
        });
        Plan { version: 1, jobs: jobs.collect(), trust: Trust::Trusted }
    }

    fn end_one(&mut self) {
        if self.running.is_empty() {
            return;
        }
        let index = self.random.below(self.running.len());
        let token = self.running.swap_remove(index);
        let outcomes = [Outcome::Succeeded, Outcome::Warned, Outcome::Failed, Outcome::Failed, Outcome::Errored];
        let outcome = *self.random.pick(&outcomes).expect("there are some");
        // the attempt may have been cancelled, so its end may be refused
        let _ = self.world.it.complete(self.world.now, token, outcome, "");
    }

    fn end_all(&mut self) {
        for _ in 0..10_000 {
            if self.world.plans.is_empty() && self.running.is_empty() {
                return;
            }
            self.plan();
            self.settle();
            self.end_one();
            self.settle();
        }
        panic!("builds never end:\n{}", self.world.it.dump(self.world.now));
    }

    /// Lets the worker take and begin everything that it is offered.
    fn settle(&mut self) {
        loop {
            self.world.it.worker_ready(self.world.now, self.session, ROOM);
            self.world.settle();
            for effect in std::mem::take(&mut self.world.told) {
                if let Effect::Withdraw { token, .. } = effect {
                    self.running.retain(|running| *running != token);
                }
            }
            let offered = self.world.offered();
            if offered.is_empty() {
                return;
            }
            for (_, token) in offered {
                self.world.it.accept(self.world.now, token).expect("it was offered");
                self.running.push(token);
            }
        }
    }

    fn check(&mut self) {
        let store = Store::in_memory("branches").expect("a store in memory");
        let records = std::mem::take(&mut self.world.records);
        store.commit(records).now_or_never().expect("inline").expect("it is written");
        let before = REFS.map(|ref_name| state(&store, ref_name));
        // a deleted ref is not compared, because it keeps its last known state
        for (at, state) in before.iter().enumerate().filter(|(at, _)| self.tips[*at].is_some()) {
            self.compare(at, state);
        }
        // retention removes old builds, and the state of a branch must not depend on them
        let newest = REFS.iter().enumerate().flat_map(|(at, _)| self.planned(at).into_iter().chain(self.tip(at)));
        let kept: BTreeSet<BuildId> = newest.map(|row| row.id).collect();
        let broken = before.iter().filter_map(|state| state.broken.as_ref().map(|row| row.id));
        let kept: BTreeSet<BuildId> = kept.into_iter().chain(broken).collect();
        let builds = self.world.ledger.builds.keys().filter(|id| !kept.contains(id)).copied().collect();
        let removal = Removal { builds, logs: Vec::new() };
        store.remove(removal).now_or_never().expect("inline").expect("it is removed");
        for (at, ref_name) in REFS.iter().enumerate().filter(|(at, _)| self.tips[*at].is_some()) {
            assert_eq!(state(&store, ref_name), before[at], "{ref_name} after its old builds were removed");
        }
    }

    /// Returns the builds of a ref that count for it, each with its place in the order.
    fn counted(&self, at: usize) -> Vec<((usize, u32), &BuildRow)> {
        let of_ref = self.world.ledger.builds.values().filter(|row| self.known[&row.id].ref_name == at);
        let mut counted: Vec<_> =
            of_ref.filter_map(|row| Some(((self.known[&row.id].push?, row.number), row))).collect();
        counted.retain(|((push, _), _)| *push >= self.born[at]);
        counted.sort_by_key(|(order, _)| *order);
        counted
    }

    fn tip(&self, at: usize) -> Option<BuildRow> {
        self.counted(at).last().map(|(_, row)| (*row).clone())
    }

    fn planned(&self, at: usize) -> Option<BuildRow> {
        self.counted(at).into_iter().rev().find(|(_, row)| row.job_count > 0).map(|(_, row)| row.clone())
    }

    fn compare(&self, at: usize, state: &RefState) {
        let counted = self.counted(at);
        let planned = self.planned(at);
        let after = |row: &BuildRow| planned.as_ref().is_none_or(|planned| self.order(row) > self.order(planned));
        let is_broken = |row: &BuildRow| {
            row.cause == BuildCause::Change && row.job_count == 0 && row.outcome == Some(Outcome::Failed) && after(row)
        };
        let broken = counted.iter().any(|(_, row)| is_broken(row));
        let names = planned.as_ref().map(|row| self.names(row.id)).unwrap_or_default();
        let mut worst = broken.then_some(Outcome::Failed);
        assert_eq!(state.lanes.iter().map(|(name, _)| name).collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
        for (name, lane) in &state.lanes {
            let results = self.results(&counted, name);
            let (outcome, good, bad) = define(&results);
            let found = (lane.outcome(), lane.last_good().map(|it| it.build), lane.first_bad().map(|it| it.build));
            assert_eq!(found, (outcome, good, bad), "lane {name} of {}: {results:?}", REFS[at]);
            let errored = results.last().filter(|(_, outcome)| *outcome == Outcome::Errored).map(|(build, _)| *build);
            assert_eq!(lane.errored().map(|result| result.build), errored);
            if !broken {
                worst = worst.max(outcome);
            }
        }
        assert_eq!(state.outcome(), worst, "{}", REFS[at]);
        assert_eq!(state.tip.as_ref().map(|row| row.id), self.tip(at).map(|row| row.id));
    }

    fn order(&self, row: &BuildRow) -> (Option<usize>, u32) {
        (self.known[&row.id].push, row.number)
    }

    fn names(&self, build: BuildId) -> Vec<String> {
        self.world.ledger.jobs.values().filter(|job| job.key.build == build).map(|job| job.name.clone()).collect()
    }

    /// Returns the results of a lane in order, each with the number of its build and its outcome.
    fn results(&self, counted: &[((usize, u32), &BuildRow)], name: &str) -> Vec<(u32, Outcome)> {
        let mut results = Vec::new();
        for (_, build) in counted {
            let of_build = self.world.ledger.jobs.values().filter(|job| job.key.build == build.id && job.name == name);
            let ran = of_build.filter(|job| job.carried_from == 0);
            let said = ran.filter_map(|job| job.outcome).filter(|outcome| *outcome != Outcome::Skipped);
            results.extend(said.map(|outcome| (build.number, outcome)));
        }
        results
    }
}

/// Returns the state of a lane by its definition: the outcome, the last good build, and the first build of the present red range.
fn define(results: &[(u32, Outcome)]) -> (Option<Outcome>, Option<u32>, Option<u32>) {
    let counts = |outcome: &Outcome| matches!(outcome, Outcome::Succeeded | Outcome::Warned | Outcome::Failed);
    let counted: Vec<_> = results.iter().filter(|(_, outcome)| counts(outcome)).collect();
    let good = counted.iter().rev().find(|(_, outcome)| *outcome != Outcome::Failed).map(|(build, _)| *build);
    let failures = counted.iter().rev().take_while(|(_, outcome)| *outcome == Outcome::Failed);
    (counted.last().map(|(_, outcome)| *outcome), good, failures.last().map(|(build, _)| *build))
}

fn state(store: &Store, ref_name: &str) -> RefState {
    let readers = store.readers().of(master::keep::turns::PROGRAM);
    let read = readers.ref_state("p", ref_name);
    read.now_or_never().expect("inline").expect("it is read")
}

/// If a ref is not followed, each build that somebody asks for is an update of its own.
#[test]
fn runs_of_a_ref_that_is_not_followed_follow_each_other() {
    let mut world = World::new(Terms::default());
    let order = |revision: &str| Order {
        project: "p".to_owned(),
        stamp: SourceStamp {
            sources: vec![SourceRevision {
                repository: "p".to_owned(),
                ref_name: REFS[1].to_owned(),
                revision: revision.to_owned(),
                base: String::new(),
            }],
        },
        tip: Commit::default(),
        by: ROOT,
        origin: Origin::Tip { since: u32::MAX },
    };
    let updates = ["a", "b", "a"].map(|revision| {
        let request = world.request();
        let build = world
            .it
            .run(world.now, request, BuildCause::Run { by: "somebody".to_owned() }, order(revision))
            .expect("a run is taken");
        world.settle();
        assert!(matches!(world.ledger.builds[&build].cause, BuildCause::Run { .. }));
        world.ledger.builds[&build].update
    });
    assert_eq!(updates, [1, 2, 3]);
}
