//! Tests of blame with histories of a few commits, and with random ones.

use super::*;
use crate::keep::mirror::Authored;
use futures::FutureExt as _;
use futures::future::ready;
use proptest::prelude::*;
use schema::values::{Outcome, Time};
use std::collections::BTreeSet;

/// A history of commits, in which each commit has the numbers of its parents. They are smaller than its own number.
#[derive(Clone, Debug, Default)]
struct Commits {
    parents: Vec<Vec<usize>>,
}

impl Commits {
    /// Returns a commit with all its ancestors, by walking each path.
    fn reached(&self, from: usize) -> BTreeSet<usize> {
        let mut seen = BTreeSet::from([from]);
        for parent in &self.parents[from] {
            seen.extend(self.reached(*parent));
        }
        seen
    }

    fn number(id: &str) -> usize {
        id.parse().unwrap()
    }
}

fn id(number: usize) -> String {
    format!("{number:040}")
}

impl Ancestry for Commits {
    fn is_ancestor<'a>(&'a self, ancestor: &'a str, revision: &'a str) -> Found<'a, bool> {
        let found = self.reached(Commits::number(revision)).contains(&Commits::number(ancestor));
        Box::pin(ready(Ok(found)))
    }

    fn range<'a>(&'a self, tip: &'a str, without: &'a [String], limit: u32) -> Found<'a, CommitRange> {
        let tip = Commits::number(tip);
        let known: BTreeSet<usize> = without.iter().flat_map(|it| self.reached(Commits::number(it))).collect();
        let reached: BTreeSet<usize> = if without.is_empty() { BTreeSet::from([tip]) } else { self.reached(tip) };
        let newest_first = reached.iter().rev().filter(|number| !known.contains(number));
        let authored = |number: &usize| Authored { revision: id(*number), ..Authored::default() };
        let mut found: Vec<Authored> = newest_first.map(authored).collect();
        let left_out = u32::try_from(found.len().saturating_sub(limit as usize)).unwrap();
        found.truncate(limit as usize);
        Box::pin(ready(Ok(CommitRange { commits: found, left_out })))
    }

    fn base(&self, _: u32) -> Found<'_, Option<String>> {
        Box::pin(ready(Ok(None)))
    }
}

fn result(update: u32, commit: usize, is_bad: bool) -> LaneResult {
    let outcome = if is_bad { Outcome::Failed } else { Outcome::Succeeded };
    LaneResult { update, build: update, outcome, finished: Time(0), revision: id(commit) }
}

fn lane(results: &[(u32, usize, bool)]) -> Lane {
    let mut lane = Lane::default();
    results.iter().for_each(|(update, commit, is_bad)| lane.add(result(*update, *commit, *is_bad)));
    lane
}

fn found(commits: &Commits, lane: &Lane, main: Option<&Lane>) -> Option<Broken> {
    find(commits, LaneBreak::of(lane, 0)?, main).now_or_never().unwrap().unwrap()
}

/// Returns the kind of the range, its first bad build, and the numbers of the suspects.
fn told(commits: &Commits, lane: &Lane, main: Option<&Lane>) -> (RangeKind, u32, Vec<usize>) {
    let broken = found(commits, lane, main).unwrap();
    let numbers = broken.suspects.iter().map(|it| Commits::number(&it.commit.revision)).collect();
    (broken.range, broken.first_bad.build, numbers)
}

/// A line of commits from 0, and a branch with the commits after `fork`.
fn line(length: usize) -> Commits {
    Commits { parents: (0..length).map(|number| number.checked_sub(1).into_iter().collect()).collect() }
}

#[test]
fn what_a_force_push_took_away_accuses_nobody() {
    // 0 is good, 1 and 2 follow it on different lines
    let commits = Commits { parents: vec![vec![], vec![0], vec![0], vec![2]] };
    let pushed = lane(&[(1, 0, false), (2, 1, true), (3, 2, true), (4, 3, true)]);
    assert_eq!(told(&commits, &pushed, None), (RangeKind::Exact, 3, vec![2]));
}

#[test]
fn a_commit_that_was_good_is_not_the_cause() {
    let commits = line(3);
    let flaky = lane(&[(1, 1, false), (2, 1, true)]);
    assert_eq!(told(&commits, &flaky, None), (RangeKind::Same, 2, vec![]));
    let back = lane(&[(1, 2, false), (2, 1, true)]);
    assert_eq!(told(&commits, &back, None), (RangeKind::Same, 2, vec![]), "it was pushed back to an older commit");
}

#[test]
fn without_a_good_build_the_range_is_open() {
    assert_eq!(told(&line(3), &lane(&[(1, 2, true)]), None), (RangeKind::Open, 1, vec![2]));
}

#[test]
fn a_long_range_is_cut() {
    let many = SUSPECTS.most + 5;
    let found = found(&line(many + 1), &lane(&[(1, 0, false), (2, many, true)]), None).unwrap();
    assert_eq!((found.range, found.suspects.len(), found.left_out), (RangeKind::Cut, SUSPECTS.most, 5));
}

