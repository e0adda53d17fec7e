//! `/queue`: the jobs that wait, since when, and why.

use super::{REFRESH, SiteState};
use crate::serve::web::Site;
use crate::serve::web::bridge::Visit;
use crate::serve::web::reply::{Miss, Reply, page};
use crate::serve::web::request::cookie;
use crate::serve::web::show::{Frame, When, tidy};
use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::header::HeaderMap;
use axum::routing::get;
use client::Error;
use client::views::QueueItem;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Site>> {
    Router::new().route("/queue", get(queue))
}

async fn queue(State(site): SiteState, headers: HeaderMap) -> Result<Reply, Miss> {
    let looked = site
        .bridge
        .look(cookie(&headers), async |visit: Visit| Ok::<_, Error>((visit.guild.queue().await?, visit.name)));
    let (items, who) = looked.await??;
    let refresh = (!items.is_empty()).then_some(REFRESH);
    page(&QueuePage::new(Frame::new("Queue", who), &items), &headers, refresh)
}

#[derive(Template)]
#[template(path = "queue.html")]
struct QueuePage {
    frame: Frame,
    items: Vec<QueueLine>,
}

struct QueueLine {
    project: String,
    build: u32,
    job: String,
    since: Option<When>,
    reason: String,
    remedy: String,
}

impl QueuePage {
    fn new(frame: Frame, items: &[QueueItem]) -> QueuePage {
        let items = items.iter().map(|item| QueueLine {
            project: item.project.clone(),
            build: item.build,
            job: item.job.clone(),
            since: When::new(item.since),
            reason: tidy(&item.reason),
            remedy: tidy(&item.remedy),
        });
        QueuePage { frame, items: items.collect() }
    }
}
