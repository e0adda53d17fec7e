//! Projects whose jobs and notices wait, since the master was restored and has not read their repositories.

use super::count;
use crate::decide::coordinator::HeldProject;
use schema::values::Finding;

/// `is_followed`: whether the master file has the project.
pub(super) fn judge(held: &HeldProject, is_followed: bool) -> Option<Finding> {
    let HeldProject { project, open } = held;
    if !is_followed && *open == 0 {
        return None;
    }
    let subject = format!("jobs of {project}");
    let builds = count(*open, "open build");
    let seen =
        format!("the master was restored from a backup: {builds} and all notices wait until its repository was read");
    Some(match is_followed {
        true => Finding::warned(
            subject,
            seen,
            format!(
                "`guild notify --project {project}` has it read now; the finding of the repository says what is in its way"
            ),
        ),
        false => Finding::bad(
            subject,
            format!("{seen}, and nothing reads it"),
            format!(
                "put [project.{project}] back into the master file and `guild config reload`, or cancel its builds"
            ),
        ),
    })
}
