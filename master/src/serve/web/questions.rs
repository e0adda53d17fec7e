//! The questions that several pages ask the viewer of a visitor.

use super::bridge::Visit;
use super::reply::Miss;
use super::show::{JobTests, steps_by_interest};
use client::logs::{self, LogAddress};
use client::views::{BranchView, BuildView, JobView, RedRange, WorkerView};
use client::{BuildQuery, Error, Guild, SuspectQuery, TestQuery};
use schema::values::Outcome;
use std::collections::BTreeMap;
use std::time::Duration;

/// The newest builds whose branches a page offers for choice.
const BRANCHES_AMONG: u32 = 200;
/// The last lines of each log that a job's page shows.
const JOB_LINES: u32 = 200;
/// The most bytes of all logs on a job's page together.
const JOB_BYTES: usize = 192 << 10;

/// The longest wait for what a page can do without. It is much shorter than the wait for the page.
const SOON: Duration = Duration::from_secs(2);

pub(super) async fn workers_of(visit: &Visit) -> Result<Option<Vec<WorkerView>>, Error> {
    match visit.sees_workers {
        true => visit.guild.workers().await.map(Some),
        false => Ok(None),
    }
}

/// Returns where the failed jobs of a build broke. If that cannot be found out soon, a page without it is better than no page.
pub(super) async fn red_ranges(guild: &Guild, build: &BuildView) -> Vec<RedRange> {
    if !build.jobs.iter().any(|job| job.outcome == Some(Outcome::Failed)) && build.outcome != Some(Outcome::Failed) {
        return Vec::new();
    }
    let query = SuspectQuery { project: build.project.clone(), build: build.number, ..SuspectQuery::default() };
    soon(async { guild.suspects(&query).await.map(|(ranges, _)| ranges) }).await
}

/// Returns an answer that a page can do without, or nothing if it does not come soon. Meanwhile other pages wait for this one.
async fn soon<T: Default>(answer: impl Future<Output = Result<T, Error>>) -> T {
    tokio::time::timeout(SOON, answer).await.ok().and_then(Result::ok).unwrap_or_default()
}

/// Returns a build and its job with that name.
pub(super) async fn job_of(
    guild: &Guild,
    project: &str,
    number: u32,
    name: &str,
) -> Result<(BuildView, JobView), Error> {
    let build = guild.build(project, number).await?;
    let job = build.job(name).cloned().ok_or_else(|| Error::not_found("no such job"))?;
    Ok((build, job))
}

pub(super) async fn known(guild: &Guild, project: &str) -> Result<(), Error> {
    let projects = guild.projects().await?;
    match projects.iter().any(|known| known.name == project) {
        true => Ok(()),
        false => Err(Error::not_found("no such project")),
    }
}

pub(super) async fn builds(
    guild: &Guild,
    project: &str,
    ref_name: &str,
    before: u32,
    limit: u32,
) -> Result<Vec<BuildView>, Error> {
    let query = BuildQuery {
        project: project.to_owned(),
        ref_name: ref_name.to_owned(),
        before,
        limit,
        ..BuildQuery::default()
    };
    guild.builds(&query).await
}

pub(super) async fn builds_of_all(guild: &Guild, project: &str) -> Result<Vec<BuildView>, Error> {
    builds(guild, project, "", 0, BRANCHES_AMONG).await
}

/// Returns the state of a branch, or of the main branch if `name` is empty. `None` means that nothing was built of it.
pub(super) async fn state_of(guild: &Guild, project: &str, name: &str) -> Result<Option<BranchView>, Error> {
    match guild.branch(project, name).await {
        Ok(branch) => Ok(Some(branch)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the latest builds of a branch. Without a branch, returns those of the branch that was built last.
pub(super) async fn builds_of(
    guild: &Guild,
    project: &str,
    branch: Option<&BranchView>,
    limit: u32,
) -> Result<Vec<BuildView>, Error> {
    if let Some(branch) = branch {
        return builds(guild, project, &branch.ref_name, 0, limit).await;
    }
    let newest = builds(guild, project, "", 0, 1).await?;
    match newest.first() {
        Some(build) => builds(guild, project, &build.ref_name, 0, limit).await,
        None => Ok(newest),
    }
}

/// Returns the address of a step's log. It names the attempt that was seen, because another may begin while the log is read.
pub(super) fn address(build: &BuildView, job: &JobView, step: u16) -> LogAddress {
    let (project, name) = (build.project.clone(), job.name.clone());
    LogAddress { project, build: build.number, job: name, attempt: job.attempt, step }
}

/// Returns the failed tests of a job, and how they stand in its lane. Both are empty if none failed.
pub(super) async fn job_tests(guild: &Guild, build: &BuildView, job: &JobView) -> Result<JobTests, Error> {
    let has_failed = job.steps.iter().filter_map(|step| step.tests.as_ref()).any(|tests| tests.bad() > 0);
    if !has_failed {
        return Ok(JobTests::default());
    }
    let (failed, _) = guild.failed_tests(&build.project, build.number, &job.name, 0).await?;
    if build.ref_name.is_empty() {
        return Ok(JobTests { failed, standing: Vec::new() });
    }
    let query = TestQuery {
        project: build.project.clone(),
        ref_name: build.ref_name.clone(),
        job: job.name.clone(),
        shown: "failing".to_owned(),
        ..TestQuery::default()
    };
    let standing = guild.tests(&query).await?.tests;
    Ok(JobTests { failed, standing })
}

/// Returns the ends of the logs of a job's steps, by step. It reads the logs that people look for first, as far as a page has room.
pub(super) async fn job_logs(
    guild: &Guild,
    build: &BuildView,
    job: &JobView,
) -> Result<BTreeMap<u16, logs::Lines>, Error> {
    let mut found = BTreeMap::new();
    let mut room = JOB_BYTES;
    for step in steps_by_interest(job) {
        let has_log = usize::from(step).checked_sub(1).and_then(|at| job.steps.get(at));
        let has_log = has_log.is_some_and(|step| step.log_size > 0 || step.outcome.is_none());
        if room == 0 || !has_log {
            continue;
        }
        match logs::last_lines(guild, &address(build, job, step), JOB_LINES).await {
            Ok(lines) => {
                room = room.saturating_sub(lines.bytes.len());
                found.insert(step, lines);
            }
            // the job's page is shown even if its logs are gone
            Err(error) => tracing::debug!(%error, "a log is not shown"),
        }
    }
    Ok(found)
}

pub(super) fn numbered(text: &str) -> Result<u32, Miss> {
    text.parse().ok().filter(|number| *number > 0).ok_or(Miss::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_page_does_not_wait_for_what_it_can_do_without() {
        let began = tokio::time::Instant::now();
        let none: Vec<u32> = soon(std::future::pending()).await;
        assert!(none.is_empty() && began.elapsed().as_secs() == SOON.as_secs());
        assert_eq!(soon(async { Ok(1) }).await, 1);
        assert_eq!(soon(async { Err::<u32, Error>(Error::not_found("gone")) }).await, 0);
    }
}
