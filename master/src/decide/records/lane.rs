//! Lanes: the results of the same job of the same ref, build after build. This file defines the states of a lane and of a branch. Badges,
//! pages, `guild status`, exit statuses, notices and the rule of `paths` all use them. Pure.
//!
//! The results of a lane are in the order of their updates of the ref, and within an update in the order of their builds. So a retry of
//! an old commit belongs to that commit, in whatever order builds finish.

use super::BuildRow;
use schema::values::{Outcome, Time};
use serde::{Deserialize, Serialize};

/// The number of a lane's newest results that are kept one by one. A page shows a dozen. More would be costly, because the row is read
/// and written each time a job finishes. Older results are kept as [`Earlier`].
pub const RESULTS_KEPT: usize = 12;

/// The result of one build in a lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneResult {
    /// The update of the ref, by the number of the first build of that update.
    pub update: u32,
    /// The number of the build.
    pub build: u32,
    /// The outcome, which is never `skipped`, because that says nothing about the code.
    pub outcome: Outcome,
    pub finished: Time,
    pub revision: String,
}

impl LaneResult {
    /// Whether the outcome says something about the code. An error or a cancellation does not.
    pub fn counts(&self) -> bool {
        counts(self.outcome)
    }

    fn order(&self) -> (u32, u32) {
        (self.update, self.build)
    }

    fn mark(&self) -> Mark {
        Mark { build: self.build, revision: self.revision.clone(), finished: self.finished }
    }
}

/// Names a result that is no longer kept as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mark {
    /// The number of the build.
    pub build: u32,
    pub revision: String,
    pub finished: Time,
}

/// A summary of the results that are no longer kept one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Earlier {
    /// The update and the build of the newest result in this summary. If a result arrives later that is older than this, it is left out.
    pub until: (u32, u32),
    /// The newest outcome that counts.
    pub outcome: Option<Outcome>,
    pub last_good: Option<Mark>,
    /// The first result of the series of failures with which this summary ends.
    pub first_bad: Option<Mark>,
}

impl Earlier {
    fn add(&mut self, result: &LaneResult) {
        self.until = result.order();
        if !result.counts() {
            return;
        }
        self.outcome = Some(result.outcome);
        if is_bad(result.outcome) {
            self.first_bad.get_or_insert_with(|| result.mark());
        } else {
            self.first_bad = None;
            self.last_good = Some(result.mark());
        }
    }
}

/// The stored row of a lane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lane {
    /// The newest results of the lane, the oldest first, in the order of updates.
    pub results: Vec<LaneResult>,
    pub earlier: Earlier,
}

impl Lane {
    /// Adds the result of one more build. If a build has several results, only the last one counts.
    pub fn add(&mut self, result: LaneResult) {
        let order = result.order();
        if order <= self.earlier.until {
            return;
        }
        match self.results.binary_search_by_key(&order, LaneResult::order) {
            Ok(at) => self.results[at] = result,
            Err(at) => self.results.insert(at, result),
        }
        if self.results.len() > RESULTS_KEPT {
            let oldest = self.results.remove(0);
            self.earlier.add(&oldest);
        }
    }

    /// The newest result, whether or not it counts.
    pub fn newest(&self) -> Option<&LaneResult> {
        self.results.last()
    }

    /// The newest result that counts, if it is still kept.
    pub fn last(&self) -> Option<&LaneResult> {
        self.results.iter().rev().find(|result| result.counts())
    }

    /// The state of the lane: its newest outcome that counts.
    pub fn outcome(&self) -> Option<Outcome> {
        self.last().map(|result| result.outcome).or(self.earlier.outcome)
    }

    /// The newest result, if it is an infrastructure error. Pages show it beside the state of the lane, which it does not change.
    pub fn errored(&self) -> Option<&LaneResult> {
        self.newest().filter(|result| result.outcome == Outcome::Errored)
    }

    /// The commit with which a new build is compared, in order to leave this job out. It is the commit of the newest result, if that is
    /// good. `None` means that the job runs.
    pub fn good_base(&self) -> Option<&str> {
        let newest = self.newest()?;
        (newest.counts() && !is_bad(newest.outcome)).then_some(newest.revision.as_str())
    }

    /// The newest good result of the lane.
    pub fn last_good(&self) -> Option<Mark> {
        self.whole().last_good
    }

    /// The first result of the present series of failures. `None` means that the lane is not failing.
    pub fn first_bad(&self) -> Option<Mark> {
        self.whole().first_bad
    }

    fn whole(&self) -> Earlier {
        let mut whole = self.earlier.clone();
        self.results.iter().for_each(|result| whole.add(result));
        whole
    }
}

/// The state of a branch, or of another ref, by its lanes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefState {
    /// The newest build of the newest update, whatever its state.
    pub tip: Option<BuildRow>,
    /// The lanes of the newest plan, in its order. A lane that this plan no longer has does not count.
    pub lanes: Vec<(String, Lane)>,
    /// The build that found the pipeline broken, if no newer build has a plan.
    pub broken: Option<BuildRow>,
}

