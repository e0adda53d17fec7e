//! Finds the commits that may have broken a lane: those between the good and the bad commit whose changes are in effect. Pure.
//!
//! The candidates are the commits that the bad commit has and no good commit has. They are found by ancestry, so it does not matter in
//! which order builds finish. A commit and its revert cancel each other, because the tree is as if neither had been made. The revert of a
//! merge takes back everything that the merge brought.

use crate::keep::mirror::{Authored, Reversal};
use std::collections::BTreeMap;

/// A commit that may have broken a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    pub commit: Authored,
    /// The commit that cancels this one: its revert, or the commit that it reverts. `None` means that its changes are in effect.
    pub undone_with: Option<String>,
    /// Whether this commit may revert more than is known, because not all of its message could be read. Then it may have broken the lane.
    pub is_uncertain: bool,
}

/// Marks the commits that were undone. In `commits`, each commit comes before the commits that it reverts, as git lists them.
pub fn suspects(commits: Vec<Authored>) -> Vec<Suspect> {
    let undone = undone(&commits);
    let marked = commits.into_iter().map(|commit| Suspect {
        undone_with: undone.get(&commit.revision).cloned(),
        is_uncertain: commit.may_revert_more && !commit.reverts.is_empty(),
        commit,
    });
    marked.collect()
}

/// The counterpart of each commit that was undone: the commit that reverted it, or that it reverted.
fn undone(commits: &[Authored]) -> BTreeMap<String, String> {
    let mut undone: BTreeMap<String, String> = BTreeMap::new();
    for (at, commit) in commits.iter().enumerate() {
        // A revert that was reverted itself takes nothing back.
        if undone.contains_key(&commit.revision) {
            continue;
        }
        let older = &commits[at + 1..];
        let target = |id: &String| older.iter().find(|it| it.revision.starts_with(id.as_str()));
        let reverted: Vec<&String> = commit.reverts.iter().flat_map(Reversal::revisions).collect();
        let targets: Vec<&Authored> = reverted.iter().copied().filter_map(target).collect();
        for target in &targets {
            undone.entry(target.revision.clone()).or_insert_with(|| commit.revision.clone());
        }
        // A revert that also takes back older commits stays in effect, and so does one that may do so.
        let is_all = targets.len() == reverted.len() && !commit.may_revert_more;
        if let Some(first) = targets.first().filter(|_| is_all) {
            undone.insert(commit.revision.clone(), first.revision.clone());
        }
    }
    undone
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn commit(number: usize, reverts: &[usize]) -> Authored {
        let id = |number: usize| format!("{number:040}");
        let reversal = |number: &usize| Reversal { revision: id(*number), ..Reversal::default() };
        let reverts = reverts.iter().map(reversal).collect();
        Authored { revision: id(number), reverts, ..Authored::default() }
    }

    /// The numbers of the commits that are in effect. `history` has each commit as the number that it reverts, the oldest commit first.
    fn in_effect(from: usize, history: &[Option<usize>]) -> Vec<usize> {
        let listed = (from..history.len()).rev().map(|at| commit(at, history[at].as_slice()));
        let found = suspects(listed.collect());
        let mut numbers: Vec<usize> =
            found.iter().filter(|it| it.undone_with.is_none()).map(|it| it.commit.revision.parse().unwrap()).collect();
        numbers.sort_unstable();
        numbers
    }

    #[test]
    fn a_commit_and_its_revert_are_no_suspects() {
        assert_eq!(in_effect(1, &[None, None, Some(1), None]), [3]);
        assert_eq!(in_effect(1, &[None, None, Some(1), Some(2)]), [1], "what was brought back is in effect");
        assert_eq!(in_effect(1, &[None, None, Some(0)]), [1, 2], "it takes back what was good");
    }

    #[test]
    fn a_revert_that_also_takes_back_what_was_good_is_a_suspect() {
        let found = suspects(vec![commit(3, &[2, 0]), commit(2, &[]), commit(1, &[])]);
        let undone: Vec<bool> = found.iter().map(|it| it.undone_with.is_some()).collect();
        assert_eq!(undone, [false, true, false]);
    }

    /// Whether each of these commits was undone, in their order.
    fn undone_of(commits: Vec<Authored>) -> Vec<bool> {
        suspects(commits).iter().map(|it| it.undone_with.is_some()).collect()
    }

    /// Four commits: the merge 3 brought the commits 2 and 1 to the line of 0, and the commit 4 reverts the merge.
    fn reverted_merge(brought: &[usize]) -> Vec<Authored> {
        let mut revert = commit(4, &[3]);
        revert.reverts[0].brought = brought.iter().map(|number| format!("{number:040}")).collect();
        vec![revert, commit(3, &[]), commit(2, &[]), commit(1, &[])]
    }

    #[test]
    fn the_revert_of_a_merge_takes_back_what_the_merge_brought() {
        assert_eq!(undone_of(reverted_merge(&[2, 1])), [true; 4]);
        assert_eq!(undone_of(reverted_merge(&[2])), [true, true, true, false], "it was there before the merge");
        assert_eq!(undone_of(reverted_merge(&[2, 1, 0])), [false, true, true, true], "it takes back what was good");
        let again = [vec![commit(5, &[4])], reverted_merge(&[2, 1])].concat();
        assert_eq!(undone_of(again), [true, true, false, false, false], "what was brought back is in effect");
    }

    #[test]
    fn a_revert_of_which_only_a_part_is_known_is_a_suspect() {
        let partly = |reverts: &[usize]| Authored { may_revert_more: true, ..commit(3, reverts) };
        let found = suspects(vec![partly(&[2]), commit(2, &[]), commit(1, &[])]);
        let found: Vec<_> = found.iter().map(|it| (it.undone_with.is_some(), it.is_uncertain)).collect();
        assert_eq!(found, [(false, true), (true, false), (false, false)]);
        assert!(!suspects(vec![partly(&[])])[0].is_uncertain, "a long message that reverts nothing");
    }

    /// Finds the commits in effect by the definition. Each commit switches its own change on, and a revert switches the change of another
    /// commit off, which may itself be a revert. The changes that differ before and after the range are in effect.
    fn by_switching(from: usize, history: &[Option<usize>]) -> Vec<usize> {
        let mut on = vec![false; history.len()];
        let mut before = on.clone();
        for (at, reverts) in history.iter().enumerate() {
            if at == from {
                before = on.clone();
            }
            on[at] = true;
            let mut next = *reverts;
            while let Some(target) = next {
                on[target] = !on[target];
                next = history[target];
            }
        }
        let is_effective = |at: &usize| on[*at] && history[*at].is_none_or(|target| target < from && before[target]);
        (from..history.len()).filter(is_effective).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]
        #[test]
        fn what_is_in_effect_is_what_switching_says(picks in prop::collection::vec((any::<bool>(), 0..100usize), 1..14), from in 0..14usize) {
            let mut history: Vec<Option<usize>> = Vec::new();
            let mut open: Vec<usize> = Vec::new();
            for (at, (is_revert, pick)) in picks.into_iter().enumerate() {
                // A commit is reverted once, because git refuses to revert what is not there.
                let target = is_revert.then(|| open.get(pick % open.len().max(1)).copied()).flatten();
                if let Some(target) = target {
                    open.retain(|it| *it != target);
                }
                history.push(target);
                open.push(at);
            }
            let from = from.min(history.len());
            prop_assert_eq!(in_effect(from, &history), by_switching(from, &history));
        }
    }
}