#[test]
fn what_was_red_before_a_branch_began_is_not_its_fault() {
    // 0 to 2 are the main branch, and 3 begins a branch at 1
    let commits = Commits { parents: vec![vec![], vec![0], vec![1], vec![1], vec![3]] };
    let main = lane(&[(1, 0, false), (2, 1, true), (5, 2, false)]);
    let (range, first_bad, suspects) = told(&commits, &lane(&[(3, 3, true), (4, 4, true)]), Some(&main));
    assert!(matches!(&range, RangeKind::Inherited(mark) if mark.build == 2), "{range:?}");
    assert_eq!((first_bad, suspects), (3, vec![]));
    // the branch mended it, and then broke it itself
    let mended = lane(&[(3, 3, false), (4, 4, true)]);
    assert_eq!(told(&commits, &mended, Some(&main)), (RangeKind::Exact, 4, vec![4]));
    let good = lane(&[(1, 0, false), (2, 1, false), (5, 2, true)]);
    let broken = found(&commits, &lane(&[(4, 4, true)]), Some(&good)).unwrap();
    assert_eq!((broken.last_good.map(|it| it.build), broken.is_of_main), (Some(2), true), "main was good at the fork");
    assert_eq!(broken.suspects.len(), 2, "only the commits of the branch");
}

/// A random history: commits with one or two parents, and pushes of some of them.
fn histories() -> impl Strategy<Value = (Commits, Vec<(usize, u8)>, usize)> {
    let commit = (any::<prop::sample::Index>(), prop::option::weighted(0.25, any::<prop::sample::Index>()));
    let commits = prop::collection::vec(commit, 1..24).prop_map(|picks| {
        let mut parents = vec![Vec::new()];
        for (one, other) in picks {
            let near = parents.len().min(4);
            let pick = |index: prop::sample::Index| parents.len() - 1 - index.index(near);
            let mut both = vec![pick(one)];
            both.extend(other.map(|it| it.index(parents.len())).filter(|it| *it != both[0]));
            parents.push(both);
        }
        Commits { parents }
    });
    commits.prop_flat_map(|commits| {
        let count = commits.parents.len();
        (Just(commits), prop::collection::vec((0..count, 0..10u8), 1..11), 0..count)
    })
}

/// What the results of a lane say by definition, with nothing but reachability. Returns the build that is the first bad one, and the
/// commits that it has and no good build before it has.
fn by_definition(commits: &Commits, results: &[(u32, usize, bool)]) -> Option<(u32, BTreeSet<usize>)> {
    let mut sorted = results.to_vec();
    sorted.sort_unstable();
    let (_, newest, true) = *sorted.last()? else { return None };
    let series: Vec<_> = sorted.iter().rev().take_while(|(.., is_bad)| *is_bad).collect();
    let in_newest = commits.reached(newest);
    let (first_bad, commit, _) = series.into_iter().filter(|(_, commit, _)| in_newest.contains(commit)).min()?;
    let good: Vec<usize> = sorted.iter().filter(|(.., is_bad)| !is_bad).map(|(_, commit, _)| *commit).collect();
    let is_suspect = |it: &usize| good.iter().all(|good| !commits.reached(*good).contains(it));
    let suspects = commits.reached(*commit).into_iter().filter(is_suspect);
    Some((*first_bad, if good.is_empty() { BTreeSet::from([*commit]) } else { suspects.collect() }))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]
    /// The culprit breaks each commit that has it. Some builds say nothing, and builds end in any order. The suspects are those of the
    /// definition, and the culprit is always among them.
    #[test]
    fn suspects_are_those_of_the_definition((commits, pushes, culprit) in histories(), order in any::<u64>()) {
        let pushes = (1..).zip(&pushes).filter(|(_, (_, luck))| *luck < 8);
        let mut results: Vec<(u32, usize, bool)> =
            pushes.map(|(update, (commit, _))| (update, *commit, commits.reached(*commit).contains(&culprit))).collect();
        results.sort_by_key(|(update, ..)| u64::from(*update).wrapping_mul(order | 1).rotate_left(17));
        let lane = lane(&results);
        let expected = by_definition(&commits, &results);
        let found = found(&commits, &lane, None);
        prop_assert_eq!(found.is_some(), expected.is_some());
        let (Some(found), Some((first_bad, suspects))) = (found, expected) else { return Ok(()) };
        let named: BTreeSet<usize> = found.suspects.iter().map(|it| Commits::number(&it.commit.revision)).collect();
        prop_assert_eq!((found.first_bad.build, &named), (first_bad, &suspects));
        prop_assert!(found.range == RangeKind::Open || named.contains(&culprit), "{:?} lacks {}", named, culprit);
        prop_assert_eq!(found.range == RangeKind::Open, lane.last_good().is_none());
    }
}
