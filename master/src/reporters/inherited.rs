//! A lane's first result on a branch, compared with the main branch: who pushes a branch from a red commit did not break it.

use super::Reach;
use super::episodes::{NewsLane, PIPELINE};
use super::told::Branch;
use crate::coordinator::lane::{Lane, LaneResult, Mark, is_bad};

/// What the main branch said of a lane where this branch began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Before {
    Good(Mark),
    Bad,
    /// Nothing is known of it.
    Unknown,
}

/// Asks the lane of the main branch for its newest result of a commit that this revision holds.
pub(super) async fn before(reach: &Reach, branch: Branch<'_>, lane: &NewsLane) -> Result<Before, String> {
    let Some(repository) = reach.repositories.get(branch.project) else { return Ok(Before::Unknown) };
    let main = match repository.mirror.main_branch() {
        Some(main) if main != branch.ref_name => main,
        Some(_) | None => return Ok(Before::Unknown),
    };
    let found = read(reach, branch.project, &main, &lane.job).await?;
    for result in found.results.iter().rev().filter(|result| result.counts()) {
        let holds = repository.mirror.is_ancestor(&result.revision, &lane.since.revision).await;
        if holds.map_err(|error| format!("failed to read the history of {}: {error}", branch.project))? {
            return Ok(judge(result));
        }
    }
    Ok(Before::Unknown)
}

fn judge(result: &LaneResult) -> Before {
    match is_bad(result.outcome) {
        true => Before::Bad,
        false => {
            Before::Good(Mark { build: result.build, revision: result.revision.clone(), finished: result.finished })
        }
    }
}

async fn read(reach: &Reach, project: &str, main: &str, job: &str) -> Result<Lane, String> {
    let read = match job {
        PIPELINE => reach.readers.pipeline_lane(project, main).await,
        job => reach.readers.lane(project, main, job).await,
    };
    read.map_err(|error| error.to_string())
}
