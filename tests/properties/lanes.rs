//! Notices of branches whose builds finish in any order, with retries and errors, by a reporter that looks at random moments and is
//! killed. In any order, each red range gets one notice and its end gets one. The expected notices come from the whole history.

use master::decide::coordinator::lane::{Lane, LaneResult, RESULTS_KEPT};
use master::decide::coordinator::record::{ToldRow, Transition};
use master::serve::reporters::episodes::{NewestPlan, News, Next, ObservedBranch, PATIENCE, Said, Spot, next};
use master::serve::reporters::told::{Branch, id_of, rows, time_of};
use schema::values::{Outcome, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use support::seed::{Random, with_seeds};

const BRANCH: Branch<'_> = Branch { project: "p", ref_name: "refs/heads/main" };
const BORN: Time = Time(1);
const STEP: Duration = Duration::from_millis(10);

#[test]
fn each_red_range_is_told_once_and_so_is_its_end() {
    with_seeds("each_red_range_is_told_once_and_so_is_its_end", 1_000, |seed| {
        let mut random = Random::new(seed);
        let history = History::draw(&mut random, RESULTS_KEPT - 2);
        let wanted = history.told_in_the_end();
        for _ in 0..3 {
            let (told, overtaken) = history.told_on_the_way(&mut random);
            assert_eq!(told, without_overtaken(&wanted, &told, &overtaken), "{history:#?}");
        }
    });
}

/// Updates may be retried at any time, and the reporter may lose patience with unfinished builds. In the end the last notice still
/// says what the branch is.
#[test]
fn nothing_is_told_twice_and_nothing_stays_untold() {
    with_seeds("nothing_is_told_twice_and_nothing_stays_untold", 500, |seed| {
        let mut random = Random::new(seed);
        let mut world = World::new(1 + random.below(3));
        let updates = 5 + random.below(40);
        for _ in 0..updates {
            world.push(&mut random);
            for _ in 0..random.below(6) {
                match random.below(10) {
                    0 | 1 => world.retry(&mut random),
                    2 => world.now = world.now.after(PATIENCE),
                    3..7 => world.finish_one(&mut random),
                    _ => world.look(&mut random),
                }
            }
        }
        while !world.open.is_empty() {
            world.finish_one(&mut random);
        }
        world.now = world.now.after(PATIENCE);
        world.tell();
        world.check();
        let is_red = world.lanes.iter().any(|(_, lane)| lane.outcome() == Some(Outcome::Failed));
        let is_told = world.told_of.last().is_some_and(|told| told.turn == Transition::NewlyFailing);
        assert_eq!(is_red, is_told, "{world:#?}");
    });
}

/// Removes red ranges that rightly get no notice. Such a range was known only after it had ended, when there was already a notice of
/// a newer one. The newer notice did not wait, because the lanes were known to be good in between.
fn without_overtaken(wanted: &[Told], told: &[Told], overtaken: &BTreeSet<u32>) -> Vec<Told> {
    let ranges = wanted.chunks(2).filter(|range| {
        let [failing, fixed] = range else { return true };
        let was_overtaken = overtaken.range(failing.update..fixed.update).next().is_some();
        told.contains(failing) || !was_overtaken
    });
    ranges.flatten().cloned().collect()
}

/// `Build` has the update that the build belongs to, and the final outcome of each of its lanes.
#[derive(Clone, Debug)]
struct Build {
    update: u32,
    number: u32,
    outcomes: BTreeMap<String, Outcome>,
}

/// `History` is a list of builds in the order of their numbers. Builds of one update begin together.
#[derive(Debug)]
struct History {
    lanes: usize,
    builds: Vec<Build>,
}

impl History {
    fn draw(random: &mut Random, builds: usize) -> History {
        let (lanes, count) = (1 + random.below(3), 1 + random.below(builds));
        let mut update = 0;
        let builds = (1..=u32::try_from(count).unwrap()).map(|number| {
            if number == 1 || random.chance(75) {
                update = number;
            }
            Build { update, number, outcomes: outcomes(random, lanes) }
        });
        History { lanes, builds: builds.collect() }
    }

    /// Returns the notices by the definition: from the last result of each lane for each update follows what the branch was.
    fn told_in_the_end(&self) -> Vec<Told> {
        let mut updates: BTreeMap<u32, BTreeMap<&str, bool>> = BTreeMap::new();
        for build in &self.builds {
            let cell = updates.entry(build.update).or_default();
            for (lane, outcome) in &build.outcomes {
                match outcome {
                    Outcome::Failed => drop(cell.insert(lane, true)),
                    Outcome::Succeeded | Outcome::Warned => drop(cell.insert(lane, false)),
                    Outcome::Errored | Outcome::Cancelled | Outcome::Skipped => {}
                }
            }
        }
        let (mut state, mut failed) = (BTreeMap::new(), BTreeSet::new());
        let mut told = Vec::new();
        for (update, cell) in updates {
            let was_red = state.values().any(|is_bad| *is_bad);
            state.extend(cell.iter().map(|(lane, is_bad)| (*lane, *is_bad)));
            let is_red = state.values().any(|is_bad| *is_bad);
            let bad = cell.iter().filter(|(_, is_bad)| **is_bad).map(|(lane, _)| (*lane).to_owned());
            failed.extend(bad);
            match (was_red, is_red) {
                (false, true) => told.push(Told { turn: Transition::NewlyFailing, update, lanes: failed.clone() }),
                (true, false) => {
                    told.push(Told { turn: Transition::Fixed, update, lanes: std::mem::take(&mut failed) });
                }
                (true, true) | (false, false) => {}
            }
        }
        told
    }

    /// Begins the builds in their order, and ends their jobs in any order. Returns the notices that the reporter sent, and the updates
    /// that were unfinished when it sent a notice of something newer.
    fn told_on_the_way(&self, random: &mut Random) -> (Vec<Told>, BTreeSet<u32>) {
        let mut world = World::new(self.lanes);
        let mut waiting = self.builds.iter().peekable();
        while waiting.peek().is_some() || !world.open.is_empty() {
            if let Some(first) = waiting.next_if(|_| world.open.is_empty() || random.chance(30)) {
                world.begin(first.clone());
                while let Some(again) = waiting.next_if(|build| build.update == first.update) {
                    world.begin(again.clone());
                }
            } else {
                world.finish_one(random);
            }
            if random.chance(40) {
                world.look(random);
            }
        }
        world.tell();
        world.check();
        assert_eq!(world.next(), Next::Nothing, "nothing is held back when all is finished");
        (world.told_of, world.overtaken)
    }
}

fn outcomes(random: &mut Random, lanes: usize) -> BTreeMap<String, Outcome> {
    use Outcome::{Cancelled, Errored, Failed, Skipped, Succeeded, Warned};
    let all = [Succeeded, Succeeded, Succeeded, Warned, Failed, Failed, Errored, Cancelled, Skipped];
    (0..lanes).map(|lane| (format!("lane{lane}"), *random.pick(&all).unwrap())).collect()
}

/// `Told` is the content of a notice that the reporter sent.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    turn: Transition,
    update: u32,
    lanes: BTreeSet<String>,
}

