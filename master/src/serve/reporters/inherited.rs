//! Compares a lane's first result on a branch with the main branch, because a person who branches off a red commit did not break it.

use super::ReporterReads;
use super::episodes::NewsLane;
use super::told::Branch;
use crate::decide::coordinator::lane::{LaneResult, Mark, is_bad};

/// The state of the lane on the main branch, at the point where this branch began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LaneAtFork {
    Good(Mark),
    Bad,
    /// The main branch has no result that says so.
    Unknown,
}

/// Finds the newest result of the lane on the main branch whose commit is an ancestor of this lane's first failure.
pub(super) async fn before(
    reads: &dyn ReporterReads,
    branch: Branch<'_>,
    lane: &NewsLane,
) -> Result<LaneAtFork, String> {
    let Some(history) = reads.history(branch.project) else { return Ok(LaneAtFork::Unknown) };
    let main = match history.main_branch() {
        Some(main) if main != branch.ref_name => main,
        Some(_) | None => return Ok(LaneAtFork::Unknown),
    };
    let found = reads.lane(branch.project, &main, &lane.job).await?;
    for result in found.results.iter().rev().filter(|result| result.counts()) {
        let holds = history.is_ancestor(&result.revision, &lane.since.revision).await;
        if holds.map_err(|error| format!("failed to read the history of {}: {error}", branch.project))? {
            return Ok(judge(result));
        }
    }
    Ok(LaneAtFork::Unknown)
}

fn judge(result: &LaneResult) -> LaneAtFork {
    match is_bad(result.outcome) {
        true => LaneAtFork::Bad,
        false => {
            LaneAtFork::Good(Mark { build: result.build, revision: result.revision.clone(), finished: result.finished })
        }
    }
}
