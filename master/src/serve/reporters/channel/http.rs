//! Sends one POST over HTTP/1.1. It follows no redirect, and bounds the answer in time and size. A name that leads into a private network
//! is refused unless the master file allows it. Otherwise the owner of the name could aim the master at the master's own neighbours.

use super::own_thread::on_own_thread;
use axum::body::Body;
use futures::future::{self, LocalBoxFuture};
use futures::{FutureExt as _, StreamExt as _};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST};
use hyper::{Method, Request, StatusCode, Uri, Version};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// The time from the beginning of a request to the head of its answer. Standard Webhooks recommends 15 to 30 s.
const DEADLINE: Duration = Duration::from_secs(30);
/// The time in which one address of a name must answer. If a network loses IPv6 packets, enough time is left for IPv4.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// The time for the body of an answer. It is short, because the body only explains the status, which is known by then.
const BODY_DEADLINE: Duration = Duration::from_secs(3);
/// The most bytes of an answer's head, which is the smallest limit that hyper allows.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// The bytes of an answer's body that are read, enough for a sentence about what went wrong.
const BODY_BYTES_MAX: usize = 1 << 10;

/// A `PostTarget` says where to send a request.
#[derive(Clone, Debug)]
pub(super) struct PostTarget {
    /// The absolute address, with `http` or `https`. The reader of the master file has checked it.
    pub(super) uri: Uri,
    /// Whether the name may lead into a private network.
    pub(super) may_be_private: bool,
}

/// A `PostAnswer` is the answer of the receiver.
#[derive(Debug)]
pub(super) struct PostAnswer {
    pub(super) status: u16,
    /// The beginning of the body. It is empty for a success.
    pub(super) text: String,
}

/// Sends one request. An error says why there is no answer. Dropping the future closes the connection.
pub(super) async fn post(target: &PostTarget, headers: &[(&str, String)], body: &[u8]) -> Result<PostAnswer, String> {
    let head = tokio::time::timeout(DEADLINE, exchange(target, headers, body)).await;
    let late = |_| format!("{} gave no answer within {} s", host(&target.uri), DEADLINE.as_secs());
    Ok(head.map_err(late)??.finish().await)
}

async fn exchange(target: &PostTarget, headers: &[(&str, String)], body: &[u8]) -> Result<AnswerHead, String> {
    let request = request(&target.uri, headers, body)?;
    let addresses = addresses(target).await?;
    let stream = first_that_answers(alternating(addresses), TcpStream::connect).await;
    let stream = stream.map_err(|why| format!("failed to connect to {}: {why}", host(&target.uri)))?;
    match target.uri.scheme_str() {
        Some("https") => converse(secured(stream, host(&target.uri)).await?, request).await,
        Some(_) | None => converse(stream, request).await,
    }
}

fn request(uri: &Uri, headers: &[(&str, String)], body: &[u8]) -> Result<Request<Body>, String> {
    // Display writes the `/` with which a query without a path must be sent
    let path = uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
    let named = uri.authority().map_or("", |authority| authority.as_str());
    let mut request = Request::builder().method(Method::POST).uri(path).version(Version::HTTP_11);
    request = request.header(HOST, named).header(CONNECTION, "close");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    request.body(Body::from(body.to_vec())).map_err(|error| error.to_string())
}

/// Returns the host of an address, without the brackets of IPv6.
fn host(uri: &Uri) -> &str {
    uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

/// Returns the addresses of the target's name, except those to which it must not lead.
async fn addresses(target: &PostTarget) -> Result<Vec<SocketAddr>, String> {
    let name = host(&target.uri);
    let port = target.uri.port_u16().unwrap_or(if target.uri.scheme_str() == Some("https") { 443 } else { 80 });
    let asked = (name.to_owned(), port);
    let found = on_own_thread("lookup", move || asked.to_socket_addrs()).await?;
    let found: Vec<SocketAddr> = found.map_err(|error| format!("failed to look up {name}: {error}"))?.collect();
    allowed(name, target.may_be_private, &found)
}

/// Returns the allowed addresses. An address that the master file writes itself is allowed, and so is `localhost`.
fn allowed(name: &str, may_be_private: bool, found: &[SocketAddr]) -> Result<Vec<SocketAddr>, String> {
    let is_named = name == "localhost" || name.parse::<IpAddr>().is_ok();
    let fits = |address: &&SocketAddr| is_named || may_be_private || !is_private(address.ip());
    let left: Vec<SocketAddr> = found.iter().filter(fits).copied().collect();
    match (left.is_empty(), found.first()) {
        (false, _) => Ok(left),
        (true, None) => Err(format!("{name} has no address")),
        (true, Some(address)) => {
            let address = address.ip();
            Err(format!(
                "{name} leads to {address}, a private address: set `private = true` in [[notice]] to allow that"
            ))
        }
    }
}

/// Whether an address is not on the public internet: it belongs to this machine, to a private network, or to nobody. The special-purpose
/// registries of IANA (RFC 6890) list such addresses.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(address) => is_private_v4(address),
            // only 2000::/3 is the public internet, except for 2001:db8::/32, which is for documentation
            None => address.segments()[0] & 0xe000 != 0x2000 || address.segments()[..2] == [0x2001, 0xdb8],
        },
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || first == 0
        || first >= 224
        || (first == 100 && (64..128).contains(&second))
        || (first == 198 && (18..20).contains(&second))
        || (first == 192 && second == 0 && third == 0)
}

