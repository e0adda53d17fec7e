//! Checks whether the pages answer, and whether logins stay secret on their way to them.

use super::ConfigFacts;
use schema::values::{Finding, What};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(1);
const SUBJECT: &str = "pages";

pub(super) async fn examine(config_facts: &ConfigFacts, what: &What) -> Finding {
    let answers = match config_facts.web {
        Some(address) => answers(address).await,
        None => false,
    };
    let hooks: Vec<String> = config_facts.hooks.iter().filter(|project| what.sees(project)).cloned().collect();
    judge(config_facts.web.map(|address| (address, answers)), &config_facts.url, &hooks)
}

async fn answers(address: SocketAddr) -> bool {
    matches!(tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await, Ok(Ok(_)))
}

/// Judges the pages. `web` is the address at which they listen, and whether anything answers there. `hooks` are the projects that wait
/// for deliveries.
pub(super) fn judge(web: Option<(SocketAddr, bool)>, url: &str, hooks: &[String]) -> Finding {
    let key = "web = \"127.0.0.1:8080\" in [listen] of the master file";
    match (web, hooks.first()) {
        (None, Some(project)) => {
            let seen = format!("not served, but {project} waits for deliveries to its hook");
            Finding::bad(SUBJECT, seen, key)
        }
        (None, None) => Finding::good(SUBJECT, "not served, as the master file says"),
        (Some((address, false)), _) => {
            let seen = format!("nobody answers at {address}");
            Finding::bad(SUBJECT, seen, format!("restart the master, read its log, and check {key}"))
        }
        // A login is in a cookie, and the cookie is restricted to TLS only if the address begins with `https`.
        (Some(_), _) if !url.starts_with("https://") && !is_loopback(url) => {
            let remedy = "url = \"https://...\" in the master file, and put a proxy with TLS before `web`";
            Finding::warned(SUBJECT, format!("{url}: logins travel unencrypted"), remedy)
        }
        (Some(_), _) => Finding::good(SUBJECT, format!("served at {url}")),
    }
}

fn is_loopback(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest).split('/').next().unwrap_or_default();
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name).trim_matches(['[', ']']);
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
