//! Who descends from whom among the commits that the builds of a branch were made of. Pure: what git said of parents goes in,
//! ancestors come out. Knows nothing of builds.

use std::collections::BTreeMap;

/// What is known of a repository's history.
#[derive(Debug, Default)]
pub struct Dag {
    numbers: BTreeMap<String, usize>,
    /// None: named as a parent, and nothing else is known of it.
    parents: Vec<Option<Vec<usize>>>,
}

/// The ancestors of some commits among each other. A commit is no ancestor of itself.
#[derive(Debug)]
pub struct Ancestry {
    ancestors: Vec<Vec<bool>>,
    /// Each behind all of its ancestors.
    order: Vec<usize>,
}

impl Dag {
    pub fn learn<'p>(&mut self, commit: &str, parents: impl IntoIterator<Item = &'p str>) {
        let parents = parents.into_iter().map(|parent| self.number(parent)).collect();
        let commit = self.number(commit);
        self.parents[commit] = Some(parents);
    }

    /// Whether its parents are known.
    pub fn knows(&self, commit: &str) -> bool {
        self.numbers.get(commit).is_some_and(|number| self.parents[*number].is_some())
    }

    /// How many commits were named.
    pub fn len(&self) -> usize {
        self.parents.len()
    }

    pub fn is_empty(&self) -> bool {
        self.parents.is_empty()
    }

    /// Of these commits, which must differ. One of which nothing is known has no ancestors, and is nobody's.
    pub fn ancestry(&self, commits: &[String]) -> Ancestry {
        let numbers: Vec<Option<usize>> = commits.iter().map(|commit| self.numbers.get(commit).copied()).collect();
        let mut places = vec![None; self.parents.len()];
        for (place, number) in numbers.iter().enumerate() {
            if let Some(number) = number {
                places[*number] = Some(place);
            }
        }
        let mut seen = vec![usize::MAX; self.parents.len()];
        let near = numbers.iter().enumerate().map(|(place, number)| match number {
            Some(number) => self.walk(place, *number, &places, &mut seen),
            None => Vec::new(),
        });
        Ancestry::closing(&near.collect::<Vec<_>>())
    }

    /// The commits of the list that are met first on each way back from one of them.
    fn walk(&self, place: usize, from: usize, places: &[Option<usize>], seen: &mut [usize]) -> Vec<usize> {
        let mut met = Vec::new();
        let mut open = vec![from];
        while let Some(number) = open.pop() {
            for parent in self.parents[number].iter().flatten().copied() {
                if std::mem::replace(&mut seen[parent], place) == place {
                    continue;
                }
                match places[parent] {
                    Some(other) => met.push(other),
                    None => open.push(parent),
                }
            }
        }
        met
    }

    fn number(&mut self, commit: &str) -> usize {
        if let Some(number) = self.numbers.get(commit) {
            return *number;
        }
        self.parents.push(None);
        self.numbers.insert(commit.to_owned(), self.parents.len() - 1);
        self.parents.len() - 1
    }
}

impl Ancestry {
    /// From the nearest ancestors of each.
    fn closing(near: &[Vec<usize>]) -> Ancestry {
        let order = sorted(near);
        let mut ancestors = vec![vec![false; near.len()]; near.len()];
        for place in &order {
            let mut all = vec![false; near.len()];
            for other in &near[*place] {
                all[*other] = true;
                all.iter_mut().zip(&ancestors[*other]).for_each(|(mine, its)| *mine |= its);
            }
            ancestors[*place] = all;
        }
        Ancestry { ancestors, order }
    }

    pub fn is_ancestor(&self, older: usize, newer: usize) -> bool {
        self.ancestors[newer][older]
    }

    /// All of them, each behind all of its ancestors.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// Of the ancestors that are wanted, those that are no ancestors of another of them. More than one only where branches
    /// were merged.
    pub fn nearest(&self, of: usize, wanted: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut found: Vec<usize> = Vec::new();
        for place in self.order.iter().rev().copied().filter(|place| self.is_ancestor(*place, of) && wanted(*place)) {
            if !found.iter().any(|nearer| self.is_ancestor(place, *nearer)) {
                found.push(place);
            }
        }
        found
    }
}

/// Depth first; what git says has no circles, and if it had, this would end all the same.
fn sorted(near: &[Vec<usize>]) -> Vec<usize> {
    let (mut order, mut begun, mut done) = (Vec::new(), vec![false; near.len()], vec![false; near.len()]);
    for first in 0..near.len() {
        let mut open = vec![first];
        while let Some(place) = open.last().copied() {
            if !std::mem::replace(&mut begun[place], true) {
                open.extend(near[place].iter().filter(|other| !begun[**other]));
                continue;
            }
            open.pop();
            if !std::mem::replace(&mut done[place], true) {
                order.push(place);
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a-b` says that b is a parent of a; `a` that it has none.
    fn dag(lines: &str) -> Dag {
        let mut dag = Dag::default();
        for line in lines.split_whitespace() {
            let mut names = line.split('-');
            dag.learn(names.next().unwrap(), names);
        }
        dag
    }

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn ancestors_are_found_past_commits_that_nobody_asked_for() {
        let dag = dag("a b-a c-b d-c x-a y-x m-d-y");
        let commits = names("m c y a gone");
        let it = dag.ancestry(&commits);
        let of = |index: usize| -> Vec<&str> {
            (0..5).filter(|other| it.is_ancestor(*other, index)).map(|other| commits[other].as_str()).collect()
        };
        assert_eq!((of(0), of(1), of(2), of(3), of(4)), (vec!["c", "y", "a"], vec!["a"], vec!["a"], vec![], vec![]));
        let mut nearest = it.nearest(0, |_| true);
        nearest.sort();
        assert_eq!(nearest, [1, 2]);
        assert_eq!(it.nearest(0, |place| place != 2), [1]);
        assert_eq!(it.nearest(0, |place| place == 3), [3]);
        let at = |place| it.order().iter().position(|other| *other == place).unwrap();
        assert!(at(3) < at(1) && at(1) < at(0) && at(2) < at(0));
    }

    #[test]
    fn what_is_beyond_the_horizon_is_unknown() {
        let dag = dag("c-b d-c");
        assert!(dag.knows("c") && !dag.knows("b") && !dag.knows("z"));
        let it = dag.ancestry(&names("d b a"));
        assert!(it.is_ancestor(1, 0) && !it.is_ancestor(2, 0));
    }
}
