//! Serves a step's log and its original test reports unchanged, in parts, so that only one part is in memory.

use super::questions::{address, job_of, numbered};
use super::reply::{Miss, Reply, status};
use super::request::cookie;
use super::{Site, bridge::Visit};
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderValue};
use client::logs::{self, LogAddress};
use client::{Error, Guild, reports};
use futures::stream;
use schema::sturdy_ref::Token;
use std::ops::Range;
use std::sync::Arc;

/// The bytes that are asked for at once.
const PART: u64 = 256 << 10;

pub(super) async fn raw(
    State(site): State<Arc<Site>>,
    Path((project, number, name, step)): Path<(String, String, String, String)>,
    headers: HeaderMap,
) -> Result<Reply, Miss> {
    let (number, step) = (numbered(&number)?, u16::try_from(numbered(&step)?).map_err(|_| Miss::NotFound)?);
    let cookie = cookie(&headers);
    let looked = site.bridge.look(cookie.clone(), async move |visit: Visit| {
        let (build, job) = job_of(&visit.guild, &project, number, &name).await?;
        let address = address(&build, &job, step);
        let (size, is_sealed) = logs::size(&visit.guild, &address).await?;
        Ok::<_, Error>((address, size, is_sealed))
    });
    let (address, size, is_sealed) = looked.await??;
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    let part = match range.map(|range| part_of(range, size)) {
        Some(Wish::Part(part)) => Some(part),
        Some(Wish::Nothing) => return Ok(unsatisfiable(size)),
        Some(Wish::Ignored) | None => None,
    };
    let wanted = part.clone().unwrap_or(0..size);
    let mut reply = Reply::new(body(site, cookie, (Left::Log, address), wanted.clone()));
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(wanted.end - wanted.start));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(if is_sealed { "private" } else { "no-cache" }));
    if let Some(part) = part {
        // the length of a log that grows is not known
        let total = if is_sealed { size.to_string() } else { "*".to_owned() };
        let text = format!("bytes {}-{}/{total}", part.start, part.end - 1);
        headers.insert(header::CONTENT_RANGE, HeaderValue::from_str(&text).map_err(|_| Miss::Broken)?);
        *reply.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(reply)
}

/// Serves the archive of a step's test reports.
pub(super) async fn archive(
    State(site): State<Arc<Site>>,
    Path((project, number, name, step)): Path<(String, String, String, String)>,
    headers: HeaderMap,
) -> Result<Reply, Miss> {
    let (number, step) = (numbered(&number)?, u16::try_from(numbered(&step)?).map_err(|_| Miss::NotFound)?);
    let cookie = cookie(&headers);
    let looked = site.bridge.look(cookie.clone(), async move |visit: Visit| {
        let (build, job) = job_of(&visit.guild, &project, number, &name).await?;
        let address = address(&build, &job, step);
        let size = reports::size(&visit.guild, &address).await?;
        Ok::<_, Error>((address, size.ok_or_else(|| Error::not_found("no test reports are kept"))?))
    });
    let (address, size) = looked.await??;
    let mut reply = Reply::new(body(site, cookie, (Left::Reports, address), 0..size));
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/zstd"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    // this makes the browser save the archive, whatever a tool wrote into it
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"reports.tar.zst\""));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private"));
    Ok(reply)
}

/// A `Left` names what a step left that is served unchanged.
#[derive(Clone, Copy, Debug)]
enum Left {
    Log,
    Reports,
}

impl Left {
    async fn part(self, guild: &Guild, address: &LogAddress, from: u64, count: u64) -> Result<Vec<u8>, Error> {
        match self {
            Left::Log => logs::part(guild, address, from, count).await,
            Left::Reports => reports::part(guild, address, from..from + count).await,
        }
    }
}

/// Returns a body in parts. Each part is read when the client has taken the previous one.
fn body(site: Arc<Site>, cookie: Option<Token>, (left_by, address): (Left, LogAddress), wanted: Range<u64>) -> Body {
    let parts = stream::try_unfold(wanted, move |left: Range<u64>| {
        let (site, cookie, address) = (site.clone(), cookie.clone(), address.clone());
        async move {
            if left.is_empty() {
                return Ok(None);
            }
            let (from, count) = (left.start, PART.min(left.end - left.start));
            let read = site
                .bridge
                .look(cookie, async move |visit: Visit| left_by.part(&visit.guild, &address, from, count).await);
            let bytes = read.await.map_err(|_| broken("the master is busy"))?.map_err(broken)?;
            if bytes.is_empty() {
                return Err(broken("the file is shorter than before"));
            }
            let next = from + bytes.len() as u64..left.end;
            Ok(Some((Bytes::from(bytes), next)))
        }
    });
    Body::from_stream(parts)
}

fn broken(why: impl std::fmt::Display) -> std::io::Error {
    std::io::Error::other(why.to_string())
}

fn unsatisfiable(size: u64) -> Reply {
    let mut reply = status(StatusCode::RANGE_NOT_SATISFIABLE, "The file has no bytes in that range.\n");
    if let Ok(value) = HeaderValue::from_str(&format!("bytes */{size}")) {
        reply.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    reply
}

/// The meaning of a `Range` header.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    Part(Range<u64>),
    /// The file has no byte of the range.
    Nothing,
    /// The range is malformed, of another unit, or asks for several parts. The whole file is a good answer (RFC 9110, 14.2).
    Ignored,
}

fn part_of(range: &str, size: u64) -> Wish {
    let Some((first, last)) = range.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Wish::Ignored;
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let part = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Some(first), None) if last.trim().is_empty() => first..size,
        (None, Some(count)) if first.trim().is_empty() => size.saturating_sub(count)..size,
        _ => return Wish::Ignored,
    };
    if part.start >= part.end { Wish::Nothing } else { Wish::Part(part) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_rfc_9110() {
        let cases = [
            ("bytes=0-9", Wish::Part(0..10)),
            ("bytes=90-", Wish::Part(90..100)),
            ("bytes=-10", Wish::Part(90..100)),
            ("bytes=-1000", Wish::Part(0..100)),
            ("bytes=50-5000", Wish::Part(50..100)),
            ("bytes=99-99", Wish::Part(99..100)),
            ("bytes=100-", Wish::Nothing),
            ("bytes=-0", Wish::Nothing),
            ("bytes=9-1", Wish::Ignored),
            ("bytes=0-1,5-6", Wish::Ignored),
            ("lines=1-2", Wish::Ignored),
            ("bytes=a-b", Wish::Ignored),
            ("bytes=-", Wish::Ignored),
        ];
        for (text, wanted) in cases {
            assert_eq!(part_of(text, 100), wanted, "{text}");
        }
        assert_eq!(part_of("bytes=0-", 0), Wish::Nothing);
    }
}
