//! Checks that a request is meant for this site, and that a form comes from one of its pages. Browsers send both facts in headers that a
//! stranger's page can neither leave out nor write.

use super::{Site, without_port};
use axum::http::header::{self, HeaderMap};
use axum::http::{StatusCode, Uri};
use std::net::IpAddr;

impl Site {
    /// Refuses a request for another site, or for two at once. Otherwise a stranger's page whose name was pointed at this address could
    /// read everything. Requests of machines may use any name.
    pub(super) fn is_meant(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), (StatusCode, &'static str)> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = hosts.next().map(|host| host.to_str().unwrap_or_default());
        if hosts.next().is_some() {
            return Err((StatusCode::BAD_REQUEST, "A request must have exactly one Host.\n"));
        }
        let named = [host, uri.authority().map(|authority| authority.as_str())];
        let mut named = named.into_iter().flatten().peekable();
        let is_named = named.peek().is_some();
        match is_named && (self.is_for_machines(uri.path()) || named.all(|name| self.is_called(name))) {
            true => Ok(()),
            false => {
                Err((StatusCode::MISDIRECTED_REQUEST, "This site has another name: see `url` in the master file.\n"))
            }
        }
    }

    /// Whether a path may be requested under any name, because machines request it. A container uses the name that its network has for
    /// this machine. A delivery is signed, and the other paths give numbers that everybody may see. If the metrics name projects, they
    /// are not for every page that a browser opens.
    fn is_for_machines(&self, path: &str) -> bool {
        let is_open = matches!(path, "/healthz" | "/readyz") || path.starts_with("/hook/");
        is_open || (path == "/metrics" && !self.names_projects)
    }

    fn is_called(&self, host: &str) -> bool {
        let name = without_port(host).to_ascii_lowercase();
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        name == "localhost" || bare.parse::<IpAddr>().is_ok() || self.host.as_ref() == Some(&name)
    }

    /// Whether a form was sent by a page of this site, with its scheme, name and port. Behind a proxy that name is the one in `url`,
    /// whatever Host the proxy sends. A browser that uses another name, for example localhost, did not come through the proxy.
    pub(super) fn sent_form(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let (Some(origin), None) = (origins.next(), origins.next()) else { return false };
        let Ok(origin) = origin.to_str() else { return false };
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let is_direct = self.host.as_deref() != Some(without_port(host)) || !self.is_secure;
        !host.is_empty() && (origin == self.origin || (is_direct && origin.strip_prefix("http://") == Some(host)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::web::bridge::bridge;
    use crate::serve::web::hook::Hooks;

    fn site(url: &str) -> Site {
        Site::new(bridge().0, url, Hooks::default(), false)
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        pairs.iter().for_each(|(name, value)| _ = headers.append(*name, value.parse().unwrap()));
        headers
    }

    #[test]
    fn a_request_names_this_site_once() {
        let site = site("http://ci.example.org:8080");
        let status = |uri: &str, hosts: &[&str]| {
            let pairs: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            site.is_meant(&uri.parse().unwrap(), &headers(&pairs)).map_err(|(status, _)| status.as_u16())
        };
        for good in ["ci.example.org", "CI.example.org:8080", "localhost:1", "127.0.0.1:2", "[::1]:3"] {
            assert_eq!(status("/", &[good]), Ok(()), "{good}");
        }
        assert_eq!(status("/", &["evil.example.org"]), Err(421));
        assert_eq!(status("/", &[]), Err(421));
        for machines in ["/healthz", "/readyz", "/metrics", "/hook/p"] {
            assert_eq!(status(machines, &["guild:8080"]), Ok(()), "{machines}");
            assert_eq!(status(machines, &["guild", "guild"]), Err(400), "{machines}");
            assert_eq!(status(machines, &[]), Err(421), "{machines}");
        }
        for pages in ["/p/p", "/login/x", "/badge/p/main.svg", "/metrics/x", "/hook", "//healthz"] {
            assert_eq!(status(pages, &["guild:8080"]), Err(421), "{pages}");
        }
        assert_eq!(status("http://ci.example.org/", &[]), Ok(()));
        assert_eq!(status("http://evil.example.org/", &["ci.example.org"]), Err(421));
        assert_eq!(status("/", &["ci.example.org", "ci.example.org"]), Err(400));
        assert_eq!(status("/", &["ci.example.org", "evil.example.org"]), Err(400));
        assert_eq!(status("/", &["evil.example.org", "ci.example.org"]), Err(400));
    }

    #[test]
    fn a_form_comes_from_a_page_of_this_site() {
        let sent = |url: &str, pairs: &[(&'static str, &str)]| site(url).sent_form(&headers(pairs));
        let host = ("host", "ci.example.org");
        let (plain, secure) = ("http://ci.example.org", "https://ci.example.org");
        assert!(sent(plain, &[host, ("origin", plain)]) && sent(secure, &[host, ("origin", secure)]));
        assert!(!sent(plain, &[host, ("origin", secure)]) && !sent(secure, &[host, ("origin", plain)]));
        assert!(sent("", &[("host", "127.0.0.1:80"), ("origin", "http://127.0.0.1:80")]));
        // once through a tunnel, and once through a proxy that does not pass on the Host
        assert!(sent(secure, &[("host", "localhost:80"), ("origin", "http://localhost:80")]));
        assert!(sent(secure, &[("host", "127.0.0.1:8080"), ("origin", secure)]));
        assert!(!sent(secure, &[("host", "localhost:80"), ("origin", "https://localhost:80")]));
        for other in
            ["null", "http://ci.example.org:81", "http://evil.example.org", "http://ci.example.org/", "http://"]
        {
            assert!(!sent(plain, &[host, ("origin", other)]), "{other}");
        }
        assert!(!sent(plain, &[host]) && !sent(plain, &[("origin", "http://")]));
        assert!(!sent(plain, &[host, ("origin", plain), ("origin", secure)]));
    }
}
