//! What a request says beside its address: who asks, and what follows `?`.

use axum::extract::Query;
use axum::http::header::{self, HeaderMap};
use schema::sturdy_ref::Token;

/// The name of the cookie that a browser shows once somebody logged in with it.
pub(super) const COOKIE: &str = "guild";

/// The cookie of a request; what is none is as good as no cookie.
pub(super) fn cookie(headers: &HeaderMap) -> Option<Token> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find_map(|(name, value)| (name == COOKIE).then(|| value.parse().ok())?)
}

/// What follows `?` in an address; what is not understood is ignored.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct PageParameters {
    pub(super) branch: Option<String>,
    pub(super) before: Option<String>,
    pub(super) first: Option<String>,
}

pub(super) type PageQuery = Query<PageParameters>;
