//! Checks the names of entries of `[trigger.cron]` in the `when` of jobs.

use super::cron::CronEntry;
use super::job::Job;
use toml_file::Page;

/// Reports each name of an entry that the file does not have, because a job that waits for it would never run.
pub(super) fn check(page: &Page<'_>, entries: &[CronEntry], jobs: &[Job]) {
    let known = || entries.iter().map(|entry| entry.name.as_str());
    for job in jobs {
        let wanted = job.when.crons.iter().flatten();
        for name in wanted.filter(|wanted| !known().any(|name| name == wanted.value)) {
            let message =
                format!("`when` of job `{}` names the cron `{}`, which is not defined", job.name.value, name.value);
            page.unknown(name.span.clone(), message, "no such cron", &name.value, known());
        }
    }
}
