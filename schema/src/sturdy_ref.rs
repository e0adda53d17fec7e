//! The textual form of a credential, `capnp://sha-256:FPR@host:port[,host:port...]/TOKEN`, and the file that holds one. This module
//! opens no connection; [`crate::vat::dial`] does.

use std::fmt;
use std::io;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use system::private_file;

const SCHEME: &str = "capnp://";
const ALGORITHM: &str = "sha-256:";
/// The most addresses of a credential. A master has one for each network from which it can be reached.
const ADDRESSES_MAX: usize = 16;
/// The most characters of an address. A host name has at most 253 (RFC 1035), and the colon and the port have at most 6.
const ADDRESS_CHARS_MAX: usize = 260;

/// The identity of a peer: the SHA-256 of its public key as SubjectPublicKeyInfo in DER (RFC 5280).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Computes the fingerprint of a SubjectPublicKeyInfo in DER.
    pub fn of_key(subject_public_key_info: &[u8]) -> Self {
        Self(Sha256::digest(subject_public_key_info).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ALGORITHM}{}", BASE64URL_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = SturdyRefError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let encoded = text.strip_prefix(ALGORITHM).ok_or(SturdyRefError::Algorithm)?;
        decode(encoded).map(Self).ok_or(SturdyRefError::Fingerprint)
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> String {
        fingerprint.to_string()
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = SturdyRefError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// The secret part of a sturdy ref. It is compared in constant time, and neither `Debug` nor an error shows it.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl Token {
    /// Makes a new token from the system's source of randomness.
    ///
    /// # Panics
    /// Panics if the system gives no random bytes, because no token could then be trusted.
    pub fn random() -> Self {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("the system gives random bytes");
        Self(bytes)
    }

    /// Reads the 32 bytes of a token.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SturdyRefError> {
        bytes.try_into().map(Self).map_err(|_| SturdyRefError::Token)
    }

    /// Returns the 32 bytes of the token.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the text of the token as a sturdy ref contains it. It belongs in its holder's file or browser, never in a log.
    pub fn reveal(&self) -> String {
        BASE64URL_NOPAD.encode(&self.0)
    }

    /// Returns the digest by which a store finds the token, so that the store never holds the token itself.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Token {}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(secret)")
    }
}

impl FromStr for Token {
    type Err = SturdyRefError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        decode(text).map(Self).ok_or(SturdyRefError::Token)
    }
}

/// A credential: the addresses of a master, the key that the master must prove, and the secret that stands for a capability.
///
/// `Display` writes the whole credential with its token, so its text belongs in a file and never in a log. `Debug` hides the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SturdyRef {
    /// The fingerprint of the key that the other side must prove to have.
    pub fingerprint: Fingerprint,
    /// The addresses to connect to, each `host:port` with an IPv6 host in brackets. They are tried in this order.
    pub addresses: Vec<String>,
    /// The secret that stands for the capability.
    pub token: Token,
}

impl SturdyRef {
    /// Reads the file that `guild grant issue -o FILE` writes. Refuses a file that other users can read.
    pub fn load(path: &Path) -> Result<Self, CapFileError> {
        let unreadable = |source| CapFileError::Unreadable { path: path.to_owned(), source };
        if let Some(mode) = private_file::exposed_mode(path).map_err(unreadable)? {
            let path = path.to_owned();
            return Err(CapFileError::Exposed { path, mode });
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Self::from_text(&text).map_err(|source| CapFileError::Malformed { path: path.to_owned(), source })
    }

    /// Reads the one sturdy ref in the text of a file. Empty lines and lines that begin with `#` are ignored.
    pub fn from_text(text: &str) -> Result<Self, SturdyRefError> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let line = lines.next().ok_or(SturdyRefError::Empty)?;
        match lines.next() {
            None => line.parse(),
            Some(_) => Err(SturdyRefError::Several),
        }
    }

    /// Writes the file with mode 0600, as a whole or not at all. It replaces an existing file.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        private_file::replace(path, self.to_file_text().as_bytes())
    }

    /// Writes the file like [`SturdyRef::save`], but fails with `AlreadyExists` if there already is a file.
    pub fn save_new(&self, path: &Path) -> io::Result<()> {
        private_file::create(path, self.to_file_text().as_bytes())
    }

    fn to_file_text(&self) -> String {
        format!("# a Guild credential: whoever reads this line may use it\n{self}\n")
    }
}

impl fmt::Display for SturdyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (fingerprint, addresses) = (self.fingerprint, self.addresses.join(","));
        write!(f, "{SCHEME}{fingerprint}@{addresses}/{}", self.token.reveal())
    }
}

