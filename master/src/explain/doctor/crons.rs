//! Checks that the master follows the branches that entries of `[trigger.cron]` name.

use super::DoctorAccess;
use crate::intake::planner::FILE;
use crate::intake::sources::Repository;
use pipeline::CronEntry;
use schema::limits::FILE_MAX;
use schema::values::{Finding, branch_ref};

/// Looks at the pipeline of each project's main branch. If it cannot be read, other findings say so.
pub(super) async fn examine(reach: &DoctorAccess) -> Vec<Finding> {
    let mut findings = Vec::new();
    for repository in reach.repositories.all().iter().filter(|repository| reach.what.sees(&repository.project)) {
        let entries = entries(repository).await.unwrap_or_default();
        let found = entries.iter().filter_map(|entry| {
            let branch = entry.branch.as_deref()?;
            judge(&repository.project, entry, branch, repository.follows(&branch_ref(branch)))
        });
        findings.extend(found);
    }
    findings
}

async fn entries(repository: &Repository) -> Option<Vec<CronEntry>> {
    let main = repository.mirror.main_branch()?;
    let tip = repository.mirror.resolve(&main).await.ok()??;
    let text = repository.mirror.read(&tip, FILE, FILE_MAX).await.ok()??;
    let read = move || pipeline::load(FILE, &text).map(|pipeline| pipeline.crons().to_vec()).ok();
    tokio::task::spawn_blocking(read).await.ok()?
}

pub(super) fn judge(project: &str, entry: &CronEntry, branch: &str, is_followed: bool) -> Option<Finding> {
    let seen = format!("[trigger.cron.{}] names the branch {branch}, which the master does not follow", entry.name);
    let remedy = format!("change `branches` of [project.{project}] in the master file, or `branch` in {FILE}");
    (!is_followed).then(|| Finding::warned(format!("cron {} of {project}", entry.name), seen, remedy))
}
