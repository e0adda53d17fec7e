//! The pages: each asks its question at once, with the visitor's authority, and shows the answer.

use super::questions::{
    address, builds, builds_of, builds_of_all, isolation, job_logs, job_of, known, numbered, state_of, workers_of,
};
use super::reply::{Miss, Reply, page};
use super::request::{Wanted, cookie};
use super::show::{self, Frame, LINES, ProjectLine};
use super::{Site, bridge::Visit};
use axum::extract::{Path, Query, State};
use axum::http::header::HeaderMap;
use client::{Error, logs};
use std::sync::Arc;

type Here = State<Arc<Site>>;

/// Builds in a list.
const BUILDS: u32 = 25;
/// Builds whose jobs a project's page compares.
const COMPARED: usize = 12;
/// Jobs of all of them; big matrices are compared over fewer builds.
const COMPARED_JOBS: u32 = 400;
/// Builds beside a project on the first page.
const STRIP: u32 = 10;
/// Seconds after which a page of what still runs is asked for again.
const REFRESH: u32 = 3;

pub(super) async fn home(State(site): Here, headers: HeaderMap) -> Result<Reply, Miss> {
    let looked = site.bridge.look(cookie(&headers), async |visit: Visit| {
        let mut lines = Vec::new();
        for project in visit.guild.projects().await? {
            let branch = state_of(&visit.guild, &project.name, "").await?;
            let builds = builds_of(&visit.guild, &project.name, branch.as_ref(), STRIP).await?;
            lines.push(ProjectLine { project, branch, builds });
        }
        // on a full disk these are refused, and the builds are there to be seen
        let waiting = visit.guild.queue().await.map_or(0, |queue| queue.len());
        let workers = workers_of(&visit).await.unwrap_or(None);
        Ok::<_, Error>((visit.name, lines, waiting, workers))
    });
    let (who, lines, waiting, workers) = looked.await??;
    let is_busy = waiting > 0 || lines.iter().flat_map(|line| &line.builds).any(|build| !build.is_finished());
    let home = show::Home::new(Frame::new("Projects", who), &lines, waiting, workers.as_deref());
    page(&home, &headers, is_busy.then_some(REFRESH))
}

pub(super) async fn project(
    State(site): Here,
    Path(name): Path<String>,
    Query(asked): Wanted,
    headers: HeaderMap,
) -> Result<Reply, Miss> {
    let before = asked.before.as_deref().and_then(|before| before.parse().ok()).unwrap_or(0);
    let branch = asked.branch.filter(|branch| !branch.is_empty());
    let wanted = (name.clone(), branch.clone());
    let looked = site.bridge.look(cookie(&headers), async move |visit: Visit| {
        let (name, branch) = wanted;
        known(&visit.guild, &name).await?;
        let state = state_of(&visit.guild, &name, branch.as_deref().unwrap_or_default()).await?;
        let mut builds = match &branch {
            Some(branch) => builds(&visit.guild, &name, branch, before, BUILDS).await?,
            None if before > 0 => builds(&visit.guild, &name, "", before, BUILDS).await?,
            None => builds_of(&visit.guild, &name, state.as_ref(), BUILDS).await?,
        };
        let jobs: u32 = builds.first().map_or(0, |build| build.job_count.max(1));
        let compared = COMPARED.min((COMPARED_JOBS / jobs.max(1)).max(1) as usize);
        for build in builds.iter_mut().take(compared) {
            *build = visit.guild.build(&name, build.number).await?;
        }
        let among = builds_of_all(&visit.guild, &name).await?;
        Ok::<_, Error>((visit.name, state, builds, among))
    });
    let (who, state, builds, among) = looked.await??;
    let is_busy = builds.iter().any(|build| !build.is_finished());
    let asked = branch.as_deref();
    let shown = show::Project::new(Frame::new(&name, who), &name, asked, state.as_ref(), &builds, &among, BUILDS);
    page(&shown, &headers, is_busy.then_some(REFRESH))
}

pub(super) async fn build(
    State(site): Here,
    Path((project, number)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Reply, Miss> {
    let number = numbered(&number)?;
    let looked = site.bridge.look(cookie(&headers), async move |visit: Visit| {
        Ok::<_, Error>((visit.guild.build(&project, number).await?, visit.name))
    });
    let (build, who) = looked.await??;
    let refresh = (!build.is_finished()).then_some(REFRESH);
    page(&show::Build::new(Frame::new(&build.selector(), who), &build), &headers, refresh)
}

pub(super) async fn job(
    State(site): Here,
    Path((project, number, name)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Reply, Miss> {
    let number = numbered(&number)?;
    let looked = site.bridge.look(cookie(&headers), async move |visit: Visit| {
        let (build, job) = job_of(&visit.guild, &project, number, &name).await?;
        let logs = job_logs(&visit.guild, &build, &job).await?;
        let isolation = isolation(&visit.guild, &build, &job).await?;
        Ok::<_, Error>((build, job, logs, isolation, visit.name))
    });
    let (build, job, logs, isolation, who) = looked.await??;
    let refresh = (!job.is_finished()).then_some(REFRESH);
    let title = format!("{} {}", job.name, build.selector());
    page(&show::Job::new(Frame::new(&title, who), &build, &job, &logs, isolation), &headers, refresh)
}

pub(super) async fn step(
    State(site): Here,
    Path((project, number, name, step)): Path<(String, String, String, String)>,
    Query(asked): Wanted,
    headers: HeaderMap,
) -> Result<Reply, Miss> {
    let (number, step) = (numbered(&number)?, u16::try_from(numbered(&step)?).map_err(|_| Miss::NotFound)?);
    let first: Option<u64> = asked.first.as_deref().and_then(|first| first.parse().ok());
    let looked = site.bridge.look(cookie(&headers), async move |visit: Visit| {
        let (build, job) = job_of(&visit.guild, &project, number, &name).await?;
        if !(1..=job.steps.len()).contains(&usize::from(step)) {
            return Err(Error::not_found("no such step"));
        }
        let address = address(&build, &job, step);
        let lines = match first {
            Some(first) => logs::lines(&visit.guild, &address, first, LINES).await?,
            None => logs::last_lines(&visit.guild, &address, LINES).await?,
        };
        Ok((build, job, lines, visit.name))
    });
    let (build, job, lines, who) = looked.await??;
    let title = format!("{} step {step} {}", job.name, build.selector());
    let shown = show::Step::new(Frame::new(&title, who), &build, &job, step, &lines, first.is_none());
    let is_live = job.steps.get(usize::from(step) - 1).is_some_and(|step| step.outcome.is_none()) && first.is_none();
    page(&shown, &headers, is_live.then_some(REFRESH))
}

pub(super) async fn queue(State(site): Here, headers: HeaderMap) -> Result<Reply, Miss> {
    let looked = site
        .bridge
        .look(cookie(&headers), async |visit: Visit| Ok::<_, Error>((visit.guild.queue().await?, visit.name)));
    let (items, who) = looked.await??;
    let refresh = (!items.is_empty()).then_some(REFRESH);
    page(&show::Queue::new(Frame::new("Queue", who), &items), &headers, refresh)
}

pub(super) async fn workers(State(site): Here, headers: HeaderMap) -> Result<Reply, Miss> {
    let looked = site
        .bridge
        .look(cookie(&headers), async |visit: Visit| Ok::<_, Error>((workers_of(&visit).await?, visit.name)));
    let (workers, who) = looked.await??;
    let workers = workers.ok_or(Miss::NotFound)?;
    page(&show::Workers::new(Frame::new("Workers", who), &workers), &headers, None)
}