impl FromStr for SturdyRef {
    type Err = SturdyRefError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.trim().strip_prefix(SCHEME).ok_or(SturdyRefError::Scheme)?;
        let (fingerprint, rest) = rest.split_once('@').ok_or(SturdyRefError::NoAddress)?;
        let (addresses, token) = rest.split_once('/').ok_or(SturdyRefError::NoToken)?;
        Ok(Self { fingerprint: fingerprint.parse()?, addresses: parse_addresses(addresses)?, token: token.parse()? })
    }
}

/// The reason why a text is not a sturdy ref. It never repeats the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SturdyRefError {
    /// The text has no line with a credential.
    #[error("no credential in it: expected a line `capnp://sha-256:...@host:port/...`")]
    Empty,
    /// The text has more than one credential.
    #[error("more than one credential in it: keep each in a file of its own")]
    Several,
    /// The text does not begin with `capnp://`.
    #[error("a credential begins with `{SCHEME}`")]
    Scheme,
    /// The fingerprint does not begin with `sha-256:`.
    #[error("the fingerprint must begin with `{ALGORITHM}`")]
    Algorithm,
    /// The fingerprint is cut off, or is not base64url.
    #[error("the fingerprint must be 43 characters of base64url after `{ALGORITHM}`: is a part of it missing?")]
    Fingerprint,
    /// The text ends before the addresses.
    #[error("no `@host:port` after the fingerprint")]
    NoAddress,
    /// An address does not have the form `host:port`.
    #[error("address `{address}`: {problem}")]
    Address {
        /// The address as the text has it.
        address: String,
        /// The fault in the address.
        problem: &'static str,
    },
    /// The text has more addresses than a credential may have.
    #[error("{count} addresses; at most {ADDRESSES_MAX} are accepted")]
    TooManyAddresses {
        /// The number of addresses in the text.
        count: usize,
    },
    /// The text ends before the token.
    #[error("no `/TOKEN` after the addresses: was the line cut off?")]
    NoToken,
    /// The token is cut off, or is not base64url.
    #[error("the token must be 32 bytes, 43 characters of base64url: was the line cut off?")]
    Token,
}

/// The reason why the file of a credential cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CapFileError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The path of the file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// Other users of the machine can read the file.
    #[error("others can read {0} (mode {mode:04o}): run `chmod 600 {0}`", path.display())]
    Exposed {
        /// The path of the file.
        path: PathBuf,
        /// The permission bits of the file, as `chmod` takes them.
        mode: u32,
    },
    /// The file holds no credential.
    #[error("{} is not a credential: {source}", path.display())]
    Malformed {
        /// The path of the file.
        path: PathBuf,
        /// The fault in the text of the file.
        source: SturdyRefError,
    },
}

fn decode(text: &str) -> Option<[u8; 32]> {
    BASE64URL_NOPAD.decode(text.as_bytes()).ok()?.try_into().ok()
}

fn parse_addresses(text: &str) -> Result<Vec<String>, SturdyRefError> {
    let addresses: Vec<_> = text.split(',').collect();
    if addresses.len() > ADDRESSES_MAX {
        let count = addresses.len();
        return Err(SturdyRefError::TooManyAddresses { count });
    }
    addresses
        .into_iter()
        .map(|address| match address_problem(address) {
            None => Ok(address.to_owned()),
            Some(problem) => {
                Err(SturdyRefError::Address { address: address.chars().take(ADDRESS_CHARS_MAX).collect(), problem })
            }
        })
        .collect()
}

fn address_problem(address: &str) -> Option<&'static str> {
    let Some((host, port)) = address.rsplit_once(':') else {
        return Some("no port; write `host:port`");
    };
    if address.len() > ADDRESS_CHARS_MAX {
        return Some("longer than a host name can be");
    }
    if !matches!(port.parse::<u16>(), Ok(1..)) || port.starts_with('+') {
        return Some("the port must be a number from 1 to 65535");
    }
    if let Some(host) = host.strip_prefix('[') {
        let literal = host.strip_suffix(']').map(Ipv6Addr::from_str);
        return match literal {
            Some(Ok(_)) => None,
            Some(Err(_)) | None => Some("no IPv6 address between the brackets"),
        };
    }
    if host.contains(':') {
        return Some("write an IPv6 address in brackets, as `[::1]:7711`");
    }
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if host.is_empty() || !host.chars().all(name) {
        return Some("the host must be a name or an address");
    }
    None
}
