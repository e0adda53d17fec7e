//! `/`: the projects, with the state of their main branches.

use super::{REFRESH, SiteState};
use crate::serve::web::Site;
use crate::serve::web::bridge::Visit;
use crate::serve::web::questions::{builds_of, state_of, workers_of};
use crate::serve::web::reply::{Miss, Reply, page};
use crate::serve::web::request::cookie;
use crate::serve::web::show::{BuildLine, Frame, StatusMark, tidy};
use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::header::HeaderMap;
use axum::routing::get;
use client::Error;
use client::views::{BranchView, BuildView, ProjectView, WorkerView};
use std::sync::Arc;

/// The number of latest builds that the page shows beside each project.
const STRIP: u32 = 10;

pub(super) fn routes() -> Router<Arc<Site>> {
    Router::new().route("/", get(home))
}

async fn home(State(site): SiteState, headers: HeaderMap) -> Result<Reply, Miss> {
    let looked = site.bridge.look(cookie(&headers), async |visit: Visit| {
        let mut lines = Vec::new();
        for project in visit.guild.projects().await? {
            let branch = state_of(&visit.guild, &project.name, "").await?;
            let builds = builds_of(&visit.guild, &project.name, branch.as_ref(), STRIP).await?;
            lines.push(ProjectLine { project, branch, builds });
        }
        // on a full disk these two are refused, but the builds can still be shown
        let waiting = visit.guild.queue().await.map_or(0, |queue| queue.len());
        let workers = workers_of(&visit).await.unwrap_or(None);
        Ok::<_, Error>((visit.name, lines, waiting, workers))
    });
    let (who, lines, waiting, workers) = looked.await??;
    let is_busy = waiting > 0 || lines.iter().flat_map(|line| &line.builds).any(|build| !build.is_finished());
    let home = HomePage::new(Frame::new("Projects", who), &lines, waiting, workers.as_deref());
    page(&home, &headers, is_busy.then_some(REFRESH))
}

/// A `ProjectLine` is a project with the latest builds of its main branch.
struct ProjectLine {
    project: ProjectView,
    /// The state of the main branch. `None` means that nothing was built of it.
    branch: Option<BranchView>,
    builds: Vec<BuildView>,
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    frame: Frame,
    projects: Vec<ProjectCard>,
    waiting: usize,
    /// `None` means that the visitor sees no workers.
    workers: Option<WorkerCounts>,
}

struct WorkerCounts {
    connected: usize,
    busy: usize,
    lost: Vec<String>,
}

struct ProjectCard {
    name: String,
    repository: String,
    /// The state of the project's main branch.
    state: Option<StatusMark>,
    is_errored: bool,
    newest: Option<BuildLine>,
    /// The latest builds, the newest first.
    strip: Vec<BuildLine>,
}

impl HomePage {
    fn new(frame: Frame, lines: &[ProjectLine], waiting: usize, workers: Option<&[WorkerView]>) -> HomePage {
        let projects = lines.iter().map(|line| ProjectCard {
            name: line.project.name.clone(),
            repository: tidy(&line.project.repository),
            state: line.branch.as_ref().and_then(StatusMark::of_branch),
            is_errored: line.branch.as_ref().is_some_and(|branch| branch.errored),
            newest: line.builds.first().map(BuildLine::new),
            strip: line.builds.iter().map(BuildLine::new).collect(),
        });
        let workers = workers.map(|workers| WorkerCounts {
            connected: workers.iter().filter(|worker| worker.connected).count(),
            busy: workers.iter().filter(|worker| !worker.running.is_empty()).count(),
            lost: workers.iter().filter(|worker| !worker.connected).map(|worker| worker.name.clone()).collect(),
        });
        HomePage { frame, projects: projects.collect(), waiting, workers }
    }
}

impl ProjectCard {
    /// Returns the state of the project. If nothing counts yet, that is the state of the newest build.
    fn mark(&self) -> Option<&StatusMark> {
        self.state.as_ref().or(self.newest.as_ref().map(|line| &line.mark))
    }
}
