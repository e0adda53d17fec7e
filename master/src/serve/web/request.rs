//! The parts of a request beside its path: the cookies, and the query after `?`.

use axum::extract::Query;
use axum::http::header::{self, HeaderMap};
use schema::sturdy_ref::Token;

/// The name of the cookie that a browser sends after a login.
pub(super) const COOKIE: &str = "guild";

/// The name of the cookie with the page to which a browser returns after a login.
pub(super) const BACK_COOKIE: &str = "guild_back";
/// The most bytes of an address to return to. No page of ours has a longer one, and a browser sends it with each login.
const BACK_BYTES_MAX: usize = 1_000;

/// Returns the cookie of a request. A text that is not a cookie counts as none.
pub(super) fn cookie(headers: &HeaderMap) -> Option<Token> {
    cookies(headers).find_map(|(name, value)| (name == COOKIE).then(|| value.parse().ok())?)
}

/// Returns the page that a browser asked for before its login.
pub(super) fn way_back(headers: &HeaderMap) -> Option<&str> {
    let named = cookies(headers).find_map(|(name, value)| (name == BACK_COOKIE).then_some(value))?;
    is_way_back(named).then_some(named)
}

/// Whether an address is one of our pages that needs a login. It cannot lead to another site, and cannot end the cookie's value.
pub(super) fn is_way_back(address: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b';' | b',' | b'"' | b'\\');
    address.starts_with("/p/") && address.len() <= BACK_BYTES_MAX && address.bytes().all(is_plain)
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='))
}

/// The query of an address. Parts that are not understood are ignored.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct PageParameters {
    pub(super) branch: Option<String>,
    pub(super) before: Option<String>,
    pub(super) first: Option<String>,
}

pub(super) type PageQuery = Query<PageParameters>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_back_leads_to_a_page_of_ours() {
        for (address, is_good) in [
            ("/p/demo", true),
            ("/p/demo/2/test@linux/1?first=3", true),
            ("/", false),
            ("//evil.example/p/", false),
            ("https://evil.example/p/x", false),
            ("/p/a;Domain=x", false),
            ("/p/a b", false),
            ("/p/\\evil", false),
            ("/p/ü", false),
        ] {
            assert_eq!(is_way_back(address), is_good, "{address}");
        }
        assert!(!is_way_back(&format!("/p/{}", "a".repeat(BACK_BYTES_MAX))));
    }
}
