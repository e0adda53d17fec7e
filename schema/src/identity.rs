//! The identity of this process: an Ed25519 key, which is made here and never sent. A self-signed certificate carries its public
//! half through TLS. The certificate's names and dates mean nothing, because peers compare the key.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, PublicKeyData as _};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::sturdy_ref::Fingerprint;
use system::private_file;

/// An Ed25519 key and its certificate. `Debug` shows the fingerprint only.
pub struct Identity {
    key: KeyPair,
    certificate: CertificateDer<'static>,
    fingerprint: Fingerprint,
    /// The TLS configuration as a server. It is made once, because hundreds of connections share it.
    server: OnceLock<Arc<ServerConfig>>,
}

impl Identity {
    /// Makes a new key with its certificate.
    pub fn generate() -> Self {
        let key = KeyPair::generate_for(&PKCS_ED25519).expect("the system gives random bytes");
        Self::from_key(key).expect("a fresh key signs its certificate")
    }

    /// Reads the key from a file. Refuses a file that other users can read.
    pub fn load(path: &Path) -> Result<Self, IdentityError> {
        let unreadable = |source| IdentityError::Unreadable { path: path.to_owned(), source };
        if let Some(mode) = private_file::exposed_mode(path).map_err(unreadable)? {
            let path = path.to_owned();
            return Err(IdentityError::Exposed { path, mode });
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        KeyPair::from_pem_and_sign_algo(&text, &PKCS_ED25519)
            .and_then(Self::from_key)
            .map_err(|source| IdentityError::Malformed { path: path.to_owned(), reason: source.to_string() })
    }

    /// Reads the key like [`Identity::load`], or makes the key and its file if there is none. If two processes start at once, both
    /// get the same key.
    pub fn load_or_create(path: &Path) -> Result<Self, IdentityError> {
        if path.exists() {
            return Self::load(path);
        }
        let fresh = Self::generate();
        match private_file::create(path, fresh.key.serialize_pem().as_bytes()) {
            Ok(()) => Ok(fresh),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::load(path),
            Err(source) => Err(IdentityError::Unwritable { path: path.to_owned(), source }),
        }
    }

    /// Returns the fingerprint of the public key.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }

    pub(crate) fn server_config(
        &self,
        make: impl FnOnce(&Self) -> Result<ServerConfig, rustls::Error>,
    ) -> Result<Arc<ServerConfig>, rustls::Error> {
        match self.server.get() {
            Some(config) => Ok(config.clone()),
            None => {
                let config = Arc::new(make(self)?);
                Ok(self.server.get_or_init(|| config).clone())
            }
        }
    }

    fn from_key(key: KeyPair) -> Result<Self, rcgen::Error> {
        let params = CertificateParams::new(vec!["guild.invalid".to_owned()])?;
        let certificate = params.self_signed(&key)?.der().clone();
        let fingerprint = Fingerprint::of_key(&key.subject_public_key_info());
        Ok(Self { key, certificate, fingerprint, server: OnceLock::new() })
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.fingerprint)
    }
}

/// The reason why the file of a key cannot be used. It never repeats the content of the file.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file cannot be read.
    #[error("cannot read the key {}: {source}", path.display())]
    Unreadable {
        /// The path of the file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write the key {}: {source}; the directory must be one that you can write", path.display())]
    Unwritable {
        /// The path of the file.
        path: PathBuf,
        /// The error of the system for the write.
        source: io::Error,
    },
    /// Other users of the machine can read the file.
    #[error("others can read the key {0} (mode {mode:04o}): run `chmod 600 {0}`", path.display())]
    Exposed {
        /// The path of the file.
        path: PathBuf,
        /// The permission bits of the file, as `chmod` takes them.
        mode: u32,
    },
    /// The file holds no key.
    #[error("{} holds no Ed25519 key in PEM: {reason}", path.display())]
    Malformed {
        /// The path of the file.
        path: PathBuf,
        /// The fault in the file's content.
        reason: String,
    },
}
