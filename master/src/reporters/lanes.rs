//! When a lane is newly failing, and when it is fixed. Pure: results by commit go in, what is to be told comes out; the time is
//! an argument. The order in which builds finish does not matter, only which commit descends from which.
//!
//! Something is told once nothing that is unfinished could change it any more: what it compares with is the nearest commit with a
//! result, and what lies between has none. A result that comes later, as of a retry, may move the place of a change that was
//! told; it is the same change as long as the same run of failures, or of successes, holds it.

use super::ancestry::Ancestry;
use crate::coordinator::record::Turn;
use schema::values::Time;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long after its end a result is held back for what is unfinished before it.
pub const PATIENCE: Duration = Duration::from_secs(3600);

/// What a lane says of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Good,
    Bad,
    /// Not finished: it may become anything.
    Open,
    /// It ended, and says nothing of the code.
    Silent,
    /// The commit's plan has no such job.
    Absent,
}

/// The lane's result of one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub verdict: Verdict,
    /// Of the job that gave the verdict; only where it is good or bad.
    pub ended: Time,
}

/// One lane: a run for each commit of the ancestry.
#[derive(Clone, Copy, Debug)]
pub struct Lane<'a> {
    pub ancestry: &'a Ancestry,
    pub runs: &'a [Run],
    /// Nothing came before these commits: where nothing is seen before a failure, nothing was.
    pub is_whole: bool,
}

/// What was told of a lane, by commit.
#[derive(Clone, Debug, Default)]
pub struct Said {
    pub failing: BTreeSet<usize>,
    pub fixed: BTreeSet<usize>,
    /// The last of what was told of commits that are no longer looked at is a failure.
    pub is_failing_before: bool,
}

/// A change of a lane that is to be told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Transition {
    pub turn: Turn,
    /// The commit.
    pub at: usize,
    /// The nearest commits of the other colour; none where this is the lane's first result. Of a commit that was repeated, itself.
    pub since: Vec<usize>,
    /// The told failure that this fixes; none where it is no longer looked at, or where this is no fix.
    pub failure: Option<usize>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Each behind what happened before it.
    pub transitions: Vec<Transition>,
    /// When to look again, if nothing happens.
    pub again: Option<Time>,
}

/// What is to be told of a lane and was not; nothing of results from before `born`.
pub fn due(lane: &Lane<'_>, said: &Said, born: Time, now: Time) -> Due {
    let mut course = Course::of(lane, said);
    let mut due = Due::default();
    for at in lane.ancestry.order().iter().copied().filter(|at| lane.runs[*at].ended > born) {
        let Some(transition) = course.transition(at) else { continue };
        match course.ready_at(at) {
            Some(ready) if ready > now => due.again = Some(due.again.map_or(ready, |again| again.min(ready))),
            Some(_) | None => {
                course.note(&transition);
                due.transitions.push(transition);
            }
        }
    }
    due
}

/// A lane with its runs of failures and of successes.
struct Course<'a> {
    lane: &'a Lane<'a>,
    said: &'a Said,
    /// Of each commit with a result, the nearest with one.
    nearest: Vec<Vec<usize>>,
    /// Where the run of failures, or of successes, of each began; more than one where branches were merged.
    roots: Vec<BTreeSet<usize>>,
    /// Roots of which it was told.
    told: BTreeSet<usize>,
}

