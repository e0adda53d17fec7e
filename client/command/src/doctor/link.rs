//! Checks the connection to the master: its addresses, its key, how long it takes to answer, and the grant of the caller.

use super::{Finding, Health, way_out};
use client::Error;
use client::Guild;
use client::views::{GrantView, Whoami};
use schema::identity::Identity;
use schema::sturdy_ref::SturdyRef;
use schema::values::{Time, ends_soon};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// The limit for looking up a name and connecting, and half the limit for the master's answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The time from which an answer counts as slow, because each command then feels slow.
const SLOW: Duration = Duration::from_secs(1);

/// The result of trying to connect to an address.
#[derive(Debug)]
pub(super) enum Way {
    Connected { to: SocketAddr, took: Duration },
    NoName(io::Error),
    Refused { to: SocketAddr, error: io::Error },
    Silent,
}

/// Returns a finding for each address of the master. An address that cannot be reached is bad only if no other address can be reached.
pub(crate) async fn address(reference: &SturdyRef) -> Vec<Finding> {
    let ways = futures::future::join_all(reference.addresses.iter().map(|address| way(address))).await;
    let is_reached = ways.iter().any(|way| matches!(way, Way::Connected { .. }));
    reference.addresses.iter().zip(&ways).map(|(address, way)| judge_way(address, way, is_reached)).collect()
}

async fn way(address: &str) -> Way {
    let began = Instant::now();
    let looking = async {
        let found = tokio::net::lookup_host(address).await.map_err(Way::NoName)?;
        let mut last = Way::NoName(io::Error::other("the name has no address"));
        for to in found {
            match TcpStream::connect(to).await {
                Ok(_) => return Ok(Way::Connected { to, took: began.elapsed() }),
                Err(error) => last = Way::Refused { to, error },
            }
        }
        Err(last)
    };
    match timeout(PATIENCE, looking).await {
        Ok(Ok(way) | Err(way)) => way,
        Err(_) => Way::Silent,
    }
}

pub(super) fn judge_way(address: &str, way: &Way, is_reached: bool) -> Finding {
    let subject = format!("address {address}");
    let (seen, remedy) = match way {
        Way::Connected { to, took } => {
            return Finding::good(subject, format!("{to} accepts connections, after {}", milliseconds(*took)));
        }
        Way::NoName(error) => {
            let name = address.rsplit_once(':').map_or(address, |(name, _)| name);
            (
                format!("its name cannot be looked up: {error}"),
                format!(
                    "try `getent hosts {name}`; the addresses in credentials come from `advertise` in [listen] of the master file"
                ),
            )
        }
        Way::Refused { to, error } => (
            format!("{to}: {error}"),
            "run `guild-master run` there, and make `rpc` in [listen] of the master file reachable from this machine"
                .to_owned(),
        ),
        Way::Silent => (
            format!("no answer within {} s", PATIENCE.as_secs()),
            "check that the machine is up, and that its firewall is open for the port of `rpc` in [listen] of the master file".to_owned(),
        ),
    };
    let verdict = if is_reached { Health::Warned } else { Health::Bad };
    Finding { verdict, ..Finding::bad(subject, seen, remedy) }
}

/// A master that answered, with its answer.
pub(crate) struct Met {
    pub(crate) guild: Guild,
    pub(crate) who: Whoami,
    /// The time that the answer took.
    pub(crate) took: Duration,
}

/// Connects, shows the credential, and makes one call.
pub(crate) async fn meet(reference: &SturdyRef, identity: Rc<Identity>) -> Result<Met, Error> {
    let meeting = async {
        let guild = Guild::connect(reference.clone(), identity).await?;
        let asked = Instant::now();
        let who = guild.whoami().await?;
        Ok(Met { guild, who, took: asked.elapsed() })
    };
    let late = |_| Error::Unreachable(format!("no answer within {} s", 2 * PATIENCE.as_secs()));
    timeout(2 * PATIENCE, meeting).await.map_err(late)?
}

/// Returns the finding for the link: whether the master has the key in the credential, speaks our protocol, accepts the credential and
/// answers soon.
pub(crate) fn link(reference: &SturdyRef, met: Result<Duration, &Error>) -> Finding {
    match met {
        Ok(took) => {
            let key = reference.fingerprint;
            let seen =
                format!("the master has the key {key}, speaks our protocol and answers within {}", milliseconds(took));
            let remedy = "check the network (ping) and the load of the master's machine (uptime)";
            if took < SLOW { Finding::good("link", seen) } else { Finding::warned("link", seen, remedy) }
        }
        Err(error) => Finding::bad("link", error.to_string(), way_out(error, remedy_for(error))),
    }
}

fn remedy_for(error: &Error) -> &'static str {
    match error {
        Error::TooLarge { .. } | Error::Protocol(_) => {
            "use the `guild` of the master's version, which `guild-master --version` shows there"
        }
        Error::Unreachable(_) | Error::Lost(_) => {
            "run `guild-master run` there; the addresses in credentials come from `advertise` in [listen] of the master file"
        }
        Error::Refused(_)
        | Error::NotHeld(_)
        | Error::Credential { .. }
        | Error::NoContext
        | Error::Ended { .. }
        | Error::NotFound { .. }
        | Error::Usage { .. }
        | Error::Timeout(_)
        | Error::File { .. }
        | Error::Damaged(_)
        | Error::Output(_) => "ask the master's operator for a new credential, then run `guild login FILE`",
    }
}

/// Returns the finding for the grant of the caller: what it allows, and how long it lasts.
pub(crate) fn grant(grant: &GrantView, now: Time) -> Finding {
    let subject = format!("grant of {}", grant.name);
    let may: Vec<&str> = grant.what.may.iter().map(|right| right.word()).collect();
    let projects = grant.what.projects.words("projects");
    let seen = format!("{}, may {} in {projects}", grant.kind, listed(&may));
    let Some(expires) = grant.expires else { return Finding::good(subject, seen) };
    let seen = format!("{seen}, ends {}", expires.seen_from(now));
    match ends_soon(grant.created.unwrap_or_default(), expires, now) {
        true => {
            Finding::warned(subject, seen, "ask the master's operator for a new grant, then run `guild login FILE`")
        }
        false => Finding::good(subject, seen),
    }
}

fn listed(words: &[&str]) -> String {
    match words {
        [] => "nothing".to_owned(),
        words => words.join(", "),
    }
}

fn milliseconds(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1_000.0)
}
