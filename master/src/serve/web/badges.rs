//! Badges that other sites show, and the icon of this one.

use super::questions::{known, state_of};
use super::reply::{Miss, Reply, tagged};
use super::request::cookie;
use super::show;
use super::{Site, bridge::Visit};
use askama::Template as _;
use axum::extract::{Path, State};
use axum::http::header::{HeaderMap, HeaderName, HeaderValue};
use client::Error;
use std::sync::Arc;

/// `/badge/NAME/BRANCH.svg`; a branch may have slashes. Of the main branch: `/badge/NAME/main.svg`, whatever it is called.
pub(super) async fn badge(
    State(site): State<Arc<Site>>,
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