/// `World` is a branch and its reporter.
#[derive(Debug)]
struct World {
    now: Time,
    lanes: BTreeMap<String, Lane>,
    /// The unfinished builds, with the jobs that have not ended.
    open: Vec<Build>,
    /// The update of each build, by the build's number less one.
    updates: Vec<u32>,
    told: Vec<Said>,
    told_of: Vec<Told>,
    overtaken: BTreeSet<u32>,
    ids: Vec<String>,
}

impl World {
    fn new(lanes: usize) -> World {
        World {
            now: Time(1_000),
            lanes: (0..lanes).map(|lane| (format!("lane{lane}"), Lane::default())).collect(),
            open: Vec::new(),
            updates: Vec::new(),
            told: Vec::new(),
            told_of: Vec::new(),
            overtaken: BTreeSet::new(),
            ids: Vec::new(),
        }
    }

    fn begin(&mut self, build: Build) {
        self.updates.push(build.update);
        self.open.push(build);
    }

    fn push(&mut self, random: &mut Random) {
        let number = u32::try_from(self.updates.len()).unwrap() + 1;
        self.begin(Build { update: number, number, outcomes: outcomes(random, self.lanes.len()) });
    }

    /// Begins a retry of any earlier update.
    fn retry(&mut self, random: &mut Random) {
        let number = u32::try_from(self.updates.len()).unwrap() + 1;
        let update = *random.pick(&self.updates).unwrap();
        self.begin(Build { update, number, outcomes: outcomes(random, self.lanes.len()) });
    }

