//! Compares a lane's first result on a branch with the main branch. Somebody who pushes a branch from a red commit did not break
//! it.

use super::ReporterReads;
use super::episodes::NewsLane;
use super::told::Branch;
use crate::decide::coordinator::lane::{LaneResult, Mark, is_bad};

/// What the main branch said of a lane where this branch began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LaneAtFork {
    Good(Mark),
    Bad,
    /// Nothing is known of it.
    Unknown,
}

/// Asks the lane of the main branch for its newest result of a commit that this revision holds.
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
