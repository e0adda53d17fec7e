//! Checks whether the newest build of each project's main branch could be planned.

use super::{DoctorAccess, line};
use crate::decide::coordinator::record::BuildRow;
use crate::intake::planner::lacks_file;
use schema::values::{Finding, Outcome, Selector};

pub(super) async fn examine(reach: &DoctorAccess) -> Vec<Finding> {
    let seen = reach.repositories.all().into_iter().filter(|repository| reach.what.sees(&repository.project));
    // A project whose main branch is not known yet is left out.
    let refs = seen.filter_map(|it| Some((it.project.clone(), it.mirror.main_branch()?)));
    match reach.readers.newest_of_refs(refs.collect()).await {
        Ok(rows) => rows.iter().filter_map(judge).collect(),
        Err(error) => {
            vec![Finding::bad(
                "store",
                line(&error.to_string()),
                "check the disk, and restore a backup if the store is damaged",
            )]
        }
    }
}

/// Reports a build that could not be planned. Builds that ran, or that no trigger wanted, say nothing about the installation.
pub(super) fn judge(build: &BuildRow) -> Option<Finding> {
    let is_broken = matches!(build.outcome, Some(Outcome::Failed | Outcome::Errored)) && !build.diagnosis.is_empty();
    let selector = Selector::build(&build.project, build.number).to_string();
    if lacks_file(build) {
        let seen = format!("{selector} was not built: {}", line(&build.diagnosis));
        let remedy = "run `guild init` in the repository and push the file, or follow other `branches`";
        return Some(Finding::warned(format!("pipeline of {}", build.project), seen, remedy));
    }
    is_broken.then(|| {
        let seen = format!(
            "{selector} could not be planned: {}",
            line(build.diagnosis.trim_start().lines().next().unwrap_or_default())
        );
        let remedy =
            format!("`guild show {selector}` shows the whole error; mend the file, run `guild check`, and push");
        Finding::bad(format!("pipeline of {}", build.project), seen, remedy)
    })
}