    fn finish_one(&mut self, random: &mut Random) {
        if self.open.is_empty() {
            return;
        }
        self.now = self.now.after(STEP);
        let at = random.below(self.open.len());
        let build = &mut self.open[at];
        let jobs: Vec<String> = build.outcomes.keys().cloned().collect();
        let job = random.pick(&jobs).unwrap().clone();
        let outcome = build.outcomes.remove(&job).unwrap();
        if outcome != Outcome::Skipped {
            let (update, number) = (build.update, build.number);
            let revision = format!("r{update}");
            let result = LaneResult { update, build: number, outcome, finished: self.now, revision };
            self.lanes.get_mut(&job).unwrap().add(result);
        }
        if build.outcomes.is_empty() {
            self.open.swap_remove(at);
        }
        self.now = self.now.after(STEP);
    }

    fn view(&self) -> ObservedBranch {
        let mut open: BTreeMap<u32, Option<BTreeSet<String>>> = BTreeMap::new();
        for build in &self.open {
            let known = open.entry(build.update).or_insert_with(|| Some(BTreeSet::new()));
            known.as_mut().unwrap().extend(build.outcomes.keys().cloned());
        }
        let update = self.updates.iter().copied().max().unwrap_or(0);
        let spot = Spot { update, build: update, revision: format!("r{update}") };
        let lanes = self.lanes.iter().map(|(name, lane)| (name.clone(), lane.clone())).collect();
        ObservedBranch { lanes, open, planned: Some(NewestPlan { spot, created: Time(1) }) }
    }

    fn next(&self) -> Next {
        next(&self.view(), &self.told, BORN, self.now)
    }

    /// The reporter looks: it sends all notices that are due, or is killed before it has recorded one.
    fn look(&mut self, random: &mut Random) {
        if random.chance(70) {
            self.tell();
        } else if let Next::Tell(news) = self.next() {
            let id = id_of(BRANCH, &news, &self.told);
            assert!(!self.ids.contains(&id), "told twice: {news:?}");
        }
    }

    fn tell(&mut self) {
        for _ in 0..100 {
            match self.next() {
                Next::Nothing | Next::Wait(_) => return,
                Next::Add(news) => self.note(&news),
                Next::Tell(news) => {
                    let id = id_of(BRANCH, &news, &self.told);
                    assert!(!self.ids.contains(&id), "told twice: {news:?}");
                    self.ids.push(id);
                    let open = self.open.iter().map(|build| build.update);
                    self.overtaken.extend(open.filter(|update| *update < news.at.update));
                    let lanes = news.lanes.iter().map(|lane| lane.job.clone()).collect();
                    self.told_of.push(Told { turn: news.turn, update: news.at.update, lanes });
                    self.note(&news);
                }
            }
        }
        panic!("it never ends: {self:#?}");
    }

    /// Records news as the store does, whether or not a notice was sent.
    fn note(&mut self, news: &News) {
        let id = id_of(BRANCH, news, &self.told);
        for row in rows("r", BRANCH, news, &id, time_of(&self.told, self.now)) {
            let key = |row: &ToldRow| (row.job.clone(), row.turn, row.revision.clone());
            self.told.retain(|said| key(&said.row) != key(&row));
            let update = row.revision[1..].parse().unwrap();
            self.told.push(Said { row, update });
        }
        self.told.sort_by_key(|said| said.row.time);
    }

    /// Checks that notices of a failure and of its fix alternate.
    fn check(&self) {
        for (index, told) in self.told_of.iter().enumerate() {
            let wanted = if index % 2 == 0 { Transition::NewlyFailing } else { Transition::Fixed };
            assert_eq!(told.turn, wanted, "{:?}", self.told_of);
        }
    }
}
