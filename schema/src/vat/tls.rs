//! TLS 1.3 between keys, which proves who is at the other end. There are no CAs, names or expiry dates: a verifier compares the
//! SHA-256 of the peer's public key and checks the handshake's signature. The store decides what a key may do.

mod session;
mod stream;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ParsedCertificate};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
    version::TLS13,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::identity::Identity;
use crate::limits::borders::HANDSHAKE;
use crate::sturdy_ref::{Fingerprint, SturdyRef};
use session::Session;
pub use stream::TlsStream;

/// The longest time that a TCP connection and its TLS handshake may take together, for each address.
pub const HANDSHAKE_MAX: Duration = HANDSHAKE.time();

/// An encrypted stream, with the key that its other end has proved to have.
#[derive(Debug)]
pub struct Secured<S> {
    /// The encrypted stream of the connection.
    pub stream: TlsStream<S>,
    /// The key that the peer proved to have. `None` means that it is a client without a certificate, for which only unbound
    /// tokens work.
    pub peer: Option<Fingerprint>,
}

/// The reason why there is no secured connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VatError {
    /// No address of the master answered.
    #[error("cannot reach {}", tried.join("; "))]
    Unreachable {
        /// The addresses that were tried, each with its error.
        tried: Vec<String>,
    },
    #[error(
        "{address} holds the key {found}, but the credential names {expected}: another machine \
         answers there, or the master was set up anew and the credential must be issued again"
    )]
    /// An address answered with another key.
    WrongKey {
        /// The address that answered, `host:port`.
        address: String,
        /// The fingerprint that the credential names.
        expected: Fingerprint,
        /// The fingerprint of the key that answered.
        found: Fingerprint,
    },
    /// The program at the address does not speak TLS 1.3, or does not speak it as Guild does.
    #[error("{address} does not speak TLS 1.3 as Guild does: {reason}")]
    Protocol {
        /// The address that answered, `host:port`.
        address: String,
        /// The error text of the TLS library.
        reason: String,
    },
    /// The handshake of an incoming connection failed.
    #[error("the peer's handshake failed: {0}")]
    Handshake(String),
    /// The handshake of an incoming connection took too long.
    #[error("the peer's handshake took longer than {} s", HANDSHAKE_MAX.as_secs())]
    HandshakeLate,
    /// The key of this side cannot be used.
    #[error("this side's own key cannot be used: {0}")]
    Identity(String),
}

/// Connects to the first address that answers with the key that `reference` names.
///
/// With `identity`, the connection also proves the caller's key. Without it, only unbound tokens work on the connection.
pub async fn dial(reference: &SturdyRef, identity: Option<&Identity>) -> Result<Secured<TcpStream>, VatError> {
    let mut tried = Vec::new();
    let mut worse = None;
    for address in &reference.addresses {
        let attempt = dial_one(address, reference.fingerprint, identity);
        match timeout(HANDSHAKE_MAX, attempt).await {
            Ok(Ok(secured)) => return Ok(secured),
            Ok(Err(Failure::Refused(error))) => tried.push(format!("{address}: {error}")),
            // A wrong key says more than an unreachable address, so the user gets the first such error.
            Ok(Err(Failure::Answered(error))) => worse = worse.or(Some(error)),
            Err(_) => tried.push(format!("{address}: no answer within {} s", HANDSHAKE_MAX.as_secs())),
        }
    }
    Err(worse.unwrap_or(VatError::Unreachable { tried }))
}

/// Answers a TLS handshake. A client certificate is optional, but a client that shows one must prove its key.
///
/// This function sets no options on the stream, so set `TCP_NODELAY` before you call it.
pub async fn accept<S>(stream: S, identity: &Identity) -> Result<Secured<S>, VatError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let session = identity.server_config(server_config).and_then(Session::server);
    let session = session.map_err(|e| VatError::Identity(e.to_string()))?;
    let stream = timeout(HANDSHAKE_MAX, TlsStream::open(stream, session))
        .await
        .map_err(|_| VatError::HandshakeLate)?
        .map_err(|e| VatError::Handshake(e.to_string()))?;
    let peer = stream.peer_certificate().map(key_of).transpose().map_err(|e| VatError::Handshake(e.to_string()))?;
    Ok(Secured { stream, peer })
}

enum Failure {
    /// Nobody answered, or the peer hung up during the handshake. The next address may still work.
    Refused(io::Error),
    /// The peer answered with a wrong key or another protocol, or the key of this side cannot be used.
    Answered(VatError),
}

async fn dial_one(
    address: &str,
    expected: Fingerprint,
    identity: Option<&Identity>,
) -> Result<Secured<TcpStream>, Failure> {
    let stream = TcpStream::connect(address).await.map_err(Failure::Refused)?;
    stream.set_nodelay(true).map_err(Failure::Refused)?;
    let pin = Arc::new(PinnedKey::new(expected));
    let name = ServerName::try_from("guild.invalid").expect("a host name");
    let session = client_config(pin.clone(), identity).and_then(|config| Session::client(Arc::new(config), name));
    let session = session.map_err(|e| Failure::Answered(VatError::Identity(e.to_string())))?;
    match TlsStream::open(stream, session).await {
        Ok(stream) => Ok(Secured { stream, peer: Some(expected) }),
        Err(error) => Err(pin.explain(address, error)),
    }
}

fn client_config(pin: Arc<PinnedKey>, identity: Option<&Identity>) -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(pin);
    let mut config = match identity {
        Some(own) => builder.with_client_auth_cert(vec![own.certificate()], own.private_key())?,
        None => builder.with_no_client_auth(),
    };
    config.enable_sni = false;
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn server_config(identity: &Identity) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(AnyKey))
        .with_single_cert(vec![identity.certificate()], identity.private_key())?;
    // A resumed session would skip the proof of the key.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(ring::default_provider())).clone()
}

fn algorithms() -> WebPkiSupportedAlgorithms {
    provider().signature_verification_algorithms
}

fn key_of(certificate: &CertificateDer<'_>) -> Result<Fingerprint, Error> {
    let parsed = ParsedCertificate::try_from(certificate)?;
    Ok(Fingerprint::of_key(&parsed.subject_public_key_info()))
}

/// Accepts the one server key that the credential names. It remembers a wrong key for the text of the error.
struct PinnedKey {
    expected: Fingerprint,
    found: OnceLock<Fingerprint>,
}

impl PinnedKey {
    fn new(expected: Fingerprint) -> Self {
        Self { expected, found: OnceLock::new() }
    }

    fn explain(&self, address: &str, error: io::Error) -> Failure {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        let address = address.to_owned();
        match self.found.get() {
            Some(&found) => Failure::Answered(VatError::WrongKey { address, expected: self.expected, found }),
            // a peer that hangs up may still speak TLS as Guild does: it may be a master that stops, or a proxy without one
            None if matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof) => {
                Failure::Refused(error)
            }
            None => Failure::Answered(VatError::Protocol { address, reason: error.to_string() }),
        }
    }
}

impl fmt::Debug for PinnedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PinnedKey({})", self.expected)
    }
}

impl ServerCertVerifier for PinnedKey {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found = key_of(end_entity)?;
        if found == self.expected {
            return Ok(ServerCertVerified::assertion());
        }
        let _ = self.found.set(found);
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        algorithms().supported_schemes()
    }
}

/// Accepts every client key whose signature over the handshake is right. The store decides what the key may do.
#[derive(Debug)]
struct AnyKey;

impl ClientCertVerifier for AnyKey {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        key_of(end_entity).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        algorithms().supported_schemes()
    }
}
