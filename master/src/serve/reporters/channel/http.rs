//! One POST over HTTP/1.1, for notices. No redirect is followed, the answer is bounded in time and size, and a name that leads into a
//! private network is refused unless the master file allows it: otherwise whoever answers for the name could aim the master at its
//! own neighbours.

use super::own_thread::on_own_thread;
use axum::body::Body;
use futures::StreamExt as _;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST};
use hyper::{Method, Request, Uri, Version};
use hyper_util::rt::TokioIo;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// For the whole exchange. Standard Webhooks recommends 15 to 30 s.
const DEADLINE: Duration = Duration::from_secs(30);
/// The most of an answer's head, in bytes; hyper takes no less.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// The most that is read of an answer's body, in bytes: enough for a sentence about what went wrong.
const BODY_BYTES_MAX: usize = 1 << 10;

/// Where a request goes.
#[derive(Clone, Debug)]
pub(super) struct PostTarget {
    /// Absolute, with `http` or `https`, as the master file was checked to have it.
    pub(super) uri: Uri,
    /// The name may lead into a private network.
    pub(super) may_be_private: bool,
}

/// What the other side said.
#[derive(Debug)]
pub(super) struct PostAnswer {
    pub(super) status: u16,
    /// The beginning of the body.
    pub(super) text: String,
}

/// Sends one request. An error says why there is no answer. Dropping this closes the connection.
pub(super) async fn post(target: &PostTarget, headers: &[(&str, String)], body: &[u8]) -> Result<PostAnswer, String> {
    let answer = tokio::time::timeout(DEADLINE, exchange(target, headers, body));
    answer.await.map_err(|_| format!("{} gave no answer within {} s", host(&target.uri), DEADLINE.as_secs()))?
}

async fn exchange(target: &PostTarget, headers: &[(&str, String)], body: &[u8]) -> Result<PostAnswer, String> {
    let request = request(&target.uri, headers, body)?;
    let addresses = addresses(target).await?;
    let failed = |error| format!("failed to connect to {}: {error}", host(&target.uri));
    let stream = TcpStream::connect(addresses.as_slice()).await.map_err(failed)?;
    match target.uri.scheme_str() {
        Some("https") => converse(secured(stream, host(&target.uri)).await?, request).await,
        Some(_) | None => converse(stream, request).await,
    }
}

fn request(uri: &Uri, headers: &[(&str, String)], body: &[u8]) -> Result<Request<Body>, String> {
    // Display writes the `/` that a query without a path is sent with
    let path = uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
    let named = uri.authority().map_or("", |authority| authority.as_str());
    let mut request = Request::builder().method(Method::POST).uri(path).version(Version::HTTP_11);
    request = request.header(HOST, named).header(CONNECTION, "close");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    request.body(Body::from(body.to_vec())).map_err(|error| error.to_string())
}

/// Without the brackets of an IPv6 address.
fn host(uri: &Uri) -> &str {
    uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

/// Where the name leads, save where it must not.
async fn addresses(target: &PostTarget) -> Result<Vec<SocketAddr>, String> {
    let name = host(&target.uri);
    let port = target.uri.port_u16().unwrap_or(if target.uri.scheme_str() == Some("https") { 443 } else { 80 });
    let asked = (name.to_owned(), port);
    let found = on_own_thread("lookup", move || asked.to_socket_addrs()).await?;
    let found: Vec<SocketAddr> = found.map_err(|error| format!("failed to look up {name}: {error}"))?.collect();
    allowed(name, target.may_be_private, &found)
}

/// An address that the master file writes itself is allowed, and so is `localhost`.
fn allowed(name: &str, may_be_private: bool, found: &[SocketAddr]) -> Result<Vec<SocketAddr>, String> {
    let is_named = name == "localhost" || name.parse::<IpAddr>().is_ok();
    let fits = |address: &&SocketAddr| is_named || may_be_private || !is_private(address.ip());
    let left: Vec<SocketAddr> = found.iter().filter(fits).copied().collect();
    match (left.is_empty(), found.first()) {
        (false, _) => Ok(left),
        (true, None) => Err(format!("{name} has no address")),
        (true, Some(address)) => {
            let address = address.ip();
            Err(format!("{name} leads to {address}, a private address; `private = true` in [[notice]] allows that"))
        }
    }
}

/// Whether an address is not one of the public internet: of this machine, of a network behind it, or of nobody (the special-purpose
/// registries of IANA, RFC 6890).
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(address) => is_private_v4(address),
            // only 2000::/3 is given to the public internet, and of that 2001:db8::/32 is for documents
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

/// The IPv4 address to which a router would carry this one: mapped, by NAT64 or by 6to4.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let parts = address.segments();
    let of = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match parts {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(of(high, low)),
        [0x2002, high, low, ..] => Some(of(high, low)),
        _ => address.to_ipv4_mapped(),
    }
}

/// With the authorities that this machine trusts. They are read anew each time, so one that is added counts without a restart.
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
) -> Result<PostAnswer, String> {
    let failed = |error: hyper::Error| format!("the connection failed: {error}");
    let mut connection = http1::Builder::new();
    connection.max_buf_size(HEAD_BYTES_MAX);
    let (mut sender, connection) = connection.handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let mut asking = std::pin::pin!(async move {
        let response = sender.send_request(request).await.map_err(failed)?;
        let status = response.status().as_u16();
        Ok(PostAnswer { status, text: beginning(Body::new(response.into_body())).await })
    });
    let mut connection = std::pin::pin!(connection);
    let mut is_open = true;
    loop {
        tokio::select! {
            biased;
            answer = &mut asking => return answer,
            // what went wrong, the asking is told too
            _ = &mut connection, if is_open => is_open = false,
        }
    }
}

async fn beginning(body: Body) -> String {
    let (mut parts, mut bytes) = (body.into_data_stream(), Vec::new());
    while let Some(Ok(part)) = parts.next().await {
        bytes.extend_from_slice(&part[..part.len().min(BODY_BYTES_MAX - bytes.len())]);
        if bytes.len() == BODY_BYTES_MAX {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
