//! `/p/NAME/412/test/2`: the log of a step, a part at a time.

use super::{REFRESH, SiteState};
use crate::serve::web::Site;
use crate::serve::web::bridge::Visit;
use crate::serve::web::questions::{address, job_of, numbered};
use crate::serve::web::reply::{Miss, Reply, page};
use crate::serve::web::request::{PageQuery, cookie};
use crate::serve::web::show::{self, Frame, LINES, StatusMark};
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::header::HeaderMap;
use axum::routing::get;
use client::{Error, logs, reports};
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Site>> {
    Router::new().route("/p/{project}/{build}/{job}/{step}", get(step))
}

async fn step(
    State(site): SiteState,
    Path((project, number, name, step)): Path<(String, String, String, String)>,
    Query(asked): PageQuery,
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
        let reports = reports::size(&visit.guild, &address).await?;
        Ok((build, job, (lines, reports), visit.name))
    });
    let (build, job, (lines, reports), who) = looked.await??;
    let title = format!("{} step {step} {}", job.name, build.selector());
    let mark = job.steps.get(usize::from(step) - 1).map(|step| StatusMark::new(step.state, step.outcome));
    let frame = mark.iter().fold(Frame::new(&title, who), Frame::marked);
    let shown = show::StepPage::new(frame, &build, &job, step, &lines, first.is_none()).with_reports(reports);
    let is_live = job.steps.get(usize::from(step) - 1).is_some_and(|step| step.outcome.is_none()) && first.is_none();
    page(&shown, &headers, is_live.then_some(REFRESH))
}