impl<'a> Course<'a> {
    fn of(lane: &'a Lane<'a>, said: &'a Said) -> Course<'a> {
        let count = lane.runs.len();
        let (nearest, roots) = (vec![Vec::new(); count], vec![BTreeSet::new(); count]);
        let mut course = Course { lane, said, nearest, roots, told: BTreeSet::new() };
        for at in lane.ancestry.order().iter().copied() {
            if !course.is_conclusive(at) {
                continue;
            }
            course.nearest[at] = lane.ancestry.nearest(at, |other| course.is_conclusive(other));
            course.roots[at] = course.roots_of(at);
        }
        for at in 0..count {
            let told = match lane.runs[at].verdict {
                Verdict::Bad => said.failing.contains(&at),
                Verdict::Good => said.fixed.contains(&at),
                Verdict::Open | Verdict::Silent | Verdict::Absent => false,
            };
            if told {
                course.told.extend(&course.roots[at]);
            }
        }
        course
    }

    /// A failure goes on where any before it does; a success only where all before it do.
    fn roots_of(&self, at: usize) -> BTreeSet<usize> {
        let before = &self.nearest[at];
        let is_bad = self.is_bad(at);
        let goes_on = match is_bad {
            true => before.iter().any(|other| self.is_bad(*other)),
            false => !before.is_empty() && !before.iter().any(|other| self.is_bad(*other)),
        };
        if !goes_on {
            return BTreeSet::from([at]);
        }
        before
            .iter()
            .filter(|other| self.is_bad(**other) == is_bad)
            .flat_map(|other| &self.roots[*other])
            .copied()
            .collect()
    }

    fn transition(&self, at: usize) -> Option<Transition> {
        match self.lane.runs[at].verdict {
            Verdict::Bad => self.failing(at),
            Verdict::Good => self.fixed(at),
            Verdict::Open | Verdict::Silent | Verdict::Absent => None,
        }
    }

    fn failing(&self, at: usize) -> Option<Transition> {
        let is_new = self.roots[at].contains(&at) && !self.told.contains(&at) && !self.is_unknown_before(at);
        is_new.then(|| Transition { turn: Turn::NewlyFailing, at, since: self.nearest[at].clone(), failure: None })
    }

    fn fixed(&self, at: usize) -> Option<Transition> {
        if self.said.fixed.contains(&at) || self.told.contains(&at) {
            return None;
        }
        let bad: Vec<usize> = self.nearest[at].iter().copied().filter(|other| self.is_bad(*other)).collect();
        let roots: BTreeSet<usize> = bad.iter().flat_map(|other| &self.roots[*other]).copied().collect();
        let fixed = |since, failure| Some(Transition { turn: Turn::Fixed, at, since, failure });
        if let Some(failure) = roots.iter().find(|root| self.told.contains(root)) {
            return fixed(bad, Some(*failure));
        }
        if self.said.failing.contains(&at) {
            return fixed(vec![at], Some(at));
        }
        let is_old = self.said.is_failing_before && roots.iter().any(|root| self.is_unknown_before(*root));
        if is_old { fixed(bad, None) } else { None }
    }

    /// None: nothing that is unfinished could change what it is compared with.
    fn ready_at(&self, at: usize) -> Option<Time> {
        let is_settled = |open: usize| self.nearest[at].iter().any(|near| self.lane.ancestry.is_ancestor(open, *near));
        let is_open = |other: &usize| self.lane.runs[*other].verdict == Verdict::Open;
        let mut open = (0..self.lane.runs.len()).filter(is_open);
        let waits = open.any(|open| self.lane.ancestry.is_ancestor(open, at) && !is_settled(open));
        waits.then(|| self.lane.runs[at].ended.after(PATIENCE))
    }

    /// It is going to be told.
    fn note(&mut self, transition: &Transition) {
        self.told.extend(&self.roots[transition.at]);
    }

    /// No result is seen before it, and there may have been one.
    fn is_unknown_before(&self, at: usize) -> bool {
        let is_first = |other: usize| self.lane.runs[other].verdict == Verdict::Absent;
        let mut others = 0..self.lane.runs.len();
        self.nearest[at].is_empty()
            && !self.lane.is_whole
            && !others.any(|other| is_first(other) && self.lane.ancestry.is_ancestor(other, at))
    }

    fn is_conclusive(&self, at: usize) -> bool {
        matches!(self.lane.runs[at].verdict, Verdict::Good | Verdict::Bad)
    }

    fn is_bad(&self, at: usize) -> bool {
        self.lane.runs[at].verdict == Verdict::Bad
    }
}

#[cfg(test)]
#[path = "lanes_tests.rs"]
mod tests;