impl RefState {
    /// The worst outcome of the ref's lanes. `None` means that no result counts yet.
    pub fn outcome(&self) -> Option<Outcome> {
        if self.broken.is_some() {
            return Some(Outcome::Failed);
        }
        self.lanes.iter().filter_map(|(_, lane)| lane.outcome()).max()
    }

    /// Whether a lane, or the reading of the pipeline, errored since its newest outcome that counts.
    pub fn is_errored(&self) -> bool {
        let unplanned = self.tip.as_ref().filter(|tip| tip.job_count == 0);
        unplanned.is_some_and(|tip| tip.outcome == Some(Outcome::Errored))
            || self.lanes.iter().any(|(_, lane)| lane.errored().is_some())
    }
}

/// Whether an outcome says something about the code.
pub fn counts(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Succeeded | Outcome::Warned | Outcome::Failed => true,
        Outcome::Skipped | Outcome::Errored | Outcome::Cancelled => false,
    }
}

/// Whether an outcome that counts is bad.
pub fn is_bad(outcome: Outcome) -> bool {
    outcome == Outcome::Failed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(update: u32, build: u32, outcome: Outcome) -> LaneResult {
        LaneResult { update, build, outcome, finished: Time(u64::from(build)), revision: format!("r{update}") }
    }

    fn lane(results: &[(u32, u32, Outcome)]) -> Lane {
        let mut lane = Lane::default();
        results.iter().for_each(|(update, build, outcome)| lane.add(result(*update, *build, *outcome)));
        lane
    }

    fn marks(lane: &Lane) -> (Option<Outcome>, Option<u32>, Option<u32>) {
        (lane.outcome(), lane.last_good().map(|mark| mark.build), lane.first_bad().map(|mark| mark.build))
    }

    #[test]
    fn a_retry_of_an_old_commit_belongs_to_that_commit() {
        use Outcome::{Failed, Succeeded};
        let it = lane(&[(1, 1, Failed), (2, 2, Succeeded), (1, 3, Failed)]);
        assert_eq!(marks(&it), (Some(Succeeded), Some(2), None));
        let it = lane(&[(1, 1, Succeeded), (2, 2, Failed), (2, 3, Succeeded)]);
        assert_eq!(marks(&it), (Some(Succeeded), Some(3), None), "a retry of the tip is newer than its first build");
    }

    #[test]
    fn what_says_nothing_of_the_code_changes_nothing() {
        use Outcome::{Cancelled, Errored, Failed, Succeeded, Warned};
        let it = lane(&[(1, 1, Warned), (2, 2, Failed), (3, 3, Cancelled), (4, 4, Errored)]);
        assert_eq!(marks(&it), (Some(Failed), Some(1), Some(2)));
        assert_eq!(it.errored().map(|result| result.build), Some(4));
        let it = lane(&[(1, 1, Errored), (2, 2, Succeeded)]);
        assert!(it.errored().is_none(), "it is over");
    }

    #[test]
    fn the_order_of_finishing_does_not_matter() {
        use Outcome::{Failed, Succeeded};
        let results = [(1, 1, Succeeded), (2, 2, Failed), (3, 4, Failed), (3, 5, Succeeded), (6, 6, Failed)];
        let mut turned = results;
        turned.reverse();
        assert_eq!(lane(&results), lane(&turned));
        assert_eq!(marks(&lane(&results)), (Some(Failed), Some(5), Some(6)));
    }

    #[test]
    fn results_that_are_no_longer_kept_are_remembered_in_sum() {
        use Outcome::{Cancelled, Failed, Succeeded};
        let mut it = lane(&[(1, 1, Succeeded), (2, 2, Failed)]);
        (3..30).for_each(|number| it.add(result(number, number, Cancelled)));
        assert_eq!(it.results.len(), RESULTS_KEPT);
        assert_eq!(marks(&it), (Some(Failed), Some(1), Some(2)));
        it.add(result(1, 31, Failed));
        assert_eq!(marks(&it), (Some(Failed), Some(1), Some(2)), "older than all that is kept");
        let text = serde_json::to_string(&it).unwrap();
        assert_eq!(serde_json::from_str::<Lane>(&text).unwrap(), it);
        assert!(text.len() < 2_500, "{}", text.len());
    }

    #[test]
    fn a_branch_is_as_its_worst_lane() {
        use Outcome::{Errored, Failed, Succeeded, Warned};
        let named = |name: &str, results: &[_]| (name.to_owned(), lane(results));
        let mut state = RefState::default();
        assert_eq!(state.outcome(), None);
        state.lanes = vec![named("a", &[(1, 1, Succeeded)]), named("b", &[]), named("c", &[(1, 1, Warned)])];
        assert_eq!((state.outcome(), state.is_errored()), (Some(Warned), false));
        state.lanes.push(named("d", &[(1, 1, Failed), (2, 2, Errored)]));
        assert_eq!((state.outcome(), state.is_errored()), (Some(Failed), true));
    }
}
