//! Small things for machines: badges, health, measures, the icon.

use super::pages::{known, state_of};
use super::reply::{Miss, Reply, status, tagged};
use super::show;
use super::site::cookie;
use super::{Site, bridge::Visit};
use askama::Template as _;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use client::Error;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

type Here = State<Arc<Site>>;

/// `/badge/NAME/BRANCH.svg`; a branch may have slashes. Of the main branch: `/badge/NAME/main.svg`, whatever it is called.
pub(super) async fn badge(
    State(site): Here,
    Path((project, file)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Reply, Miss> {
    let branch = file.strip_suffix(".svg").ok_or(Miss::NotFound)?.to_owned();
    let wanted = branch.clone();
    let looked = site.bridge.look(cookie(&headers), async move |visit: Visit| {
        known(&visit.guild, &project).await?;
        match state_of(&visit.guild, &project, &wanted).await? {
            None if wanted == "main" => state_of(&visit.guild, &project, "").await,
            found => Ok::<_, Error>(found),
        }
    });
    let state = looked.await??;
    let svg = show::Badge::new(&branch, state.as_ref()).render().map_err(|_| Miss::Broken)?;
    let mut reply = tagged(svg, "image/svg+xml", &headers);
    // other sites show it
    let name = HeaderName::from_static("cross-origin-resource-policy");
    reply.headers_mut().insert(name, HeaderValue::from_static("cross-origin"));
    Ok(reply)
}

pub(super) async fn icon(headers: HeaderMap) -> Reply {
    tagged(include_str!("icon.svg").to_owned(), "image/svg+xml", &headers)
}

/// Whether the master answers, and can record what it is asked for.
pub(super) async fn ready(State(site): Here) -> Reply {
    match site.bridge.at_door(|door| async move { door.is_ready() }).await {
        Ok(true) => status(StatusCode::OK, "ready\n"),
        Ok(false) => status(StatusCode::SERVICE_UNAVAILABLE, "the disk is full\n"),
        Err(_) => status(StatusCode::SERVICE_UNAVAILABLE, "the master does not answer\n"),
    }
}

/// Numbers of the whole, and no names: see `docs/pages.md`.
pub(super) async fn metrics(State(site): Here) -> Result<Reply, Miss> {
    let counted = site.bridge.at_door(|door| async move { (door.counts(), !door.is_ready()) });
    let (counts, is_full) = counted.await?;
    let mut registry = Registry::with_prefix("guild");
    let gauges = [
        ("workers_connected", "Workers with a session", counts.workers_connected as u64),
        ("workers_known", "Workers that enrolled and were not forgotten", counts.workers_known as u64),
        ("jobs_running", "Jobs that are offered to a worker or run", counts.running as u64),
        ("jobs_waiting", "Jobs that wait for a worker", counts.waiting as u64),
        ("builds_open", "Builds that are not finished", counts.builds_open as u64),
        ("events_last", "Number of the last event", counts.last_event),
        ("disk_full", "1 while nothing new can be recorded", u64::from(is_full)),
    ];
    for (name, help, value) in gauges {
        let gauge: Gauge<u64, AtomicU64> = Gauge::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    }
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|_| Miss::Broken)?;
    let mut reply = Reply::new(text.into());
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    reply.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(reply)
}
