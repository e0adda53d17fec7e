//! `/p/NAME/412`: a build with its jobs.

use super::{REFRESH, SiteState};
use crate::serve::web::Site;
use crate::serve::web::bridge::Visit;
use crate::serve::web::questions::{builds, numbered, red_ranges};
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
    Router::new().route("/p/{project}/{build}", get(build))
}

async fn build(
    State(site): SiteState,
    Path((project, number)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Reply, Miss> {
    let number = numbered(&number)?;
    let looked = site.bridge.look(cookie(&headers), async move |visit: Visit| {
        let build = visit.guild.build(&project, number).await?;
        let previous = builds(&visit.guild, &project, &build.ref_name, number, 1).await?;
        let change = visit.guild.change(&project, number).await?;
        let ranges = red_ranges(&visit.guild, &build).await;
        Ok::<_, Error>((build, previous, change, ranges, visit.name))
    });
    let (build, previous, change, ranges, who) = looked.await??;
    let refresh = (!build.is_finished()).then_some(REFRESH);
    let frame = Frame::new(&build.selector(), who).marked(&StatusMark::of(&build));
    let shown = show::BuildPage::new(frame, &build, previous.first());
    page(&shown.with_change(&build, change.as_ref()).with_suspects(&build, &ranges), &headers, refresh)
}
