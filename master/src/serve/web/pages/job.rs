//! `/p/NAME/412/test`: a job with the ends of its logs.

use super::{REFRESH, SiteState};
use crate::serve::web::Site;
use crate::serve::web::bridge::Visit;
use crate::serve::web::questions::{job_logs, job_of, numbered};
use crate::serve::web::reply::{Miss, Reply, page};
use crate::serve::web::request::cookie;
use crate::serve::web::show::{self, Frame, StatusMark};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::HeaderMap;
use axum::routing::get;
use client::Error;
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
        Ok::<_, Error>((build, job, logs, visit.name))
    });
    let (build, job, logs, who) = looked.await??;
    let refresh = (!job.is_finished()).then_some(REFRESH);
    let title = format!("{} {}", job.name, build.selector());
    let frame = Frame::new(&title, who).marked(&StatusMark::new(job.state, job.outcome));
    page(&show::JobPage::new(frame, &build, &job, &logs), &headers, refresh)
}
