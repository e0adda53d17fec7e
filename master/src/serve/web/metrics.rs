//! Health and measures, for machines that watch the master.

use super::Site;
use super::reply::{Miss, Reply, status};
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderValue};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Whether the master answers, and can record what it is asked for.
pub(super) async fn ready(State(site): State<Arc<Site>>) -> Reply {
    match site.bridge.at_door(|door| async move { door.is_ready() }).await {
        Ok(true) => status(StatusCode::OK, "ready\n"),
        Ok(false) => status(StatusCode::SERVICE_UNAVAILABLE, "the disk is full\n"),
        Err(_) => status(StatusCode::SERVICE_UNAVAILABLE, "the master does not answer\n"),
    }
}

/// Numbers of the whole, and no names: see `docs/pages.md`.
pub(super) async fn metrics(State(site): State<Arc<Site>>) -> Result<Reply, Miss> {
    let counted = site.bridge.at_door(|door| async move { (door.counts(), !door.is_ready(), door.can_write_logs()) });
    let (counts, is_full, writes) = counted.await?;
    let mut registry = Registry::with_prefix("guild");
    let gauges = [
        ("workers_connected", "Workers with a session", counts.workers_connected as u64),
        ("workers_known", "Workers that enrolled and were not forgotten", counts.workers_known as u64),
        ("jobs_running", "Jobs that are offered to a worker or run", counts.running as u64),
        ("jobs_waiting", "Jobs that wait for a worker", counts.waiting as u64),
        ("builds_open", "Builds that are not finished", counts.builds_open as u64),
        ("events_last", "Number of the last event", counts.last_event),
        ("logs_failing", "1 while some log cannot be written", u64::from(!writes)),
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
