//! `/workers`: the workers, their state, and the jobs that they run.

use super::SiteState;
use crate::serve::web::Site;
use crate::serve::web::bridge::Visit;
use crate::serve::web::questions::workers_of;
use crate::serve::web::reply::{Miss, Reply, page};
use crate::serve::web::request::cookie;
use crate::serve::web::show::{Frame, When, tidy};
use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::header::HeaderMap;
use axum::routing::get;
use client::Error;
use client::views::WorkerView;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Site>> {
    Router::new().route("/workers", get(workers))
}

async fn workers(State(site): SiteState, headers: HeaderMap) -> Result<Reply, Miss> {
    let looked = site
        .bridge
        .look(cookie(&headers), async |visit: Visit| Ok::<_, Error>((workers_of(&visit).await?, visit.name)));
    let (workers, who) = looked.await??;
    let workers = workers.ok_or(Miss::NotFound)?;
    page(&WorkersPage::new(Frame::new("Workers", who), &workers), &headers, None)
}

#[derive(Template)]
#[template(path = "workers.html")]
struct WorkersPage {
    frame: Frame,
    workers: Vec<WorkerLine>,
}

struct WorkerLine {
    name: String,
    /// The word for the state: "lost", "held", "draining", "busy" or "idle".
    state: &'static str,
    class: &'static str,
    held: String,
    platform: String,
    version: String,
    pools: String,
    slots: u16,
    tiers: String,
    running: Vec<(String, String)>,
    is_connected: bool,
    /// The time when the worker connected or, if it is not connected, when it was last heard.
    heard: Option<When>,
}

impl WorkersPage {
    fn new(frame: Frame, workers: &[WorkerView]) -> WorkersPage {
        let workers = workers.iter().map(|worker| {
            let (state, class) = match worker {
                worker if !worker.connected => ("lost", "bad"),
                worker if !worker.held.is_empty() => ("held", "warned"),
                worker if worker.draining => ("draining", "warned"),
                worker if !worker.running.is_empty() => ("busy", "running"),
                _ => ("idle", "good"),
            };
            WorkerLine {
                name: worker.name.clone(),
                state,
                class,
                held: tidy(if worker.held.is_empty() { &worker.waits } else { &worker.held }),
                platform: tidy(&worker.description.platform),
                version: tidy(&worker.description.version),
                pools: worker.pools.join(", "),
                slots: worker.description.total.slots,
                tiers: tidy(&worker.tiers()),
                running: worker.running.iter().map(|selector| (format!("/p/{selector}"), selector.clone())).collect(),
                is_connected: worker.connected,
                heard: When::new(worker.last_heard),
            }
        });
        WorkersPage { frame, workers: workers.collect() }
    }
}
