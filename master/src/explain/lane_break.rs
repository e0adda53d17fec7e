//! Finds where a lane broke: the failures that belong together, and the good results with which they are compared. Pure.

use crate::decide::coordinator::lane::{Lane, LaneResult, Mark, is_bad};

/// A `LaneBreak` is a series of failures of a lane, and what was good before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneBreak {
    /// The failures without a good result between them, the oldest update first. There is at least one.
    pub failures: Vec<Mark>,
    /// The good results before them that are known, the oldest update first.
    pub good: Vec<Mark>,
}

impl LaneBreak {
    /// Returns the failures with which a lane ends at a build; 0 means its newest build. `None` means that the lane was not failing
    /// there, or that this result is no longer kept.
    pub fn of(lane: &Lane, build: u32) -> Option<LaneBreak> {
        let counting: Vec<&LaneResult> = lane.results.iter().filter(|result| result.counts()).collect();
        let until = match build {
            0 => counting.len(),
            build => counting.iter().position(|result| result.build == build)? + 1,
        };
        let kept = &counting[..until];
        let first = kept.iter().rposition(|result| !is_bad(result.outcome)).map_or(0, |good| good + 1);
        let earlier = lane.earlier.first_bad.clone().filter(|_| first == 0);
        let failures: Vec<Mark> = earlier.into_iter().chain(kept[first..].iter().map(|result| mark(result))).collect();
        let good = kept.iter().filter(|result| !is_bad(result.outcome)).map(|result| mark(result));
        let good = lane.earlier.last_good.iter().cloned().chain(good).collect();
        (!failures.is_empty()).then_some(LaneBreak { failures, good })
    }
}

fn mark(result: &LaneResult) -> Mark {
    Mark { build: result.build, revision: result.revision.clone(), finished: result.finished }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::values::{Outcome, Time};

    fn lane(ends: &[(u32, u32, Outcome)]) -> Lane {
        let mut lane = Lane::default();
        for (update, build, outcome) in ends {
            let revision = format!("r{update}");
            lane.add(LaneResult { update: *update, build: *build, outcome: *outcome, finished: Time(0), revision });
        }
        lane
    }

    fn builds(found: Option<LaneBreak>) -> Option<(Vec<u32>, Vec<u32>)> {
        let numbers = |marks: &[Mark]| marks.iter().map(|mark| mark.build).collect();
        found.map(|it| (numbers(&it.failures), numbers(&it.good)))
    }

    #[test]
    fn failures_without_a_good_result_between_them_belong_together() {
        use Outcome::{Cancelled, Errored, Failed, Succeeded, Warned};
        let it =
            lane(&[(1, 1, Succeeded), (2, 2, Failed), (3, 3, Warned), (4, 4, Failed), (5, 5, Errored), (6, 6, Failed)]);
        assert_eq!(builds(LaneBreak::of(&it, 0)), Some((vec![4, 6], vec![1, 3])));
        assert_eq!(builds(LaneBreak::of(&it, 4)), Some((vec![4], vec![1, 3])), "as it was then");
        assert_eq!(builds(LaneBreak::of(&it, 2)), Some((vec![2], vec![1])));
        for (build, why) in [(3, "it was good"), (5, "it says nothing about the code"), (9, "there is no such result")]
        {
            assert_eq!(LaneBreak::of(&it, build), None, "{why}");
        }
        let retried = lane(&[(1, 1, Succeeded), (2, 2, Failed), (3, 3, Failed), (2, 4, Succeeded), (4, 5, Cancelled)]);
        assert_eq!(builds(LaneBreak::of(&retried, 0)), Some((vec![3], vec![1, 4])), "a retry belongs to its commit");
    }

    #[test]
    fn results_that_are_no_longer_kept_one_by_one_still_say_where_it_broke() {
        use Outcome::{Failed, Succeeded};
        let mut it = lane(&[(1, 1, Succeeded), (2, 2, Failed)]);
        (3..40).for_each(|build| it.add(lane(&[(build, build, Failed)]).results[0].clone()));
        let found = LaneBreak::of(&it, 0).unwrap();
        assert_eq!((found.failures[0].build, found.good[0].build), (2, 1));
        assert_eq!(LaneBreak::of(&lane(&[]), 0), None);
    }
}
