//! `/p/NAME`: a branch of a project, its lanes and its builds.

use super::{REFRESH, SiteState};
use crate::serve::web::Site;
use crate::serve::web::bridge::Visit;
use crate::serve::web::questions::{builds, builds_of, builds_of_all, known, state_of};
use crate::serve::web::reply::{Miss, Reply, page};
use crate::serve::web::request::{PageQuery, cookie};
use crate::serve::web::show::{self, Frame, StatusMark};
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::header::HeaderMap;
use axum::routing::get;
use client::Error;
use std::sync::Arc;

/// The number of builds that the page lists.
const BUILDS: u32 = 25;
/// The most builds whose jobs the page compares.
const COMPARED: usize = 12;
/// The most jobs of all compared builds together. A large matrix is therefore compared over fewer builds.
const COMPARED_JOBS: u32 = 400;

pub(super) fn routes() -> Router<Arc<Site>> {
    Router::new().route("/p/{project}", get(project))
}

async fn project(
    State(site): SiteState,
    Path(name): Path<String>,
    Query(asked): PageQuery,
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
        let (among, crons) = (builds_of_all(&visit.guild, &name).await?, visit.guild.crons(&name).await?);
        Ok::<_, Error>((visit.name, state, builds, among, crons))
    });
    let (who, state, builds, among, crons) = looked.await??;
    let is_busy = builds.iter().any(|build| !build.is_finished());
    let asked = branch.as_deref();
    let mark = state.as_ref().and_then(StatusMark::of_branch);
    let frame = mark.iter().fold(Frame::new(&name, who), Frame::marked);
    let shown = show::ProjectPage::new(frame, &name, asked, state.as_ref(), &builds, &among, BUILDS).with_crons(&crons);
    page(&shown, &headers, is_busy.then_some(REFRESH))
}
