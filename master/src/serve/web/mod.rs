//! The pages: complete HTML that needs no script, for everybody who may look. They run on a thread of their own, and reach one
//! [`crate::serve::api::Door`] through a bridge. Everything on a page comes from the viewer of the visitor's cookie, or from everyone's
//! viewer.
//!
//! A request passes these parts in order. [`serve`] takes the connection. `site` finds the page and guards it, and `origin` checks that
//! the request is meant for this site. `bridge` carries its question to the capabilities, and `pages` asks it in the words of
//! `questions`. `show` makes the values for the templates, `text` makes log bytes harmless, and `attended` says who waits for the next
//! part of an answer.

mod attended;
mod badges;
mod bridge;
mod connection;
mod hook;
mod metrics;
mod origin;
mod pages;
mod questions;
mod raw;
mod reply;
mod request;
mod show;
mod site;
mod text;

pub(crate) use bridge::bridge;
#[cfg(feature = "fuzz")]
pub use hook::play_delivery;
pub(crate) use hook::{Hook, Hooks};
#[cfg(feature = "fuzz")]
pub use text::log_lines;

use axum::extract::State;
use bridge::Bridge;
use prometheus_client::metrics::counter::Counter;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, LazyLock};
use tokio_util::sync::CancellationToken;

/// The state that the function for an address gets: the site itself.
type SiteState = State<Arc<Site>>;

/// A `Site` is what all pages have in common.
pub(crate) struct Site {
    bridge: Bridge,
    /// The name by which browsers may call this site, besides numeric addresses and `localhost`.
    host: Option<String>,
    /// Whether cookies go over TLS only.
    is_secure: bool,
    /// The origin that browsers give for a page of this site: the scheme, name and port of `url`, without a usual port.
    origin: String,
    hooks: Hooks,
    /// Whether the metrics at `/metrics` name projects.
    names_projects: bool,
    failed_logins: Counter,
}

static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    let text = include_str!("style.css");
    let hash = blake3::hash(text.as_bytes()).to_hex();
    Asset { path: format!("/style-{}.css", &hash[..16]), text }
});

/// An `Asset` is a file in the program, under a name that changes with its content.
struct Asset {
    path: String,
    text: &'static str,
}

impl Site {
    /// Makes a site that browsers reach at `url`.
    pub(crate) fn new(bridge: Bridge, url: &str, hooks: Hooks, names_projects: bool) -> Site {
        let is_secure = url.starts_with("https://");
        let host = url.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or_default());
        let scheme = if is_secure { "https" } else { "http" };
        let usual_port = if is_secure { ":443" } else { ":80" };
        let named = host.unwrap_or_default().to_ascii_lowercase();
        let origin = format!("{scheme}://{}", named.strip_suffix(usual_port).unwrap_or(&named));
        let host = host.map(|host| without_port(host).to_ascii_lowercase());
        let failed_logins = Counter::default();
        Site { bridge, host, is_secure, origin, hooks, names_projects, failed_logins }
    }
}

/// Returns the `host` of `host:port`. Brackets of an IPv6 address stay.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        Some(_) | None => host,
    }
}

/// Binds the port of the pages.
pub(crate) fn listen(address: &str) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

/// `Serving` serves pages on a thread of their own until it is dropped.
pub(crate) struct Serving(CancellationToken);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

pub(crate) fn serve(listener: TcpListener, site: Site) -> io::Result<Serving> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = CancellationToken::new();
    let until = ended.clone();
    std::thread::Builder::new().name("web".to_owned()).spawn(move || {
        runtime.block_on(async move {
            match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => connection::accept(listener, site::router(Arc::new(site)), until).await,
                Err(error) => tracing::error!(%error, "no pages are served"),
            }
        });
        // open connections do not delay the end
        runtime.shutdown_background();
    })?;
    Ok(Serving(ended))
}

#[cfg(test)]
mod tests {
    use super::without_port;

    #[test]
    fn hosts_lose_their_port() {
        let hosts = ["a.example", "a.example:80", "[::1]:80", "[::1]", "1.2.3.4:5"];
        assert_eq!(hosts.map(without_port), ["a.example", "a.example", "[::1]", "[::1]", "1.2.3.4"]);
    }
}
