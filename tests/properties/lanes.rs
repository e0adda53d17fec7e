//! Lanes whose builds finish in any order, on histories with merges and forced pushes: whatever the order, and wherever the master is
//! killed, the same is told, once; and it is what somebody says who sees the end of it all.

use master::coordinator::record::Turn;
use master::reporters::ancestry::{Ancestry, Dag};
use master::reporters::lanes::{Due, Lane, Run, Said, Transition, Verdict, due};
use schema::values::Time;
use std::collections::BTreeSet;
use support::seed::{Random, with_seeds};

const ORDERS: usize = 4;

#[test]
fn the_order_of_finishing_does_not_matter() {
    with_seeds("the_order_of_finishing_does_not_matter", 500, |seed| {
        let mut random = Random::new(seed);
        let history = History::draw(&mut random);
        let wanted = history.told_in_the_end();
        for _ in 0..ORDERS {
            assert_eq!(history.told_on_the_way(&mut random), wanted, "{history:?}");
        }
    });
}

/// Once it was told, nothing that comes later has it told again; time alone brings what was held back.
#[test]
fn late_results_repeat_nothing() {
    with_seeds("late_results_repeat_nothing", 500, |seed| {
        let mut random = Random::new(seed);
        let history = History::draw(&mut random);
        let mut teller = Teller::new(&history);
        let mut seen = BTreeSet::new();
        for step in 0..60 {
            // anything may be built again, and come to something else
            let place = random.below(history.verdicts.len());
            teller.runs[place] = Run { verdict: verdict(&mut random, 20), ended: Time(step * 1_000_000) };
            for transition in teller.tell(Time(step * 1_000_000 + random.draw() % 10_000_000)).transitions {
                assert!(seen.insert((transition.turn, transition.at)), "told twice: {transition:?}");
            }
        }
    });
}

/// Commits with their parents, which come before them, and what each comes to.
#[derive(Debug)]
struct History {
    parents: Vec<Vec<usize>>,
    verdicts: Vec<Verdict>,
}

impl History {
    fn draw(random: &mut Random) -> History {
        let count = 1 + random.below(14);
        let parents = (0..count).map(|place| match (place, random.below(10)) {
            (0, _) => Vec::new(),
            // a forced push, or another branch
            (_, 0 | 1) => vec![random.below(place)],
            (_, 2) => BTreeSet::from([random.below(place), place - 1]).into_iter().collect(),
            _ => vec![place - 1],
        });
        let parents = parents.collect();
        History { parents, verdicts: (0..count).map(|_| verdict(random, 0)).collect() }
    }

    fn ancestry(&self) -> Ancestry {
        let names: Vec<String> = (0..self.parents.len()).map(|place| place.to_string()).collect();
        let mut dag = Dag::default();
        for (name, parents) in names.iter().zip(&self.parents) {
            dag.learn(name, parents.iter().map(|parent| names[*parent].as_str()));
        }
        dag.ancestry(&names)
    }

    /// In a random order, with looks between, and kills: what was told and not remembered comes again.
    fn told_on_the_way(&self, random: &mut Random) -> BTreeSet<Transition> {
        let mut teller = Teller::new(self);
        let mut open: Vec<usize> = (0..self.verdicts.len()).collect();
        let mut told = BTreeSet::new();
        let mut now = 10;
        while !open.is_empty() {
            now += 1;
            let place = open.swap_remove(random.below(open.len()));
            teller.runs[place] = Run { verdict: self.verdicts[place], ended: Time(now) };
            if random.chance(20) {
                told.extend(teller.look(Time(now)).transitions.into_iter().map(plain));
            }
            if random.chance(50) || open.is_empty() {
                told.extend(teller.tell(Time(now)).transitions.into_iter().map(plain));
                assert_eq!(teller.look(Time(now)).transitions, []);
            }
        }
        assert_eq!(teller.look(Time(now)).again, None, "nothing is held back when all is finished");
        told
    }

    /// By the definition, from the parents alone.
    fn told_in_the_end(&self) -> BTreeSet<Transition> {
        let mut told = BTreeSet::new();
        for at in 0..self.verdicts.len() {
            let since = self.nearest(at);
            let bad: Vec<usize> = since.iter().copied().filter(|place| self.verdicts[*place] == Verdict::Bad).collect();
            match self.verdicts[at] {
                Verdict::Bad if bad.is_empty() => {
                    told.insert(Transition { turn: Turn::NewlyFailing, at, since, failure: None });
                }
                Verdict::Good if !bad.is_empty() => {
                    told.insert(Transition { turn: Turn::Fixed, at, since: bad, failure: None });
                }
                _ => {}
            }
        }
        told
    }

    /// The nearest ancestors with a result.
    fn nearest(&self, at: usize) -> Vec<usize> {
        let all: Vec<usize> = (0..at).filter(|place| self.descends(at, *place) && self.is_conclusive(*place)).collect();
        all.iter().copied().filter(|place| !all.iter().any(|other| self.descends(*other, *place))).collect()
    }

    fn descends(&self, newer: usize, older: usize) -> bool {
        self.parents[newer].iter().any(|parent| *parent == older || self.descends(*parent, older))
    }

    fn is_conclusive(&self, place: usize) -> bool {
        matches!(self.verdicts[place], Verdict::Good | Verdict::Bad)
    }
}

/// Of merged branches it is left open which failure a fix names, and in what order the nearest come.
fn plain(mut transition: Transition) -> Transition {
    assert_eq!(transition.failure.is_some(), transition.turn == Turn::Fixed);
    transition.failure = None;
    transition.since.sort();
    transition
}

fn verdict(random: &mut Random, open: u64) -> Verdict {
    if random.chance(open) {
        return Verdict::Open;
    }
    *random.pick(&[Verdict::Good, Verdict::Good, Verdict::Bad, Verdict::Bad, Verdict::Silent]).unwrap()
}

struct Teller {
    ancestry: Ancestry,
    runs: Vec<Run>,
    said: Said,
}

impl Teller {
    fn new(history: &History) -> Teller {
        let runs = vec![Run { verdict: Verdict::Open, ended: Time(0) }; history.verdicts.len()];
        Teller { ancestry: history.ancestry(), runs, said: Said::default() }
    }

    fn look(&self, now: Time) -> Due {
        due(&Lane { ancestry: &self.ancestry, runs: &self.runs, is_whole: true }, &self.said, Time(1), now)
    }

    fn tell(&mut self, now: Time) -> Due {
        let due = self.look(now);
        for transition in &due.transitions {
            match transition.turn {
                Turn::NewlyFailing => self.said.failing.insert(transition.at),
                Turn::Fixed => self.said.fixed.insert(transition.at),
            };
        }
        due
    }
}
