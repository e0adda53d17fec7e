//! Reports projects whose jobs and notices wait, because the master was restored and has not read their repositories yet.

use super::count;
use crate::decide::coordinator::HeldProject;
use schema::values::Finding;

/// Judges a project that is held back. `is_followed` says whether the master file has the project.
pub(super) fn judge(held: &HeldProject, is_followed: bool) -> Option<Finding> {
    let HeldProject { project, open } = held;
    if !is_followed && *open == 0 {
        return None;
    }
    let subject = format!("jobs of {project}");
    let builds = count(*open, "open build");
    let seen = format!(
        "the master was restored from a backup: {builds} and all notices wait until the master has read its repository"
    );
    Some(match is_followed {
        true => Finding::warned(
            subject,
            seen,
            format!(
                "run `guild notify --project {project}` to have the repository read now; if that fails, see the finding for the repository"
            ),
        ),
        false => Finding::bad(
            subject,
            format!("{seen}, and nothing makes the master read it"),
            format!(
                "put [project.{project}] back into the master file and run `guild config reload`, or cancel its builds"
            ),
        ),
    })
}
