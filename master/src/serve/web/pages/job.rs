//! `/p/NAME/412/test`: a job with the ends of its logs.

use super::{REFRESH, SiteState};
use crate::serve::web::Site;
use crate::serve::web::bridge::Visit;
use crate::serve::web::questions::{job_logs, job_of, job_tests, numbered};
use crate::serve::web::reply::{Miss, Reply, page};
use crate::serve::web::request::cookie;
use crate::serve::web::show::{self, Frame, StatusMark};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::HeaderMap;
use axum::routing::get;
use client::views::JobView;
use client::{Error, Explanation};
use schema::values::State as JobState;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Site>> {
    Router::new().route("/p/{project}/{build}/{job}", get(job))
}

async fn job(
    State(site): SiteState,
    Path((project, number, name)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Reply, Miss> {
    let number = numbered(&number)?;
    let looked = site.bridge.look(cookie(&headers), async move |visit: Visit| {
        let (build, job) = job_of(&visit.guild, &project, number, &name).await?;
        let logs = job_logs(&visit.guild, &build, &job).await?;
        // a page without the explanation is better than no page
        let told = match is_to_be_explained(&job) {
            true => visit.guild.explain(&project, number, &job.name).await.unwrap_or_default(),
            false => Explanation::default(),
        };
        let tests = job_tests(&visit.guild, &build, &job).await?;
        Ok::<_, Error>((build, job, logs, told, tests, visit.name))
    });
    let (build, job, logs, told, tests, who) = looked.await??;
    let refresh = (!job.is_finished()).then_some(REFRESH);
    let title = format!("{} {}", job.name, build.selector());
    let frame = Frame::new(&title, who).marked(&StatusMark::new(job.state, job.outcome));
    page(&show::JobPage::new(frame, &build, &job, &logs, &told).with_tests(&build, &job, &tests), &headers, refresh)
}

/// Whether the page shows the explanation. It says how to get a waiting job placed, and how several attempts ended.
fn is_to_be_explained(job: &JobView) -> bool {
    job.attempt > 1 || matches!(job.state, JobState::Waiting | JobState::Queued | JobState::Offered)
}