/// Returns the IPv4 address to which a router would carry an IPv4-mapped, NAT64 or 6to4 address.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let parts = address.segments();
    let of = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match parts {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(of(high, low)),
        [0x2002, high, low, ..] => Some(of(high, low)),
        _ => address.to_ipv4_mapped(),
    }
}

/// Orders addresses so that both families alternate, and neither waits for all addresses of the other.
fn alternating(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let (sixes, fours): (Vec<_>, Vec<_>) = addresses.iter().copied().partition(SocketAddr::is_ipv6);
    let is_six_first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second) = if is_six_first { (sixes, fours) } else { (fours, sixes) };
    let ranked = |list: Vec<SocketAddr>| list.into_iter().enumerate();
    let mut all: Vec<(usize, SocketAddr)> = ranked(first).chain(ranked(second)).collect();
    all.sort_by_key(|(rank, _)| *rank);
    all.into_iter().map(|(_, address)| address).collect()
}

/// Tries one address after another. An error says why the last one failed.
async fn first_that_answers<T>(
    addresses: Vec<SocketAddr>,
    connect: impl AsyncFn(SocketAddr) -> io::Result<T>,
) -> Result<T, String> {
    let mut why = "it has no address".to_owned();
    for address in addresses {
        why = match tokio::time::timeout(CONNECT_DEADLINE, connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("{} gave no answer within {} s", address.ip(), CONNECT_DEADLINE.as_secs()),
        };
    }
    Err(why)
}

/// Sets up TLS with the authorities that this machine trusts. They are read for each request, so a new authority counts without a
/// restart.
async fn secured(stream: TcpStream, name: &str) -> Result<impl AsyncRead + AsyncWrite + Unpin + use<>, String> {
    let roots = on_own_thread("roots", roots).await?;
    let config = Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth());
    let server = ServerName::try_from(name.to_owned()).map_err(|error| format!("{name}: {error}"))?;
    let secured = TlsConnector::from(config).connect(server, stream).await;
    secured.map_err(|error| format!("failed to set up TLS with {name}: {error}"))
}

fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    request: Request<Body>,
) -> Result<AnswerHead, String> {
    let failed = |error: hyper::Error| format!("the connection failed: {error}");
    let mut connection = http1::Builder::new();
    connection.max_buf_size(HEAD_BYTES_MAX);
    let (mut sender, connection) = connection.handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // an error of the connection reaches the sender as well, so it is not reported here
    let mut connection = connection.then(|_| future::pending()).boxed_local();
    let response = driven(&mut connection, sender.send_request(request)).await.map_err(failed)?;
    let (head, body) = response.into_parts();
    Ok(AnswerHead { status: head.status, body: Body::new(body), connection })
}

/// An `AnswerHead` is the head of an answer, with the connection that brings its body.
struct AnswerHead {
    status: StatusCode,
    body: Body,
    connection: LocalBoxFuture<'static, Infallible>,
}

impl AnswerHead {
    /// Reads the body of a failure. The body of a success is not read, because it could not change the result.
    async fn finish(mut self) -> PostAnswer {
        let mut read = Vec::new();
        if !self.status.is_success() {
            let reading = driven(&mut self.connection, beginning(self.body, &mut read));
            // what came before the timeout is enough
            let _ = tokio::time::timeout(BODY_DEADLINE, reading).await;
        }
        PostAnswer { status: self.status.as_u16(), text: String::from_utf8_lossy(&read).into_owned() }
    }
}

/// Does some work, and drives the connection meanwhile.
async fn driven<T>(connection: &mut LocalBoxFuture<'static, Infallible>, work: impl Future<Output = T>) -> T {
    tokio::select! {
        biased;
        done = work => done,
        never = connection => match never {},
    }
}

async fn beginning(body: Body, read: &mut Vec<u8>) {
    let mut parts = body.into_data_stream();
    while let Some(Ok(part)) = parts.next().await {
        read.extend_from_slice(&part[..part.len().min(BODY_BYTES_MAX - read.len())]);
        if read.len() == BODY_BYTES_MAX {
            break;
        }
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
