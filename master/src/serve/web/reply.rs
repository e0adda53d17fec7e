//! The answers to a browser, with the headers that every answer has.

use super::bridge::Busy;
use askama::Template;
use axum::body::Body;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Response, StatusCode};
use schema::shown;

/// The content security policy. It allows only our own style and pictures, and no script at all.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";

pub(super) type Reply = Response<Body>;

/// The reason why there is no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Miss {
    /// The page does not exist, or this visitor may not see it. The answer does not say which.
    NotFound,
    /// The address of a login that was used, or that has expired.
    Over,
    Busy,
    Broken,
}

impl From<Busy> for Miss {
    fn from(_: Busy) -> Miss {
        Miss::Busy
    }
}

impl From<client::Error> for Miss {
    #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else went wrong, there is no page")]
    fn from(error: client::Error) -> Miss {
        use schema::values::RefusalCode;
        match error {
            client::Error::NotFound { .. } | client::Error::NotHeld(_) => Miss::NotFound,
            client::Error::Refused(refusal) if refusal.code == RefusalCode::NotFound => Miss::NotFound,
            // this log was removed while somebody looked at it
            client::Error::Protocol(text) if text.contains("notFound") => Miss::NotFound,
            error if error.is_passing() => Miss::Busy,
            error => {
                tracing::warn!(%error, "a page cannot be made");
                Miss::Broken
            }
        }
    }
}

/// Makes an answer with a page. It is not sent again if the browser has it already.
pub(super) fn page(template: &impl Template, request: &HeaderMap, refresh: Option<u32>) -> Result<Reply, Miss> {
    let html = template.render().map_err(|error| {
        tracing::error!(%error, "a page cannot be rendered");
        Miss::Broken
    })?;
    // everything that a template shows passes here, so that a field that was not made harmless does no harm
    let mut reply = tagged(shown::page(&html).into_owned(), "text/html; charset=utf-8", request);
    if let Some(seconds) = refresh {
        reply.headers_mut().insert(HeaderName::from_static("refresh"), HeaderValue::from(seconds));
    }
    Ok(reply)
}

/// Makes an answer with a tag of its content, by which a browser asks whether the content changed.
pub(super) fn tagged(text: String, kind: &'static str, request: &HeaderMap) -> Reply {
    let tag = format!("\"{}\"", &blake3::hash(text.as_bytes()).to_hex()[..16]);
    let known = request.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let is_known = known.is_some_and(|known| known.split(',').any(|one| one.trim() == tag));
    let mut reply = match is_known {
        true => status(StatusCode::NOT_MODIFIED, ""),
        false => Response::new(Body::from(text)),
    };
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("cookie"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    reply
}

/// Makes an answer of a few words as plain text.
pub(super) fn status(code: StatusCode, text: &'static str) -> Reply {
    let mut reply = Response::new(Body::from(text));
    *reply.status_mut() = code;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    reply
}

/// Sends the browser to another address of this site.
pub(super) fn see_other(place: &str) -> Reply {
    let mut reply = status(StatusCode::SEE_OTHER, "");
    let place = HeaderValue::from_str(place).unwrap_or(HeaderValue::from_static("/"));
    reply.headers_mut().insert(header::LOCATION, place);
    reply
}

/// Makes an answer private, if it is for somebody with a cookie. Neither a cache nor the browser keeps it, so that it does not outlive
/// the login. Our own style and pictures are the same for everybody, and stay as they are.
pub(super) fn to_oneself(mut reply: Reply) -> Reply {
    let headers = reply.headers_mut();
    let is_public = |value: &HeaderValue| value.as_bytes().starts_with(b"public");
    if !headers.get(header::CACHE_CONTROL).is_some_and(is_public) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
        headers.remove(header::ETAG);
    }
    reply
}

/// Adds the headers that isolate a page from other sites. A header that an answer sets itself stays.
pub(super) fn guard(mut reply: Reply) -> Reply {
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-store"),
    ] {
        let name = HeaderName::from_static(name);
        reply.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    reply
}
